/** kill -9 while writing with real threads and fsync: every acknowledged entry is there afterwards. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { open, readAll } from './harness.ts'

const WRITER = fileURLToPath(new URL('./fixtures/endless-writer.mjs', import.meta.url))

let dir: string
let child: ChildProcess | undefined
let exited: Promise<unknown> | undefined

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-kill-'))
})

afterEach(async () => {
  child?.kill('SIGKILL')
  await exited
  rmSync(dir, { recursive: true, force: true })
})

/** Runs the writer until it has acknowledged `lines` times, kills it, answers what it said. */
async function runAndKill(writers: number, lines: number): Promise<Map<number, number>> {
  const args = [WRITER, builtUrl('').href, dir, String(writers)]
  const running = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  child = running
  let errors = ''
  running.stderr.on('data', (chunk) => {
    errors += chunk
  })
  exited = new Promise((resolve) => running.once('exit', (_, signal) => resolve(signal)))
  const acknowledged = new Map<number, number>()
  let seen = 0
  for await (const line of createInterface({ input: running.stdout })) {
    const parts = line.split(' ').map(Number)
    // The kill may have cut the last line short: it says less than was promised, never more.
    if (parts.length === 3) acknowledged.set(parts[0]!, parts[2]!)
    seen++
    if (seen === lines) running.kill('SIGKILL')
  }
  expect(await exited, errors).toBe('SIGKILL')
  return acknowledged
}

it('keeps what it acknowledged through kill -9, again and again', async () => {
  let round = 0
  for (const writers of [1, 2, 0, 3, 1]) {
    const acknowledged = await runAndKill(writers, 400 + 37 * round++)
    expect(acknowledged.size).toBe(8)
    const { log } = await open({ dir, fs: nodeFileSystem })
    for (const [region, lastIndex] of acknowledged) {
      const state = log.state(region)!
      expect(state.lastIndex).toBeGreaterThanOrEqual(lastIndex)
      const found = await readAll(log, region)
      expect(found.map((one) => one.index)).toEqual(found.map((_, i) => state.firstIndex + i))
      expect(found.at(-1)!.index).toBe(state.lastIndex)
      expect(found.every((one) => one.data.length === 700)).toBe(true)
    }
    await log.close()
  }
})
