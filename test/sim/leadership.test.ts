/** What becomes of leaders and of those who waited for them. */
import { describe, expect, it } from 'vitest'
import { World } from './world.ts'

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
