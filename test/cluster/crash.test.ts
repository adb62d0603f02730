/** Real processes, killed without warning under load: nothing acknowledged is ever lost. */
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { connect } from '../../src/client/connect.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import { AcknowledgedWrites } from './acknowledged.ts'
import { TestCluster } from './harness.ts'

const INFLIGHT = 32
const RESUME_MS_MAX = 3_000

let cluster: TestCluster | undefined
let kv: KvClient | undefined
let writes: AcknowledgedWrites | undefined

afterEach(async () => {
  await writes?.stop()
  await kv?.close()
  await cluster?.destroy()
  kv = undefined
  cluster = undefined
})

/** Applied index of each region on one store, from its status server. */
async function appliedIndexes(status: string, regionIds: number[]): Promise<Map<number, number>> {
  const applied = new Map<number, number>()
  for (const id of regionIds) {
    const region = (await (await fetch(`http://${status}/region/${id}`)).json()) as {
      appliedIndex: number
    }
    applied.set(id, region.appliedIndex)
  }
  return applied
}

async function regionIdsOf(cluster: TestCluster): Promise<number[]> {
  const pd = await connectPd([cluster.pd], { logger: silentLogger })
  try {
    const regions = await pd.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)
    return regions.map(({ region }) => region.id)
  } finally {
    await pd.close()
  }
}

/** Every store has applied, of every region, what the furthest one had applied at the call. */
async function allCaughtUp(cluster: TestCluster): Promise<void> {
  const regionIds = await regionIdsOf(cluster)
  const goals = new Map<number, number>()
  const statuses = cluster.pids().stores.map(({ status }) => status)
  for (const status of statuses) {
    for (const [id, index] of await appliedIndexes(status, regionIds)) {
      goals.set(id, Math.max(goals.get(id) ?? 0, index))
    }
  }
  for (const status of statuses) {
    await expect
      .poll(
        async () => {
          const applied = await appliedIndexes(status, regionIds)
          return [...goals].filter(([id, goal]) => (applied.get(id) ?? 0) < goal)
        },
        { timeout: 20_000, interval: 200 },
      )
      .toEqual([])
  }
}

describe.each([1, 8])('a three-store cluster of %i region(s)', (regions) => {
  it('survives kill -9 of each store in turn, and the store catches up', async () => {
    cluster = await TestCluster.start({ regions })
    kv = await connect({ pd: [cluster.pd], timeoutMs: 10_000 })
    writes = new AcknowledgedWrites(kv, `one-${regions}`)
    writes.start(INFLIGHT)
    for (const index of [0, 1, 2]) {
      await writes.more(500)
      const before = cluster.pids().stores[index]!.pid
      cluster.killStore(index)
      // The supervisor starts it again; then it must take part before the next one is killed.
      await expect
        .poll(() => cluster!.pids().stores[index]!.pid, { timeout: 10_000, interval: 50 })
        .not.toBe(before)
      await expect
        .poll(
          () =>
            fetch(`http://${cluster!.pids().stores[index]!.status}/ready`).then(
              ({ status }) => status,
              () => 0,
            ),
          { timeout: 20_000, interval: 50 },
        )
        .toBe(200)
      await writes.more(500)
      await allCaughtUp(cluster)
    }
    await writes.stop()
    expect(writes.acknowledged.size).toBeGreaterThan(3_000)
    expect(await writes.missing(kv)).toEqual([])
    expect(writes.longestGapMs).toBeLessThan(RESUME_MS_MAX)
  }, 120_000)

  it('keeps every acknowledged write over kill -9 of all stores and PD at once', async () => {
    cluster = await TestCluster.start({ regions })
    kv = await connect({ pd: [cluster.pd], timeoutMs: 3_000 })
    writes = new AcknowledgedWrites(kv, `all-${regions}`)
    writes.start(INFLIGHT)
    await writes.more(2_000)
    await cluster.killAll()
    await writes.stop()
    await kv.close()
    await cluster.up()
    kv = await connect({ pd: [cluster.pd], timeoutMs: 10_000 })
    expect(await writes.missing(kv)).toEqual([])
    // And it goes on from there.
    await kv.put('after', 'restart')
    expect((await kv.get('after'))?.toString()).toBe('restart')
  }, 120_000)
})
