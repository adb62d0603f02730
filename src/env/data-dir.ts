/** Takes a data directory for this process: makes it if need be, proves it usable, locks it. */
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { makeDirectory } from '../base/make-directory.ts'
import { lockDirectory } from './dir-lock.ts'
import type { DirectoryLock } from './port.ts'

/** Rejects with DataDirLocked or DataDirUnusable. */
export async function lockDataDirectory(dir: string): Promise<DirectoryLock> {
  try {
    await makeDirectory(dir)
    return await lockDirectory(dir)
  } catch (error) {
    if (error instanceof PolyraftError) throw error
    throw new PolyraftError(
      'DataDirUnusable',
      `cannot use the data directory ${dir}: ${errorMessage(error)}; check its path and rights`,
      { dir },
      { cause: error },
    )
  }
}
