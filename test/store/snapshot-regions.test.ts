/** Many regions at once: a store that was away for longer than any of their logs remembers. */
import { afterEach, expect, it } from 'vitest'
import { StoreHarness } from './harness.ts'

const REGIONS = 200

let harness: StoreHarness | undefined

/** So many rounds of a write to every region. */
async function write(rounds: number): Promise<void> {
  const store = harness!.stores.get(1)!
  const starts = store.regions().map((id) => store.regionStatus(id)!.region.startKey)
  for (let i = 0; i < rounds; i++) {
    await Promise.all(
      starts.map((start) => harness!.kv.put(Buffer.concat([start, Buffer.from(` ${i}`)]), 'value')),
    )
  }
}

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

it('catches up 200 regions by snapshots while writes go on', async () => {
  harness = await StoreHarness.start({
    regions: REGIONS,
    config: {
      raftLogGcTickIntervalMs: 100,
      raftLogGcThreshold: 2,
      raftLogGcCountLimit: 5,
      raftLogReserveMaxTicks: 1,
    },
  })
  await write(5)
  const lasts = await harness.stopStore(3)
  await expect
    .poll(
      async () => {
        // Until every region has had more than its log keeps.
        await write(5)
        return harness!.reaching(lasts).length
      },
      { timeout: 30_000 },
    )
    .toBe(0)
  let writing = true
  const load = (async () => {
    let rounds = 0
    while (writing) {
      await write(1)
      rounds++
    }
    return rounds
  })()
  await harness.startStore(3)
  const metrics = () => harness!.stores.get(3)!.metrics()
  await expect
    .poll(() => metrics().snapshots_installed, { timeout: 60_000 })
    .toBeGreaterThanOrEqual(REGIONS)
  writing = false
  expect(await load).toBeGreaterThan(0)
  await expect.poll(() => harness!.behind(3), { timeout: 20_000, interval: 50 }).toEqual([])
  expect(metrics().snapshots_receiving).toBe(0)
  expect(harness.failures).toEqual([])
}, 150_000)
