/** Regions at rest: what lets them sleep, and that whatever happens wakes those whom it concerns. */
import { describe, expect, it } from 'vitest'
import { MessageType } from '../../src/raft/types.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import { World, type WorldOptions } from './world.ts'

/** Quiet for an election time-out, with room for the election before. */
const ASLEEP_MS_MAX = 5_000

function sleepers(world: World, regionId = 1): number[] {
  return world.stores
    .filter((store) => store.peer(regionId)?.hibernation.asleep === true)
    .map(({ id }) => id)
}

/** All replicas of all regions. */
function allAsleep(world: World): boolean {
  return world.regions.every(({ id, peers }) => sleepers(world, id).length === peers.length)
}

async function asleep(options: WorldOptions = {}): Promise<World> {
  const world = await World.open(options)
  for (const { id } of world.regions) await world.awaitLeader(id)
  await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
  return world
}

function leaderStore(world: World): number {
  return world.leader()!.self.storeId
}

function followerStores(world: World): number[] {
  return world.stores.map(({ id }) => id).filter((id) => id !== leaderStore(world))
}

describe('a region without work', () => {
  it.each([1, 2, 3, 5])('sleeps on all of its %i stores, and costs no message', async (stores) => {
    const world = await asleep({ stores, regions: 3 })
    const before = world.network.counts.sent
    await world.run(60_000)
    expect(world.network.counts.sent).toBe(before)
    expect(allAsleep(world)).toBe(true)
    for (const { life } of world.stores) expect([...life!.awake]).toEqual([])
  })

  it('stays awake where that is wished', async () => {
    const world = await World.open({ config: { hibernateRegions: false } })
    await world.awaitLeader()
    await world.run(20_000)
    expect(sleepers(world)).toEqual([])
  })

  it('comes to rest where every tick brings heartbeats, too', async () => {
    await asleep({ config: { raftHeartbeatTicks: 1 } })
  })

  it('comes to rest again after work, with a log that was compacted', async () => {
    const world = await asleep({ config: { raftLogGcThreshold: 5, raftLogReserveMaxTicks: 1 } })
    for (let i = 0; i < 30; i++) await world.answered(world.put(leaderStore(world), `k${i}`, 'v'))
    expect(sleepers(world)).toEqual([])
    await world.run(30_000)
    expect(allAsleep(world)).toBe(true)
    const { raft } = world.leader()!
    expect(raft.lastIndex - raft.firstIndex).toBeLessThan(5)
  })
})

describe('what wakes a region', () => {
  it('a write, which takes no longer for it', async () => {
    const world = await asleep()
    const beginMs = world.queue.nowMs
    const call = await world.answered(world.put(leaderStore(world), 'k', 'v'))
    expect(call.outcome).toBe('ok')
    expect(world.queue.nowMs - beginMs).toBeLessThan(10)
    expect(sleepers(world)).toEqual([])
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
  })

  it.each(['put', 'get'] as const)('a %s whose messages get lost: time goes on', async (kind) => {
    const world = await asleep()
    await world.run(5_000)
    const leader = leaderStore(world)
    world.network.isolate(leader)
    const call = kind === 'put' ? world.put(leader, 'k', 'v') : world.get(leader, 'k')
    await world.run(100)
    world.network.heal()
    expect((await world.answered(call, 3_000)).outcome).toBe('ok')
  })

  it('a read of the leader, whose lease is over', async () => {
    const world = await asleep()
    await world.run(5_000)
    const call = await world.answered(world.get(leaderStore(world), 'k'), 100)
    expect(call.outcome).toBe('ok')
    expect(world.store(leaderStore(world)).life!.metrics.leaseReads).toBe(0)
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
  })

  it('a read of a follower', async () => {
    const world = await asleep()
    await world.answered(world.put(leaderStore(world), 'k', 'v'))
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
    const [follower] = followerStores(world)
    const call = await world.answered(world.get(follower!, 'k', { replicaRead: true }), 100)
    expect(call.value).toBe('v')
  })

  it('no request that is refused', async () => {
    const world = await asleep()
    const [follower] = followerStores(world)
    expect((await world.answered(world.put(follower!, 'k', 'v'))).outcome).toBe('NotLeader')
    expect(
      (await world.answered(world.put(leaderStore(world), 'k', 'v', { version: 7 }))).outcome,
    ).toBe('EpochNotMatch')
    expect(allAsleep(world)).toBe(true)
  })

  it('no wish of a store without leaders to lead nothing: awake without its leader it would campaign', async () => {
    const world = await asleep()
    const leader = leaderStore(world)
    const { term } = world.leader()!.raft
    for (let second = 0; second < 20; second++) {
      for (const id of followerStores(world)) {
        world.store(id).life!.router.sendControlForced({ kind: 'transfer-away' })
      }
      await world.run(1_000)
      expect(allAsleep(world)).toBe(true)
    }
    expect(leaderStore(world)).toBe(leader)
    expect(world.leader()!.raft.term).toBe(term)
  })

  it('no result of a truncation, which comes late: awake without its leader it would campaign', async () => {
    const world = await asleep({ config: { raftLogGcThreshold: 5, raftLogReserveMaxTicks: 1 } })
    const leader = leaderStore(world)
    const { term } = world.leader()!.raft
    for (let round = 0; round < 40; round++) {
      for (let i = 0; i < 6; i++) await world.answered(world.put(leader, `k${i}`, `${round}`))
      // The log is collected at another moment before or behind falling asleep each time.
      await world.run(8_000 + round * 70)
      expect(leaderStore(world)).toBe(leader)
      expect(world.leader()!.raft.term).toBe(term)
    }
    expect(world.store(leader).life!.metrics.compactedEntries).toBeGreaterThan(100)
  })

  it('a leader whose store was silent for a moment: its followers do not campaign', async () => {
    const world = await asleep()
    const leader = leaderStore(world)
    const { term } = world.leader()!.raft
    for (const id of followerStores(world)) {
      world.store(id).life!.router.sendControlForced({ kind: 'silent', storeId: leader })
    }
    await world.run(100)
    expect(sleepers(world)).toEqual([])
    await world.run(10_000)
    expect(allAsleep(world)).toBe(true)
    expect(leaderStore(world)).toBe(leader)
    expect(world.leader()!.raft.term).toBe(term)
  })

  it('the wish of the leader’s store to lead nothing', async () => {
    const world = await asleep()
    await world.run(5_000)
    const leader = leaderStore(world)
    world.store(leader).life!.router.sendControlForced({ kind: 'transfer-away' })
    await world.until(() => world.leader() !== undefined && leaderStore(world) !== leader, 100)
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
  })

  it.each(['kill', 'power-loss'] as const)(
    'the end of the leader’s store by a %s: the others elect, and sleep no more without it',
    async (how) => {
      const world = await asleep()
      await world.run(20_000)
      const dead = leaderStore(world)
      world.stop(dead, how)
      await world.until(() => world.leader() !== undefined, 5_000)
      const call = await world.answered(world.put(leaderStore(world), 'k', 'v'))
      expect(call.outcome).toBe('ok')
      await world.run(20_000)
      // Who is away has to be found as soon as it is back.
      expect(sleepers(world)).toEqual([])
      await world.restart(dead)
      await world.until(() => allAsleep(world), 10_000)
      expect(world.store(dead).peer(1)!.appliedIndex).toBe(world.leader()!.appliedIndex)
    },
  )

  it('the end of a follower’s store wakes its leader, but not the other follower', async () => {
    const world = await asleep()
    const [dead, other] = followerStores(world)
    const term = world.leader()!.raft.term
    world.stop(dead!, 'kill')
    await world.until(() => !sleepers(world).includes(leaderStore(world)), 2_000)
    await world.restart(dead!)
    await world.until(() => allAsleep(world), 10_000)
    expect(world.leader()!.raft.term).toBe(term)
    expect(world.store(other!).life!.failed).toBeUndefined()
  })

  it('a store that starts again before it was missed', async () => {
    const world = await asleep()
    const term = world.leader()!.raft.term
    const [follower] = followerStores(world)
    world.stop(follower!, 'kill')
    await world.restart(follower!)
    await world.run(10_000)
    expect(allAsleep(world)).toBe(true)
    expect(world.leader()!.raft.term).toBe(term)

    world.stop(leaderStore(world), 'kill')
    const old = world.stores.find(({ isUp }) => !isUp)!.id
    await world.restart(old)
    await world.until(() => world.leader() !== undefined, 5_000)
    expect((await world.answered(world.put(leaderStore(world), 'k', 'v'))).outcome).toBe('ok')
  })

  it('links that are cut, in one direction or both', async () => {
    for (const both of [false, true]) {
      const world = await asleep()
      const old = leaderStore(world)
      for (const follower of followerStores(world)) {
        world.network.cut(old, follower)
        if (both) world.network.cut(follower, old)
      }
      await world.until(() => world.leader()!.self.storeId !== old, 6_000)
      const next = leaderStore(world)
      await world.answered(world.put(next, 'k', 'new'))
      // The old one has slept through all of that, perhaps: it must not answer by itself.
      const call = world.get(old, 'k')
      await world.run(3_000)
      expect(call.value).toBeUndefined()
      world.network.heal()
      await world.until(() => allAsleep(world), 10_000)
    }
  })
})

describe('an agreement that does not come about', () => {
  /** Drops what followers agree to. */
  function dropAgreements(world: World, from: number): () => number {
    let dropped = 0
    world.network.filter = ({ hibernate, message, from: sender }) => {
      const agrees = hibernate !== undefined && message.type === MessageType.HeartbeatResponse
      if (agrees && sender.storeId === from) dropped++
      return !(agrees && sender.storeId === from)
    }
    return () => dropped
  }

  it('the leader stays awake and wakes those who agreed', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    const [one, other] = followerStores(world)
    const dropped = dropAgreements(world, one!)
    await world.run(20_000)
    expect(dropped()).toBeGreaterThan(3)
    expect(leader.hibernation.asleep).toBe(false)
    expect(world.leader()!.raft.term).toBe(leader.raft.term)
    expect(world.store(other!).life!.metrics.wakeUps).toBeGreaterThan(3)
    world.network.filter = undefined
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
  })

  it('a follower that has not applied all of it does not sleep', async () => {
    const world = await World.open()
    await world.awaitLeader()
    const [one] = followerStores(world)
    world.store(one!).applyMs = 20_000
    await world.answered(world.put(leaderStore(world), 'k', 'v'))
    await world.run(15_000)
    expect(sleepers(world)).not.toContain(one)
    expect(sleepers(world)).not.toContain(leaderStore(world))
    await world.until(() => allAsleep(world), 30_000)
    expect(world.store(one!).peer(1)!.appliedIndex).toBe(world.leader()!.appliedIndex)
  })

  it('a store that is gone by the time at which the last one agrees', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    const { storeId } = leader.self
    const [gone, other] = followerStores(world)
    let late: RaftEnvelope | undefined
    world.network.filter = (envelope) => {
      const agrees = envelope.hibernate !== undefined && envelope.from.storeId === other
      if (agrees) late = envelope
      return !agrees
    }
    await world.until(() => leader.hibernation.agreed?.length === 1 && late !== undefined)
    world.store(storeId).life!.router.sendControl({ kind: 'silent', storeId: gone! })
    await world.run(1)
    world.store(storeId).receive(other!, [late!])
    await world.run(1)
    expect(leader.hibernation.asleep).toBe(false)
  })

  it('work that was done since the ask: the followers are awake again', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    const { storeId } = leader.self
    const late: RaftEnvelope[] = []
    world.network.filter = (envelope) => {
      const agrees = envelope.hibernate !== undefined && envelope.from.storeId !== storeId
      if (agrees) late.push(envelope)
      return !agrees
    }
    await world.until(() => late.length === 2)
    expect((await world.answered(world.put(storeId, 'k', 'v'))).outcome).toBe('ok')
    await world.run(2)
    for (const envelope of late) world.store(storeId).receive(envelope.from.storeId, [envelope])
    await world.run(1)
    expect(leader.hibernation.asleep).toBe(false)
  })

  it('an ask that comes late puts nobody to sleep for long', async () => {
    const world = await World.open()
    await world.awaitLeader()
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
    const asks: RaftEnvelope[] = []
    world.network.filter = (envelope) => {
      if (envelope.hibernate !== undefined) asks.push(envelope)
      return true
    }
    await world.answered(world.put(leaderStore(world), 'k', 'v'))
    await world.until(() => allAsleep(world), ASLEEP_MS_MAX)
    const ask = asks.find(({ message }) => message.type === MessageType.Heartbeat)!
    world.stop(ask.from.storeId, 'kill')
    await world.run(1_000)
    world.store(ask.to.storeId).receive(ask.from.storeId, [ask])
    await world.until(() => world.leader() !== undefined, 8_000)
  })
})
