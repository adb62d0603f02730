/** A leader's machine is suspended, others take over, and it wakes with a clock that missed all of it. */
import { describe, expect, it } from 'vitest'
import { type Random, seededRandom } from '../../src/base/clock.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { MessageType } from '../../src/raft/types.ts'
import { holdsLease } from './invariants.ts'
import { checkRegister, type RegisterOperation } from './register-check.ts'
import { suspend } from './suspend.ts'
import { type Call, World } from './world.ts'

const ASLEEP_MS = 5_000

async function led(world: World): Promise<Peer> {
  const leader = await world.awaitLeader()
  const { storeId } = leader.self
  await world.answered(world.put(storeId, 'k', 'v1'))
  await world.answered(world.get(storeId, 'k'))
  expect(holdsLease(leader)).toBe(true)
  return leader
}

/** Another leads, and has taken a write; then the first one wakes, with nobody to tell it. */
async function overtake(world: World, old: Peer): Promise<void> {
  const wakeMs = world.queue.nowMs + ASLEEP_MS
  suspend(world, old.self.storeId, ASLEEP_MS)
  // What is on its way arrives, to be read when it wakes.
  await world.run(5)
  world.network.isolate(old.self.storeId)
  await world.until(() => (world.leader()?.raft.term ?? 0) > old.raft.term)
  const next = await world.awaitLeader()
  expect((await world.answered(world.put(next.self.storeId, 'k', 'v2'))).outcome).toBe('ok')
  await world.run(wakeMs - world.queue.nowMs)
}

describe('a leader that was suspended', () => {
  it('does not answer by the lease that it had', async () => {
    const world = await World.open()
    const old = await led(world)
    await overtake(world, old)
    expect(old.lease.validAt(world.store(old.self.storeId).clock.monotonicMs())).toBe(true)
    const read = world.get(old.self.storeId, 'k')
    await world.run(100)
    expect([old.isLeader, read.outcome]).toEqual([true, 'waiting'])
    world.network.heal()
    expect((await world.answered(read)).outcome).toBe('NotLeader')
  })

  it('has no lease by answers to what it proposed before', async () => {
    const world = await World.open()
    const old = await led(world)
    const { storeId } = old.self
    const write = world.put(storeId, 'k', 'v1b')
    const proposed = old.raft.lastIndex + 1
    await world.until(() => old.raft.lastIndex === proposed)
    await overtake(world, old)
    expect(write.outcome).toBe('waiting')
    expect((await world.answered(write, 10)).outcome).toBe('ok')
    const read = world.get(storeId, 'k')
    await world.run(100)
    expect([old.isLeader, read.outcome]).toEqual([true, 'waiting'])
  })

  it('has no lease by answers to what it asked before', async () => {
    const world = await World.open()
    const old = await led(world)
    const { storeId } = old.self
    await world.run(2_000)
    expect(holdsLease(old)).toBe(false)
    const before = world.get(storeId, 'k')
    let asked = false
    world.network.filter = ({ message: { type } }) => {
      asked ||= type === MessageType.Heartbeat
      return true
    }
    await world.until(() => asked)
    await overtake(world, old)
    const read = world.get(storeId, 'k')
    await world.run(100)
    // The first was asked before the other wrote, and its answer was on the way.
    expect([before.outcome, before.value, read.outcome]).toEqual(['ok', 'v1', 'waiting'])
  })

  it('reads by a lease again once a quorum has answered it', async () => {
    const world = await World.open()
    const leader = await led(world)
    const { storeId } = leader.self
    const { metrics } = world.store(storeId).life!
    suspend(world, storeId, 200)
    await world.run(201)
    const { leaseReads, readIndexRounds } = metrics
    expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v1')
    expect(holdsLease(leader)).toBe(true)
    expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v1')
    const rounds = metrics.readIndexRounds - readIndexRounds
    expect([metrics.leaseReads - leaseReads, rounds]).toEqual([1, 1])
  })
})

interface Running {
  readonly call: Call
  readonly begin: number
  readonly value: string | undefined
}

/** Of those that believe to lead, any: what one wrote, the other must not forget. */
function anyLeader(world: World, random: Random): number {
  const leaders = world.stores.filter((store) => store.peer(1)!.isLeader)
  return leaders.length === 0 ? 1 : leaders[random.below(leaders.length)]!.id
}

function maybeSuspend(world: World, random: Random): void {
  if (random.below(40) === 0) world.network.heal()
  if (random.below(60) > 0) return
  const storeId = world.leader()?.self.storeId ?? 1 + random.below(3)
  if (world.queue.nowMs < world.store(storeId).pausedUntilMs) return
  suspend(world, storeId, 50 + random.below(3_000))
  if (random.below(2) === 0) world.network.isolate(storeId)
}

/** Clients write and read one register, while leaders are suspended. */
async function history(seed: number): Promise<RegisterOperation[]> {
  const world = await World.open({ seed })
  const random = seededRandom(seed * 977)
  await world.answered(world.put((await world.awaitLeader()).self.storeId, 'k', '0'))
  const first = { kind: 'write', value: '0', begin: 0, end: world.queue.nowMs } as const
  const running: Running[] = []
  const ends = new Map<Call, number>()
  world.onAnswer = (call) => ends.set(call, world.queue.nowMs)
  for (let i = 1; i < 1_500; i++) {
    const begin = world.queue.nowMs
    const storeId = anyLeader(world, random)
    const value = random.below(4) === 0 ? `${i}` : undefined
    const call = value === undefined ? world.get(storeId, 'k') : world.put(storeId, 'k', value)
    running.push({ call, begin, value })
    await world.run(1 + random.below(20))
    maybeSuspend(world, random)
  }
  world.network.heal()
  await world.run(10_000)
  return [first, ...running.flatMap((each) => operationOf(each, ends))]
}

/** What may have had an effect, or showed one. */
function operationOf(
  { call, begin, value }: Running,
  ends: ReadonlyMap<Call, number>,
): RegisterOperation[] {
  const { outcome } = call
  const end = outcome === 'ok' ? ends.get(call)! : Number.POSITIVE_INFINITY
  if (value === undefined) {
    return outcome === 'ok' ? [{ kind: 'read', value: call.value, begin, end }] : []
  }
  return outcome === 'NotLeader' ? [] : [{ kind: 'write', value, begin, end }]
}

it.each([1, 2, 3, 4, 5, 6, 7, 8])(
  'readers see one register, whoever is suspended: seed %i',
  async (seed) => {
    const operations = await history(seed)
    expect(operations.filter(({ kind }) => kind === 'read').length).toBeGreaterThan(100)
    expect(checkRegister(operations)).toBeUndefined()
  },
)
