import { describe, expect, it } from 'vitest'
import { RawKind } from '../../src/protocol/raw.ts'
import { runCampaign } from './campaign.ts'
import { World } from './world.ts'

describe('a world of three stores', () => {
  it('elects the first peers of a bootstrap without waiting for time-outs', async () => {
    const world = await World.open({ regions: 3 })
    const leaders = []
    for (const { id } of world.regions) leaders.push((await world.awaitLeader(id)).self.storeId)
    expect(leaders).toEqual([1, 2, 3])
    expect(world.queue.nowMs).toBeLessThan(100)
  })

  it('puts, gets, deletes and scans', async () => {
    const world = await World.open()
    const { storeId } = (await world.awaitLeader()).self
    for (const key of ['a', 'b', 'c']) {
      expect((await world.answered(world.put(storeId, key, `${key}1`))).outcome).toBe('ok')
    }
    const gone = world.send(RawKind.Delete, 1, storeId, { key: Buffer.from('b') })
    expect((await world.answered(gone)).outcome).toBe('ok')
    expect((await world.answered(world.get(storeId, 'a'))).value).toBe('a1')
    expect((await world.answered(world.get(storeId, 'b'))).value).toBeUndefined()
    const scan = await world.answered(world.send(RawKind.Scan, 1, storeId, { limit: 10 }))
    expect(scan.response?.pairs.map(String)).toEqual(['a', 'a1', 'c', 'c1'])
    const keys = ['a', 'b', 'c'].map((key) => Buffer.from(key))
    const batch = await world.answered(world.send(RawKind.BatchGet, 1, storeId, { keys }))
    expect(batch.response?.pairs.map(String)).toEqual(['a', 'a1', 'c', 'c1'])
  })

  it('takes over when the leader is gone', async () => {
    const world = await World.open()
    const first = await world.awaitLeader()
    await world.answered(world.put(first.self.storeId, 'k', 'v'))
    world.stop(first.self.storeId, 'power-loss')
    const second = await world.awaitLeader()
    expect(second.self.storeId).not.toBe(first.self.storeId)
    expect((await world.answered(world.get(second.self.storeId, 'k'))).value).toBe('v')
  })

  it('tells raft that a store cannot be reached', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(500)
    const other = leader.region.peers.find(({ id }) => id !== leader.self.id)!
    expect(leader.raft.progressOf(other.id)?.state).toBe(1)
    world.stop(other.storeId, 'kill')
    await world.run(300)
    expect(world.network.counts.unreachable).toBeGreaterThan(0)
    expect(leader.raft.progressOf(other.id)?.state).toBe(0)
  })

  it('happens the same way again from the same seed', async () => {
    const first = await runCampaign(424_242)
    expect(await runCampaign(424_242)).toEqual(first)
  }, 300_000)
})
