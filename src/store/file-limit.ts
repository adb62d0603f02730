/**
 * RocksDB keeps every table open. A process that may open too few files runs well until its data has
 * grown, and then fails as if by a broken disk; so the limit is looked at while that is far away.
 */

import { GIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { RAISE_OPEN_FILES } from '../base/open-files.ts'

/** Links, log segments, files that a compaction writes, modules. */
const OTHER_FILES = 256

/** Warns when the files that may be open hold less than the disk does. */
export function warnOfFileLimit(
  filesMax: number | undefined,
  tableBytes: number,
  diskBytes: number,
  logger: Logger,
): void {
  if (filesMax === undefined) return
  const dataBytes = Math.max(0, filesMax - OTHER_FILES) * tableBytes
  if (dataBytes >= diskBytes) return
  logger.warn(
    { openFilesMax: filesMax },
    `this process may have ${filesMax} files open, enough for some ${(dataBytes / GIB).toFixed(1)} GiB of data: ${RAISE_OPEN_FILES}`,
  )
}
