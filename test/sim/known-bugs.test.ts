/** Faults that others shipped, by their numbers in our list, where it takes a whole store to have them. */
import { describe, expect, it } from 'vitest'
import { ColumnFamily } from '../../src/engine/port.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import { decodeApplyState } from '../../src/region/state.ts'
import { World } from './world.ts'

function followersOf(leader: Peer): number[] {
  return leader.region.peers.filter(({ id }) => id !== leader.self.id).map((p) => p.storeId)
}

/** What the engine of a store says that it applied, as a restart reads it. */
function appliedOnDisk(world: World, storeId: number): number {
  const stored = world.store(storeId).engine.get(ColumnFamily.Raft, applyStateKey(1))
  return decodeApplyState(stored!).appliedIndex
}

describe('known bugs', () => {
  it.each(['power-loss', 'kill'] as const)(
    '16 etcd#14370: an only store acknowledges nothing that a %s takes back',
    async (how) => {
      const world = await World.open({ stores: 1 })
      await world.awaitLeader()
      for (let i = 0; i < 20; i++) {
        const held = i % 3 === 0
        world.store(1).diskHeld = held
        const call = world.put(1, `k${i}`, 'v')
        await world.run(100)
        expect(call.outcome).toBe(held ? 'waiting' : 'ok')
        world.stop(1, how)
        await world.restart(1)
        await world.awaitLeader()
        if (!held) expect((await world.answered(world.get(1, `k${i}`))).value).toBe('v')
      }
      expect(world.fatal).toEqual([])
    },
  )

  it('17 etcd#10166, #16220: a follower whose tail was not fsynced is told of a later commit', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(500)
    const [id] = followersOf(leader) as [number]
    for (let round = 0; round < 5; round++) {
      world.store(id).diskHeld = true
      for (let i = 0; i < 5; i++) {
        const call = await world.answered(world.put(leader.self.storeId, `k${round}-${i}`, 'v'))
        expect(call.outcome).toBe('ok')
      }
      expect(world.store(id).peer(1)!.raft.lastIndex).toBe(leader.raft.lastIndex)
      world.stop(id, 'power-loss')
      await world.restart(id)
      const { raft } = world.store(id).peer(1)!
      expect(raft.lastIndex).toBeLessThan(leader.raft.commitIndex)
      expect(raft.commitIndex).toBeLessThanOrEqual(raft.lastIndex)
      await world.run(1_000)
      expect(world.store(id).peer(1)!.raft.commitIndex).toBe(leader.raft.commitIndex)
    }
    expect(world.fatal).toEqual([])
  })

  it('22 tikv#11396: what is applied stays committed over a restart', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(500)
    const { storeId } = leader.self
    for (let i = 0; i < 20; i++) await world.answered(world.put(storeId, `k${i}`, 'v'))
    // The quorum commits without the leader's disk: it must not apply what it could still lose.
    world.store(storeId).diskHeld = true
    const ahead = world.put(storeId, 'ahead', 'v')
    await world.run(50)
    expect(leader.raft.commitIndex).toBe(leader.raft.lastIndex)
    expect(leader.appliedIndex).toBeLessThan(leader.raft.commitIndex)
    expect(ahead.outcome).toBe('waiting')
    for (const store of world.stores) {
      // All that was applied is on disk; the commit index went there with the next write, or never.
      store.engine.sync()
      const applied = appliedOnDisk(world, store.id)
      world.stop(store.id, 'power-loss')
      await world.restart(store.id)
      const { raft } = world.store(store.id).peer(1)!
      expect(raft.commitIndex).toBeGreaterThanOrEqual(applied)
      expect(raft.lastIndex).toBeGreaterThanOrEqual(applied)
    }
    const next = await world.awaitLeader()
    for (let i = 0; i < 20; i++) {
      expect((await world.answered(world.get(next.self.storeId, `k${i}`))).value).toBe('v')
    }
    expect(world.fatal).toEqual([])
  })
})
