/** Takes a data directory for this process: makes it if need be, proves it usable, locks it. */
import { makeDataDir } from '../base/data-dir.ts'
import { lockDirectory } from './dir-lock.ts'
import type { DirectoryLock } from './port.ts'

/** Rejects with DataDirLocked or DataDirUnusable. */
export async function lockDataDirectory(dir: string): Promise<DirectoryLock> {
  await makeDataDir(dir)
  return lockDirectory(dir)
}
