/** Many regions of which one replica is away: their logs stay within the space that was given them. */
import { afterEach, expect, it } from 'vitest'
import { KIB, MIB } from '../../src/base/limits.ts'
import { StoreHarness } from './harness.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

const REGIONS = 150
const PURGE = 2 * MIB
const SEGMENT = 128 * KIB

it('takes a steady amount of disk space, however much is written', async () => {
  harness = await StoreHarness.start({
    regions: REGIONS,
    config: {
      raftLogSegmentBytes: SEGMENT,
      raftLogPurgeBytes: PURGE,
      raftLogGcTickIntervalMs: 50,
      // By number and size of entries nothing would ever be compacted here.
      raftLogGcThreshold: 1_000_000,
      raftLogReserveMaxTicks: 1_000_000,
    },
  })
  await harness.stopStore(3)
  const metric = (number: number, name: string): number =>
    harness!.stores.get(number)!.metrics()[name]!
  const disk = (number: number): number => metric(number, 'raftlog_disk_bytes')
  for (let round = 1; round <= 8; round++) {
    await harness.write(round * 10_000, round * 10_000 + 2_500, 1_000)
    for (const number of [1, 2]) {
      // A log is written anew only while more than half of the files is waste, and a follower's
      // may wait for the store that leads.
      await expect.poll(() => disk(number), { timeout: 20_000 }).toBeLessThan(3 * PURGE)
    }
  }
  for (const number of [1, 2]) {
    expect(metric(number, 'raftlog_written_bytes')).toBeGreaterThan(8 * PURGE)
    expect(metric(number, 'compacted_entries')).toBeGreaterThan(REGIONS)
  }
  expect(harness.failures).toEqual([])
})
