import { expect, test, vi } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { PdClient, StoreStats } from '../../src/pd/port.ts'
import { PdReporter } from '../../src/store/pd-reporter.ts'

/** Reports once to a PD that answers so. */
async function reportTo(answer: () => Promise<void>) {
  const reports: StoreStats[] = []
  const failures: Error[] = []
  const pd = {
    storeHeartbeat: (stats: StoreStats) => {
      reports.push(stats)
      return answer()
    },
  }
  const reporter = new PdReporter({
    pd: pd as unknown as PdClient,
    storeId: 7,
    startTimeS: 1_800_000_000,
    disk: () => ({ totalBytes: 100, freeBytes: 40 }),
    clock: { monotonicMs: () => 0, wallMs: () => 1_800_000_500_000 },
    logger: silentLogger,
    intervalMs: 10_000,
    figures: () => ({ regionCount: 3, isBusy: false }),
    fail: (error) => failures.push(error),
  })
  vi.useFakeTimers()
  try {
    reporter.start()
    await vi.advanceTimersByTimeAsync(0)
    reporter.stop()
  } finally {
    vi.useRealTimers()
  }
  return { reports, failures }
}

test('says when the store registered, so that PD can tell its processes apart', async () => {
  const { reports, failures } = await reportTo(async () => {})
  expect(reports).toMatchObject([{ storeId: 7, startTime: 1_800_000_000, usedSize: 60 }])
  expect(failures).toEqual([])
})

test('the store ends when another process speaks for it', async () => {
  const replaced = new PolyraftError('DataDirMismatch', 'another process runs as store 7')
  const { failures } = await reportTo(() => Promise.reject(replaced))
  expect(failures).toEqual([replaced])
})

test('a PD that is away ends nothing', async () => {
  const { failures } = await reportTo(() => Promise.reject(new PolyraftError('Unavailable', 'no')))
  expect(failures).toEqual([])
})
