import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it, onTestFinished } from 'vitest'
import { openFilesMax } from '../../src/env/open-files.ts'

function limits(line: string): string {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-limits-'))
  onTestFinished(() => rmSync(dir, { recursive: true }))
  const file = join(dir, 'limits')
  writeFileSync(file, `Max processes  94  94  processes\n${line}\nMax locked memory  8  8  bytes\n`)
  return file
}

it('is the limit in force', () => {
  expect(
    openFilesMax(limits('Max open files            1024                 4096     files')),
  ).toBe(1024)
})

it('is unknown where there is none, or nobody tells', () => {
  expect(
    openFilesMax(limits('Max open files            unlimited   unlimited   files')),
  ).toBeUndefined()
  expect(openFilesMax('/nowhere/limits')).toBeUndefined()
})

it.runIf(process.platform === 'linux')('is known of this process', () => {
  expect(openFilesMax()).toBeGreaterThan(16)
})
