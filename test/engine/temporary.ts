/** Directories that are gone after the test file. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'

const made: string[] = []

afterAll(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})

export function temporaryDir(): string {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-engine-'))
  made.push(dir)
  return dir
}
