/**
 * Memberships change at random while everything else goes wrong: clients, faults and invariants are
 * those of the campaign. SIM_SEEDS=200 SIM_FROM=1000 runs more; SIM_SEEDS=1 SIM_FROM=<seed> replays.
 */
import { expect, it } from 'vitest'
import { assert } from '../../src/base/assert.ts'
import { seededRandom } from '../../src/base/clock.ts'
import { dataEndKey, dataKey } from '../../src/region/keys.ts'
import { peerById } from '../../src/region/region.ts'
import { Faults } from './campaign.ts'
import { Clients } from './clients.ts'
import { Memberships } from './memberships.ts'
import type { SimStore } from './sim-store.ts'
import { World } from './world.ts'

const SEEDS = Number(process.env.SIM_SEEDS ?? 10)
const FROM = Number(process.env.SIM_FROM ?? 1)
const MS_PER_SEED_MAX = 20_000
const FAULTS_MS = 20_000
const HEAL_MS_MAX = 60_000

async function story(seed: number): Promise<Record<string, number>> {
  const random = seededRandom(seed * 6151 + 5)
  const world = await World.open({
    seed,
    stores: 5,
    replicas: 3,
    regions: 3,
    config: {
      storeIoPoolSize: random.below(3),
      raftLogCacheBytes: random.below(2) * 4096,
      raftLogSegmentBytes: (4 << random.below(3)) * 1024,
      raftLogGcTickIntervalMs: 200 + random.below(1_500),
      raftLogGcThreshold: 1 + random.below(20),
      raftLogGcCountLimit: 8 + random.below(80),
      raftLogReserveMaxTicks: random.below(4),
      concurrentSendSnapLimit: 1 + random.below(3),
      concurrentRecvSnapLimit: 1 + random.below(2),
      snapIoMaxBytesPerSec: 4096 << (4 + random.below(6)),
    },
  })
  const clients = new Clients(world, random)
  clients.start(6)
  clients.churn(10 + random.below(40))
  const memberships = new Memberships(world, random)
  memberships.start()
  const faults = new Faults(world, random, seed % 4 === 3)
  const end = world.queue.nowMs + FAULTS_MS
  while (world.queue.nowMs < end) {
    await world.run(50 + random.below(1500))
    await faults.strike()
    clients.check()
  }
  memberships.stop()
  await faults.healAll()
  for (const { id } of world.regions) await world.awaitLeader(id, HEAL_MS_MAX)
  await memberships.finish(HEAL_MS_MAX)
  clients.stop()
  await world.until(() => clients.running === 0, HEAL_MS_MAX)
  await clients.readAll()
  clients.check()
  await mustConverge(world)
  await memberships.dismiss(HEAL_MS_MAX)
  mustBeGone(world)
  return { ...memberships.counts, ...clients.counts, ...countersOf(world) }
}

/** Members hold the same data. */
async function mustConverge(world: World): Promise<void> {
  for (const { id } of world.regions) {
    const leader = await world.awaitLeader(id, HEAL_MS_MAX)
    await world.until(() => {
      return leader.region.peers.every(({ storeId }) => {
        const peer = world.store(storeId).peer(id)
        const applied = peer?.appliedIndex === leader.raft.commitIndex
        return applied && peer?.install === undefined && peer.region.peers.length === 3
      })
    }, HEAL_MS_MAX)
    const contents = leader.region.peers.map((peer) => rowsOf(world.store(peer.storeId), id, world))
    for (const content of contents) assert(content === contents[0], 'members hold the same data')
  }
}

/** Nobody else holds any. */
function mustBeGone(world: World): void {
  for (const { id } of world.regions) {
    const { region } = world.leader(id)!
    for (const store of world.stores) {
      const here = store.peer(id)?.self.id ?? 0
      if (peerById(region, here) !== undefined) continue
      assert(store.peer(id) === undefined, `region ${id} is gone from store ${store.id}`)
      assert(rowsOf(store, id, world) === '', `store ${store.id} holds nothing of region ${id}`)
    }
  }
}

function rowsOf({ engine }: SimStore, regionId: number, world: World): string {
  const { startKey, endKey } = world.region(regionId)
  const all = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: false }
  const range = { start: dataKey(startKey), end: dataEndKey(endKey) }
  return engine.scanSync(0, { ...range, ...all }).rows.join()
}

function countersOf(world: World): Record<string, number> {
  const counts = { created: 0, initialised: 0, destroyed: 0, changed: 0, tombstones: 0 }
  for (const { life } of world.stores) {
    if (life === undefined) continue
    counts.created += life.metrics.peersCreated
    counts.initialised += life.metrics.peersInitialised
    counts.destroyed += life.metrics.peersDestroyed
    counts.changed += life.metrics.peerChangesApplied
    counts.tombstones += life.metrics.tombstoneMessagesSent
  }
  return counts
}

it(
  `${SEEDS} stories of changing memberships from seed ${FROM}`,
  async () => {
    const total: Record<string, number> = {}
    for (let seed = FROM; seed < FROM + SEEDS; seed++) {
      try {
        const counts = await story(seed)
        for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
      } catch (cause) {
        throw new Error(`seed ${seed} fails`, { cause })
      }
    }
    if (process.env.SIM_SEEDS !== undefined) console.log(JSON.stringify(total))
    if (SEEDS >= 10) {
      for (const [name, count] of Object.entries(total)) expect(count, name).toBeGreaterThan(0)
    }
  },
  SEEDS * MS_PER_SEED_MAX,
)
