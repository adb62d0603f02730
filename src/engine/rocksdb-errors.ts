/** RocksDB's errors as operating errors: what happened, and what to do about it. */
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import { isTooManyFiles, RAISE_OPEN_FILES } from '../base/open-files.ts'
import { REJOIN } from '../base/rejoin.ts'

const DISK_FULL = /No space left on device|Disk quota exceeded|ENOSPC|EDQUOT/i
const UNUSABLE = /Permission denied|Read-only file system|Not a directory|File name too long/i

/** An error of open. The truth is in the innermost cause. */
export function openError(error: unknown, dir: string): PolyraftError {
  const cause = innermost(error)
  const text = errorMessage(cause)
  const make = (code: 'DataDirLocked' | 'Corruption' | 'DataDirUnusable', hint: string) =>
    new PolyraftError(code, `cannot open ${dir}: ${hint} (${text})`, { dir }, { cause })
  switch (systemErrorCode(cause)) {
    case 'LEVEL_LOCKED':
      return make('DataDirLocked', 'it is in use; stop the other store or use another data-dir')
    case 'LEVEL_CORRUPTION':
      return make('Corruption', `its files are damaged; ${REJOIN}`)
    case 'LEVEL_IO_ERROR':
      if (UNUSABLE.test(text)) return make('DataDirUnusable', 'check the path and its permissions')
      return diskError(cause, `opening ${dir}`)
    case 'EEXIST':
    case 'ENOTDIR':
      return make('DataDirUnusable', 'a file stands where a directory should be; use another path')
    case 'EACCES':
    case 'EROFS':
      return make('DataDirUnusable', 'check the path and its permissions')
    default:
      return make(
        'DataDirUnusable',
        'it does not hold what this version of polyraft writes; use another data-dir',
      )
  }
}

export function directoryError(error: unknown, dir: string): PolyraftError {
  const text = errorMessage(error)
  if (DISK_FULL.test(text)) return diskError(error, `creating ${dir}`)
  return new PolyraftError(
    'DataDirUnusable',
    `cannot create the directory ${dir}: choose a path that can be written (${text})`,
    { dir },
    { cause: error },
  )
}

/** RocksDB refuses every write after a failed one until it is opened anew, so do we. */
export function writeError(error: unknown): PolyraftError {
  return diskError(error, 'a write to RocksDB', 'the store must stop; start it again afterwards')
}

export function readError(error: unknown): PolyraftError {
  if (systemErrorCode(error) !== 'LEVEL_CORRUPTION') return diskError(error, 'a read from RocksDB')
  return new PolyraftError(
    'Corruption',
    `RocksDB found damaged data: replace this replica (${errorMessage(error)})`,
    {},
    { cause: error },
  )
}

function diskError(error: unknown, what: string, after = 'then try again'): PolyraftError {
  const text = errorMessage(error)
  const diskFull = DISK_FULL.test(text)
  return new PolyraftError(
    'DiskError',
    `${what} failed: ${hintFor(error, diskFull)}, ${after} (${text})`,
    { diskFull },
    { cause: error },
  )
}

function hintFor(error: unknown, diskFull: boolean): string {
  if (diskFull) return 'the disk is full; free space'
  return isTooManyFiles(error)
    ? `the process has too many files open; ${RAISE_OPEN_FILES}`
    : 'check the disk'
}

function innermost(error: unknown): unknown {
  let inner = error
  while (inner instanceof Error && inner.cause !== undefined) inner = inner.cause
  return inner
}
