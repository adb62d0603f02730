/** A benchmark that somebody interrupts leaves neither processes nor directories. */
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, expect, it, vi } from 'vitest'
import { temporaryDirectory } from '../server/fixtures.ts'
import { Running } from './cli.ts'

afterEach(() => {
  vi.unstubAllEnvs()
})

/** Processes whose command line names the directory. */
function processesIn(dir: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(commandLine)
    .filter((line) => line.includes(dir))
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    // It has ended meanwhile.
    return ''
  }
}

it.each([
  ['cluster 1', 'SIGTERM', 143, /at rest/],
  ['snapshot cluster', 'SIGINT', 130, /is filled/],
] as const)('bench %s, ended by %s', async (line, signal, code, started) => {
  const dir = temporaryDirectory()
  vi.stubEnv('TMPDIR', dir)
  const bench = new Running(['bench', ...line.split(' ')])
  await bench.until(started)
  expect(processesIn(dir).length).toBeGreaterThanOrEqual(4)
  expect(await bench.stop(signal)).toBe(code)
  expect(bench.output).toContain('interrupted: what the benchmark started is stopped')
  expect(processesIn(dir)).toEqual([])
  expect(readdirSync(dir)).toEqual([])
})

it.each([
  ['SIGINT', 130],
  ['SIGHUP', 129],
] as const)('bench raftlog, whose threads write meanwhile, ended by %s', async (signal, code) => {
  const dir = temporaryDirectory()
  vi.stubEnv('TMPDIR', dir)
  const bench = new Running(['bench', 'raftlog'])
  // Starting a process takes as long as it takes on a busy machine.
  await vi.waitUntil(
    () => readdirSync(dir, { recursive: true }).some((name) => `${name}`.endsWith('.log')),
    { timeout: 30_000 },
  )
  expect(await bench.stop(signal)).toBe(code)
  expect(bench.output).not.toContain('may be left')
  expect(readdirSync(dir)).toEqual([])
})

it('bench raftlog, whose output nobody reads any more', async () => {
  const dir = temporaryDirectory()
  vi.stubEnv('TMPDIR', dir)
  const bench = new Running(['bench', 'raftlog', '--json', '--seconds', '0.1'])
  bench.child.stdout!.destroy()
  expect(await bench.exited).toBe(141)
  expect(bench.stderr).toMatch(/^machine: .*\nraft log on .*\n$/)
  expect(readdirSync(dir)).toEqual([])
})
