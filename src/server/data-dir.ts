/** A data directory that can be used, or an error that says what is wrong with it. */
import { accessSync, constants, mkdirSync, statSync } from 'node:fs'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'

export function makeDataDir(dir: string): void {
  try {
    mkdirSync(dir, { recursive: true })
    if (!statSync(dir).isDirectory()) throw new Error('it is not a directory')
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new PolyraftError(
      'DataDirUnusable',
      `cannot use ${dir} (--data-dir) for data: ${reason(error)}`,
      { dir },
      { cause: error },
    )
  }
}

function reason(error: unknown): string {
  const code = systemErrorCode(error)
  if (code === 'EACCES' || code === 'EPERM') return 'this user may not read and write it'
  if (code === 'EROFS') return 'its file system is read-only'
  if (code === 'EEXIST' || code === 'ENOTDIR') return 'a file is in its place'
  if (code === 'ENOSPC') return 'the disk is full'
  return errorMessage(error)
}
