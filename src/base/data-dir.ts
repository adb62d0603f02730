/**
 * A data directory that can be used, or an error that says what is wrong with it, and by which `flag`
 * it was given.
 */
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
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

/** What else a directory may hold, and by which of its names it is told. */
const OTHERS: readonly (readonly [kind: DataKind, name: string, whose: string])[] = [
  ['pd', 'pd.log', "a placement driver's"],
  ['store', 'kv', "a store's"],
  ['cluster', 'pd', 'that of a whole cluster (polyraft up)'],
]

export type DataKind = 'pd' | 'store' | 'cluster'

/** Before anything is made in it: data of another kind is not to be mixed with. */
export function mustNotBeOthers(dir: string, kind: DataKind): void {
  const found = OTHERS.filter(([, name]) => existsSync(join(dir, name)))
  if (found.length === 0 || found.some(([other]) => other === kind)) return
  const [, , whose] = found[0]!
  throw new PolyraftError(
    'DataDirUnusable',
    `the data directory ${dir} is ${whose}: choose another, or an empty one`,
    { dir },
  )
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
