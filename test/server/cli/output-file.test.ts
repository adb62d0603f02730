import { execFileSync } from 'node:child_process'
import { chmodSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { Output } from '../../../src/server/cli/output.ts'
import { OutputFile } from '../../../src/server/cli/output-file.ts'
import { temporaryDirectory } from '../fixtures.ts'

let directory: string
let path: string

beforeEach(() => {
  directory = temporaryDirectory()
  path = join(directory, 'rows')
})

afterEach(() => {
  vi.restoreAllMocks()
})

async function write(file: OutputFile, text: string): Promise<void> {
  const output = new Output(file.stream)
  await output.write(text)
  await output.end()
}

test('it takes its name when it is complete', async () => {
  writeFileSync(path, 'old')
  chmodSync(path, 0o600)
  const file = await OutputFile.open(path)
  await write(file, 'new')
  expect(readFileSync(path, 'utf8')).toBe('old')
  await file.complete()
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(readdirSync(directory)).toEqual(['rows'])
})

test('one that is abandoned leaves what was there, and nothing else', async () => {
  writeFileSync(path, 'old')
  const file = await OutputFile.open(path)
  file.stream.write('new')
  await file.abandon()
  expect(readFileSync(path, 'utf8')).toBe('old')
  expect(readdirSync(directory)).toEqual(['rows'])
})

test.each(['SIGTERM', 'SIGHUP'] as const)('%s removes it and ends the process', async (signal) => {
  const before = process.listeners(signal)
  const kill = vi.spyOn(process, 'kill').mockReturnValue(true)
  const file = await OutputFile.open(path)
  process.emit(signal, signal)
  expect(kill.mock.calls).toEqual([[process.pid, signal]])
  expect(process.listeners(signal)).toEqual(before)
  expect(readdirSync(directory)).toEqual([])
  await file.abandon()
})

test('what a link points to is replaced', async () => {
  writeFileSync(path, 'old')
  symlinkSync(path, join(directory, 'link'))
  const file = await OutputFile.open(join(directory, 'link'))
  await write(file, 'new')
  await file.complete()
  expect(readFileSync(path, 'utf8')).toBe('new')
  expect(readdirSync(directory).sort()).toEqual(['link', 'rows'])
})

describe('what is no regular file is written as it is', () => {
  test('a pipe', async () => {
    execFileSync('mkfifo', [path])
    const read = readFile(path, 'utf8')
    const file = await OutputFile.open(path)
    await write(file, 'rows')
    await file.complete()
    expect(await read).toBe('rows')
    expect(statSync(path).isFIFO()).toBe(true)
  })

  test.runIf(process.platform === 'linux')('a device that is full', async () => {
    const file = await OutputFile.open('/dev/full')
    await expect(write(file, 'rows')).rejects.toThrow(/ENOSPC/)
    await file.abandon()
    expect(statSync('/dev/full').isCharacterDevice()).toBe(true)
  })
})

test('what cannot be written is said so', async () => {
  await expect(OutputFile.open(directory)).rejects.toThrow(/cannot write .*: it is a directory/)
  await expect(OutputFile.open(join(path, 'rows'))).rejects.toThrow(/cannot write .*ENOENT/)
})
