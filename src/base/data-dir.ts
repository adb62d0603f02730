/**
 * A data directory that can be used, or an error that says what is wrong with it, and by which `flag`
 * it was given.
 */
import { accessSync, constants } from 'node:fs'
import { errorMessage, PolyraftError, systemErrorCode } from './errors.ts'
import { makeDirectory } from './make-directory.ts'

export async function makeDataDir(dir: string, flag?: string): Promise<void> {
  try {
    await makeDirectory(dir)
    accessSync(dir, constants.R_OK | constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new PolyraftError(
      'DataDirUnusable',
      `cannot use ${dir}${flag === undefined ? '' : ` (${flag})`} for data: ${reason(error)}`,
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
  if (code === 'ENOENT') return 'no directory can be made there'
  // What makeDirectory says of a file.
  if (errorMessage(error).startsWith('ENOTDIR')) return 'a file is in its place'
  return errorMessage(error)
}
