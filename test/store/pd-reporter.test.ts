/** What PD is told of a store, and of the regions that it leads. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { PdClient, RegionHeartbeat, StoreStats } from '../../src/pd/port.ts'
import type { RegionReport } from '../../src/peer/ports.ts'
import { PdReporter } from '../../src/store/pd-reporter.ts'
import { peerOn, regionOf } from '../peer/fixture.ts'

const INTERVAL_MS = 10_000

let nowMs: number
let told: StoreStats[]
let beats: RegionHeartbeat[]
let said: string[]
let failures: Error[]
let answers: () => Promise<void>
let reporter: PdReporter

beforeEach(() => {
  vi.useFakeTimers()
  nowMs = 5_000_900
  told = []
  beats = []
  said = []
  failures = []
  answers = async () => {}
  const pd: Partial<PdClient> = {
    storeHeartbeat: (stats) => {
      told.push(stats)
      return answers()
    },
    regionHeartbeat: (beat) => void beats.push(beat),
  }
  reporter = new PdReporter({
    pd: pd as PdClient,
    storeId: 4,
    startTimeS: 5_000,
    disk: () => ({ totalBytes: 1_000, freeBytes: 300 }),
    clock: { monotonicMs: () => 0, wallMs: () => nowMs },
    logger: {
      ...silentLogger,
      info: (_, text) => void said.push(text),
      warn: (_, text) => void said.push(text),
    },
    intervalMs: INTERVAL_MS,
    figures: () => ({ regionCount: 3, isBusy: true }),
    fail: (error) => void failures.push(error),
  })
})

afterEach(() => {
  reporter.stop()
  vi.useRealTimers()
})

async function pass(ms: number): Promise<void> {
  nowMs += ms
  await vi.advanceTimersByTimeAsync(ms)
}

const REPORT: RegionReport = {
  region: regionOf('1 2 3'),
  leader: peerOn(1),
  term: 8,
  downPeers: [{ peer: peerOn(2), downSeconds: 700 }],
  pendingPeers: [peerOn(3)],
  keysWritten: 1,
  bytesWritten: 20,
  keysRead: 300,
  bytesRead: 4_000,
}

it('the store, at once and then once an interval, until it stops', async () => {
  reporter.start()
  expect(told).toEqual([
    {
      storeId: 4,
      capacity: 1_000,
      available: 300,
      usedSize: 700,
      regionCount: 3,
      isBusy: true,
      startTime: 5_000,
      keysWritten: 0,
      bytesWritten: 0,
      keysRead: 0,
      bytesRead: 0,
      intervalStartS: 5_000,
      intervalEndS: 5_000,
    },
  ])
  await pass(INTERVAL_MS - 1)
  expect(told).toHaveLength(1)
  await pass(1)
  expect(told).toHaveLength(2)
  reporter.stop()
  await pass(INTERVAL_MS)
  expect(told).toHaveLength(2)
})

it('the sum of what its regions did, of each interval alone', async () => {
  reporter.start()
  reporter.reportRegion(REPORT)
  reporter.reportRegion(REPORT)
  await pass(INTERVAL_MS)
  await pass(INTERVAL_MS)
  const none = { keysWritten: 0, bytesWritten: 0, keysRead: 0, bytesRead: 0, startTime: 5_000 }
  expect(told.slice(1)).toMatchObject([
    {
      keysWritten: 2,
      bytesWritten: 40,
      keysRead: 600,
      bytesRead: 8_000,
      intervalStartS: 5_000,
      intervalEndS: 5_010,
    },
    { ...none, intervalStartS: 5_010, intervalEndS: 5_020 },
  ])
})

it('a region as its leader reports it, with the interval', async () => {
  reporter.start()
  await pass(INTERVAL_MS)
  nowMs += 3_000
  reporter.reportRegion(REPORT)
  const times = { intervalStartS: 5_010, intervalEndS: 5_013 }
  expect(beats).toEqual([{ ...REPORT, ...times, approximateSize: 0, approximateKeys: 0 }])
})

it('that PD is away is said once, and that it answers again', async () => {
  answers = () => Promise.reject(new Error('away'))
  reporter.start()
  await pass(INTERVAL_MS)
  await pass(INTERVAL_MS)
  answers = async () => {}
  await pass(INTERVAL_MS)
  await pass(INTERVAL_MS)
  expect(said).toEqual(['PD does not answer', 'PD answers again'])
  expect(failures).toEqual([])
})

it('another process speaks for the store: this one ends', async () => {
  const replaced = new PolyraftError('DataDirMismatch', 'another process runs as store 4')
  answers = () => Promise.reject(replaced)
  reporter.start()
  await pass(0)
  expect(failures).toEqual([replaced])
})
