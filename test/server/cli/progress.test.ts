import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  formatBytes,
  formatCount,
  formatSeconds,
  Progress,
} from '../../../src/server/cli/progress.ts'
import { formatFields, formatTable } from '../../../src/server/cli/table.ts'
import { Sink } from './fake-io.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
})

afterEach(() => {
  vi.useRealTimers()
})

async function textOf(sink: Sink): Promise<string> {
  await new Promise<void>((resolve) => sink.end(resolve))
  return sink.text
}

test('a live line tells rows, rate, bytes, share and time left', async () => {
  const sink = new Sink(true)
  const progress = new Progress(sink, 'loaded', 4 * 1024 * 1024, true)
  progress.rows = 50_000
  progress.bytes = 1024 * 1024
  vi.advanceTimersByTime(250)
  progress.finish(['and so on'])
  expect(vi.getTimerCount()).toBe(0)
  const text = await textOf(sink)
  expect(text).toContain('50,000 rows  200,000 rows/s  1.0 MiB of 4.0 MiB  25%  0.8 s left')
  expect(text.endsWith('loaded 50,000 rows (1.0 MiB) in 0.3 s, 200,000 rows/s; and so on\n')).toBe(
    true,
  )
})

test('the live line keeps to the width of the terminal, which may change', async () => {
  const sink = Object.assign(new Sink(true), { columns: 20 })
  const progress = new Progress(sink, 'loaded', undefined, true)
  progress.rows = 50_000
  vi.advanceTimersByTime(250)
  sink.columns = 8
  vi.advanceTimersByTime(250)
  progress.stop()
  expect(await textOf(sink)).toBe('\r50,000 rows  200,00\x1b[K\r50,000 \x1b[K\r\x1b[K')
})

test('elsewhere there is only the summary', async () => {
  const sink = new Sink()
  const progress = new Progress(sink, 'dumped', undefined, false)
  vi.advanceTimersByTime(1000)
  progress.finish()
  expect(await textOf(sink)).toBe('dumped 0 rows (0 B) in 1.0 s, 0 rows/s\n')
})

test.each([
  [formatBytes(1023), '1023 B'],
  [formatBytes(1536), '1.5 KiB'],
  [formatBytes(3 * 1024 ** 4), '3.0 TiB'],
  [formatBytes(5000 * 1024 ** 4), '5000.0 TiB'],
  [formatSeconds(9.94), '9.9 s'],
  [formatSeconds(119), '119 s'],
  [formatSeconds(9.97), '10 s'],
  [formatSeconds(119.6), '2 min 0 s'],
  [formatSeconds(150), '2 min 30 s'],
  [formatSeconds(179.6), '3 min 0 s'],
  [formatSeconds(7199.7), '2 h 0 min'],
  [formatSeconds(7300), '2 h 1 min'],
  [formatCount(1, 'row'), '1 row'],
  [formatCount(1234567, 'row'), '1,234,567 rows'],
])('%s', (text, expected) => {
  expect(text).toBe(expected)
})

test('tables', () => {
  const columns = [
    { title: 'N', cell: (row: readonly [number, string]) => String(row[0]), right: true },
    { title: 'NAME', cell: (row: readonly [number, string]) => row[1] },
  ]
  const table = formatTable(columns, [
    [1, 'one'],
    [100, 'a hundred'],
  ])
  expect(table).toBe('  N  NAME\n  1  one\n100  a hundred\n')
  expect(formatTable(columns, [])).toBe('N  NAME\n')
  expect(
    formatFields([
      ['a', '1'],
      ['long', '2'],
    ]),
  ).toBe('a     1\nlong  2\n')
})
