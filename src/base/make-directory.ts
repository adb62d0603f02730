/**
 * Creates a directory with its parents, durably. Not `mkdir({ recursive: true })`, which never ends
 * on some paths below /proc, and which leaves the new names unsynced in their parents.
 */
import { mkdir, open, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { systemErrorCode } from './errors.ts'

export async function makeDirectory(path: string): Promise<void> {
  const dir = resolve(path)
  const missing: string[] = []
  let parent = dir
  while (!(await isDirectory(parent))) {
    missing.push(parent)
    if (dirname(parent) === parent) break
    parent = dirname(parent)
  }
  for (const next of missing.reverse()) await makeOne(next)
}

/** False when there is nothing; anything there that is no directory is an error. */
async function isDirectory(path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false
    throw error
  }
  throw new Error(`ENOTDIR: ${path} is not a directory`)
}

async function makeOne(dir: string): Promise<void> {
  try {
    await mkdir(dir)
  } catch (error) {
    // Another process may have been faster.
    if (systemErrorCode(error) !== 'EEXIST' || !(await isDirectory(dir))) throw error
  }
  const parent = await open(dirname(dir), 'r')
  try {
    await parent.sync()
  } finally {
    await parent.close()
  }
}
