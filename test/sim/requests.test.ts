/** How requests enter a region: checks and their order, batching, bounds. */
import { describe, expect, it } from 'vitest'
import type { Peer } from '../../src/peer/peer.ts'
import { type RequestFields, World } from './world.ts'

function follower(leader: Peer): number {
  return leader.region.peers.find(({ id }) => id !== leader.self.id)!.storeId
}

describe('checks', () => {
  it('come in the order that clients rely on', async () => {
    const world = await World.open({ regions: 2 })
    const leader = await world.awaitLeader(1)
    // Each request fails for all reasons of the rows above it no more, and for all below it still.
    const rows: readonly (readonly [string, RequestFields])[] = [
      ['ServerIsBusy', { deadlineMs: 0 }],
      ['MismatchPeerId', { peerId: 999 }],
      ['NotLeader', {}],
      ['StaleCommand', { term: 1 }],
      ['EpochNotMatch', { version: 9 }],
      ['KeyNotInRegion', { key: Buffer.from('zzz') }],
    ]
    for (let i = 0; i < rows.length; i++) {
      const fields = Object.assign({}, ...rows.slice(i).map(([, one]) => one))
      const storeId = i <= 2 ? follower(leader) : leader.self.storeId
      const call = await world.answered(world.put(storeId, 'a', 'v', fields))
      expect(call.outcome).toBe(rows[i]![0])
    }
    const behindByOne = { term: leader.raft.term - 1 }
    const call = await world.answered(world.put(leader.self.storeId, 'a', 'v', behindByOne))
    expect(call.outcome).toBe('ok')
  })

  it('tell who leads', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(300)
    const call = await world.answered(world.put(follower(leader), 'a', 'v'))
    expect(call.response?.regionError).toMatchObject({ code: 'NotLeader', leader: leader.self })
  })

  it('refuse what came too late to be worth doing', async () => {
    const world = await World.open()
    const { storeId } = (await world.awaitLeader()).self
    world.store(storeId).pausedUntilMs = world.queue.nowMs + 100
    const late = world.put(storeId, 'a', 'v', { durationMsMax: 50 })
    const inTime = world.put(storeId, 'b', 'v', { durationMsMax: 500 })
    expect((await world.answered(late)).response?.regionError).toMatchObject({
      code: 'ServerIsBusy',
      message: 'Deadline is exceeded',
    })
    expect((await world.answered(inTime)).outcome).toBe('ok')
    expect((await world.answered(world.get(storeId, 'a'))).value).toBeUndefined()
  })
})

describe('batching', () => {
  it('puts the writes of a round into one entry', async () => {
    const world = await World.open()
    const { storeId } = (await world.awaitLeader()).self
    const { metrics } = world.store(storeId).life!
    const before = metrics.proposals
    const calls = Array.from({ length: 20 }, (_, i) => world.put(storeId, `k${i}`, `v${i}`))
    for (const call of calls) expect((await world.answered(call)).outcome).toBe('ok')
    expect(metrics.proposals - before).toBe(1)
    expect(metrics.proposedCommands).toBe(20)
  })

  it('takes no more messages of a region into a round than is set', async () => {
    const world = await World.open({ config: { messagesPerTick: 8 } })
    const { storeId } = (await world.awaitLeader()).self
    await world.run(300)
    const { metrics } = world.store(storeId).life!
    const before = { ...metrics }
    const calls = Array.from({ length: 20 }, (_, i) => world.put(storeId, `k${i}`, `v${i}`))
    await world.until(() => metrics.proposals > before.proposals)
    expect(metrics.proposedCommands - before.proposedCommands).toBe(8)
    for (const call of calls) expect((await world.answered(call)).outcome).toBe('ok')
  })

  it('lets writes gather while the last entry waits for its fsync', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    const { storeId } = leader.self
    const { metrics } = world.store(storeId).life!
    world.network.isolate(storeId)
    world.store(storeId).diskHeld = true
    const before = metrics.proposals
    const calls = []
    for (const key of ['a', 'b', 'c']) {
      calls.push(world.put(storeId, key, 'v'))
      await world.run(20)
    }
    expect(metrics.proposals - before).toBe(1)
    expect(leader.writes.length).toBe(2)
    world.store(storeId).releaseDisk()
    await world.run(20)
    expect(metrics.proposals - before).toBe(2)
    world.network.heal()
    for (const call of calls) expect((await world.answered(call)).outcome).toBe('ok')
  })

  it('ends an entry that is full, and refuses a write that no entry holds', async () => {
    const world = await World.open({ config: { raftEntryMaxSize: 4096 } })
    const { storeId } = (await world.awaitLeader()).self
    const { metrics } = world.store(storeId).life!
    const before = metrics.proposals
    const value = 'v'.repeat(400)
    const calls = Array.from({ length: 20 }, (_, i) => world.put(storeId, `k${i}`, value))
    const large = world.put(storeId, 'large', 'v'.repeat(5000))
    for (const call of calls) expect((await world.answered(call)).outcome).toBe('ok')
    expect(metrics.proposals - before).toBeGreaterThan(3)
    expect((await world.answered(large)).outcome).toBe('RaftEntryTooLarge')
  })
})

describe('bounds', () => {
  it('answer busy when too many messages wait for a region', async () => {
    const world = await World.open({ config: { mailboxCapacity: 8 } })
    const { storeId } = (await world.awaitLeader()).self
    const calls = Array.from({ length: 12 }, (_, i) => world.put(storeId, `k${i}`, 'v'))
    for (const call of calls) await world.answered(call)
    const outcomes = calls.map(({ outcome }) => outcome)
    expect(outcomes.filter((outcome) => outcome === 'ok').length).toBe(8)
    expect(outcomes.slice(8).every((outcome) => outcome === 'ServerIsBusy')).toBe(true)
  })

  it('answer busy when too many bytes are in flight, and forget them once answered', async () => {
    const world = await World.open({ config: { inflightBytesMax: 4096 } })
    const { storeId } = (await world.awaitLeader()).self
    const { inflight } = world.store(storeId).life!
    const value = 'v'.repeat(1500)
    const calls = ['a', 'b', 'c', 'd'].map((key) => world.put(storeId, key, value))
    for (const call of calls) await world.answered(call)
    expect(calls.map(({ outcome }) => outcome)).toEqual([
      'ok',
      'ok',
      'ServerIsBusy',
      'ServerIsBusy',
    ])
    expect(inflight.requests).toBe(0)
    expect(inflight.bytes).toBe(0)
  })
})
