/** What becomes of leaders and of those who waited for them. */
import { describe, expect, it } from 'vitest'
import { CAMPAIGN } from '../../src/peer/messages.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { ChangeType } from '../../src/region/change-peers.ts'
import { changeOf, sendOrder, tellRemoved } from './memberships.ts'
import { World } from './world.ts'

function orderRemoval(world: World, leader: Peer, gone: Peer): void {
  const changes = [changeOf(ChangeType.Remove, gone.self)]
  sendOrder(world, leader, { changes, transferTo: [] })
}

/** A region that lost one of its three replicas; the other may not know yet. */
async function twoVoters(): Promise<{ world: World; leader: Peer; other: Peer }> {
  const world = await World.open()
  const leader = await world.awaitLeader()
  await world.run(500)
  const [gone, other] = world.stores.map((s) => s.peer(1)!).filter((p) => p !== leader)
  orderRemoval(world, leader, gone!)
  await world.until(() => leader.region.peers.length === 2)
  return { world, leader, other: other! }
}

describe('the only replica of a region', () => {
  it('leads at once after a restart, though its entries have to come from disk', async () => {
    const config = { raftLogCacheBytes: 0, raftMaxSizePerMsg: 512 }
    const world = await World.open({ stores: 1, config })
    await world.awaitLeader()
    for (let i = 0; i < 40; i++) await world.answered(world.put(1, `k${i}`, `${i}`.padEnd(100)))
    world.stop(1, 'power-loss')
    await world.restart(1)
    const peer = world.store(1).peer(1)!
    expect(peer.appliedIndex).toBeLessThan(peer.raft.commitIndex)
    const beginMs = world.queue.nowMs
    await world.awaitLeader()
    expect(world.queue.nowMs - beginMs).toBeLessThan(200)
    expect((await world.answered(world.get(1, 'k39'))).value?.trim()).toBe('39')
  })
})

describe('proposals of a leader that was deposed', () => {
  it('are answered in the end, though it hears of nobody: their outcome is open', async () => {
    const world = await World.open()
    const { storeId } = (await world.awaitLeader()).self
    await world.run(500)
    world.network.isolate(storeId)
    const call = world.put(storeId, 'k', 'v')
    await world.until(() => world.leader() !== world.store(storeId).peer(1), 5_000)
    await world.run(2_000)
    expect(call.outcome).toBe('waiting')
    await world.answered(call, 5_000)
    expect(call.outcome).toBe('UndeterminedResult')
    expect(call.response?.regionError?.message).toMatch(/leadership was lost/)
    expect(world.store(storeId).life!.inflight.requests).toBe(0)
  })

  it('are refused for certain where the next leader is heard of soon', async () => {
    const world = await World.open()
    const { storeId } = (await world.awaitLeader()).self
    await world.run(500)
    world.network.isolate(storeId)
    const call = world.put(storeId, 'k', 'v')
    await world.until(() => {
      const leader = world.leader()
      return leader !== undefined && leader.self.storeId !== storeId
    })
    world.network.heal()
    await world.answered(call)
    expect(call.outcome).toBe('StaleCommand')
  })
})

describe('two voters, of which one leads and applies its own removal', () => {
  it.each(['kill', 'power-loss'] as const)(
    'leave one that hears of it from the tombstone, when the last word got lost (%s)',
    async (how) => {
      const { world, leader: stays, other: goes } = await twoVoters()
      await world.until(() => goes.region.peers.length === 2)
      const from = goes.self.storeId
      const to = stays.self.storeId

      // The removal is in both logs, and its leader does not get to know.
      world.network.cut(from, to)
      orderRemoval(world, stays, goes)
      await world.until(() => stays.raft.lastIndex > stays.raft.commitIndex)
      await world.until(() => goes.raft.persistedIndex === stays.raft.lastIndex)
      world.network.cut(to, from)
      await world.until(() => !stays.isLeader)
      const removal = stays.raft.lastIndex

      // The other leads, and commits it; nobody else may know.
      world.network.heal()
      world.store(from).life!.router.sendForced(1, CAMPAIGN)
      await world.until(() => goes.isLeader && stays.raft.lastIndex > removal)
      world.network.cut(from, to)
      await world.until(() => world.store(from).peer(1) === undefined)
      expect(stays.raft.commitIndex).toBeLessThan(removal)

      world.stop(from, how)
      await world.restart(from)
      world.network.heal()
      expect((await world.awaitLeader()).self.storeId).toBe(to)
      expect((await world.answered(world.put(to, 'k', 'v'))).outcome).toBe('ok')
    },
  )
})

it('a region that shrinks to one voter commits by that one from then on', async () => {
  const { world, leader, other } = await twoVoters()
  const { storeId } = leader.self
  orderRemoval(world, leader, other)
  // Writes all the time: some are durable here and nowhere else when the membership changes.
  const calls = []
  while (calls.length < 1_000 && leader.region.peers.length === 2) {
    calls.push(world.put(storeId, `k${calls.length}`, 'v'))
    await world.run(0.05)
  }
  for (const call of calls) expect((await world.answered(call)).outcome).toBe('ok')
  expect(leader.region.peers).toHaveLength(1)
  expect((await world.answered(world.put(storeId, 'k', 'v'))).outcome).toBe('ok')
})

it('a leader that removed the only other voter knows of it after a power loss', async () => {
  const { world, leader, other } = await twoVoters()
  const { storeId } = leader.self
  const { storeId: dead } = other.self
  orderRemoval(world, leader, other)
  // PD tells the other that it is removed; that this is committed it never hears from anybody.
  const { lastIndex } = leader.raft
  await world.until(() => other.raft.persistedIndex > lastIndex)
  world.network.cut(storeId, dead)
  await world.until(() => leader.region.peers.length === 1)
  tellRemoved(world, other, leader.region.epoch)
  await world.until(() => world.store(dead).peer(1) === undefined)
  expect(other.raft.commitIndex).toBeLessThan(leader.raft.commitIndex)
  world.network.heal()
  world.stop(storeId, 'power-loss')
  await world.restart(storeId)
  expect((await world.awaitLeader()).self.storeId).toBe(storeId)
  expect((await world.answered(world.put(storeId, 'k', 'v'))).outcome).toBe('ok')
})
