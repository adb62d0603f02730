/** What is told when, measured by what is on disk; and what a crash may take away. */
import { describe, expect, it } from 'vitest'
import { ColumnFamily } from '../../src/engine/port.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { newMessage } from '../../src/raft/message.ts'
import { MessageType } from '../../src/raft/types.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import { decodeApplyState } from '../../src/region/state.ts'
import { World } from './world.ts'

function followers(leader: Peer): number[] {
  return leader.region.peers.filter(({ id }) => id !== leader.self.id).map((p) => p.storeId)
}

describe('messages and fsyncs', () => {
  it('appends leave before the leader has fsynced them', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(500)
    const store = world.store(leader.self.storeId)
    store.diskHeld = true
    const call = world.put(store.id, 'k', 'v')
    await world.run(50)
    for (const id of followers(leader)) {
      expect(world.store(id).peer(1)!.raft.lastIndex).toBe(leader.raft.lastIndex)
    }
    expect(leader.persist.length).toBe(1)
    // A quorum has it without the leader, who may not apply what it could still lose.
    expect(leader.raft.commitIndex).toBe(leader.raft.lastIndex)
    expect(call.outcome).toBe('waiting')
    store.releaseDisk()
    expect((await world.answered(call)).outcome).toBe('ok')
  })

  it('followers answer only after their fsync', async () => {
    const world = await World.open()
    const leader = await world.awaitLeader()
    await world.run(500)
    let answers = 0
    world.network.filter = ({ message }) => {
      if (message.type === MessageType.AppendResponse) answers++
      return true
    }
    for (const id of followers(leader)) world.store(id).diskHeld = true
    const call = world.put(leader.self.storeId, 'k', 'v')
    await world.run(80)
    expect(answers).toBe(0)
    expect(call.outcome).toBe('waiting')
    world.store(followers(leader)[0]!).releaseDisk()
    expect((await world.answered(call)).outcome).toBe('ok')
    expect(answers).toBeGreaterThan(0)
  })

  // Larger writes have no zeros written ahead of them.
  it.each([100, 300_000])(
    'a follower that was killed before its fsync answers for %i bytes only once they are durable',
    async (bytes) => {
      const world = await World.open({ config: { storeIoPoolSize: 1 } })
      const leader = await world.awaitLeader()
      await world.run(500)
      const first = leader.self.storeId
      const [killed, cut] = followers(leader) as [number, number]
      world.network.isolate(cut)
      world.store(killed).diskHeld = true
      const call = world.put(first, 'k', 'x'.repeat(bytes))
      await world.run(20)
      expect(world.store(killed).peer(1)!.raft.lastIndex).toBe(leader.raft.lastIndex)
      expect(call.outcome).toBe('waiting')
      world.stop(killed, 'kill')
      await world.restart(killed)
      // What it finds completes the quorum. Then its machine loses power, and the leader's is gone.
      expect((await world.answered(call)).outcome).toBe('ok')
      world.stop(killed, 'power-loss')
      await world.restart(killed)
      world.stop(first, 'power-loss')
      world.network.heal()
      const next = await world.awaitLeader()
      const read = await world.answered(world.get(next.self.storeId, 'k'))
      expect(read.value?.length).toBe(bytes)
    },
  )

  it('a leader on its own acknowledges nothing that is not durable', async () => {
    const world = await World.open({ stores: 1 })
    await world.awaitLeader()
    await world.answered(world.put(1, 'k', 'v1'))
    world.store(1).diskHeld = true
    const call = world.put(1, 'k', 'v2')
    await world.run(200)
    expect(call.outcome).toBe('waiting')
    world.stop(1, 'power-loss')
    await world.restart(1)
    await world.awaitLeader()
    expect((await world.answered(world.get(1, 'k'))).value).toBe('v1')
  })

  it.each([0, 1, 2])(
    '%i writers: everything acknowledged survives a power loss of all',
    async (writers) => {
      const world = await World.open({ regions: 2, config: { storeIoPoolSize: writers } })
      for (const [key, region] of [
        ['a', 1],
        ['b', 2],
      ] as const) {
        const { storeId } = (await world.awaitLeader(region)).self
        for (let i = 0; i < 20; i++) {
          const call = await world.answered(world.put(storeId, `${key}${i}`, `v${i}`))
          expect(call.outcome).toBe('ok')
          if (key === 'a' && i === 10) for (const { engine } of world.stores) engine.sync()
        }
      }
      const applied = world.stores.map((store) => store.peer(1)!.appliedIndex)
      for (const { id } of world.stores) world.stop(id, 'power-loss', world.random)
      for (const { id } of world.stores) await world.restart(id)
      // The engine lost what was not synced, and gets it back from the log.
      const after = world.stores.map((store) => store.peer(1)!.appliedIndex)
      expect(after.some((index, i) => index < applied[i]!)).toBe(true)
      for (const [key, region] of [
        ['a', 1],
        ['b', 2],
      ] as const) {
        const { storeId } = (await world.awaitLeader(region)).self
        for (let i = 0; i < 20; i++) {
          expect((await world.answered(world.get(storeId, `${key}${i}`))).value).toBe(`v${i}`)
        }
      }
    },
  )
})

describe('a disk that fails', () => {
  it.each([0, 1])('%i writers: nothing is acknowledged after it', async (writers) => {
    const world = await World.open({ config: { storeIoPoolSize: writers } })
    const leader = await world.awaitLeader()
    const { storeId } = leader.self
    await world.answered(world.get(storeId, 'k'))
    const store = world.store(storeId)
    store.faults.failOnce('sync', 'EIO')
    const calls = ['a', 'b', 'c'].map((key) => world.put(storeId, key, 'v'))
    const scan = world.get(storeId, 'k')
    const outcomesThen: string[] = []
    world.onAnswer = () => outcomesThen.push(world.fatal.length > 0 ? 'after' : 'before')
    await world.until(() => world.fatal.length > 0)
    expect(world.fatal[0]!.error).toMatchObject({ code: 'DiskError' })
    for (const call of calls) {
      expect(call.outcome).toBe('UndeterminedResult')
    }
    expect(scan.done).toBe(true)
    expect(store.life!.inflight.requests).toBe(0)
    await world.run(3_000)
    expect(outcomesThen.filter((when) => when === 'after')).toEqual([])
    const late = world.put(storeId, 'd', 'v')
    expect(late.outcome).not.toBe('ok')
    expect(late.done).toBe(true)
    const next = await world.awaitLeader()
    expect(next.self.storeId).not.toBe(storeId)
  })
})

describe('leadership that ends', () => {
  it('answers writes that can no longer commit as stale', async () => {
    const world = await World.open()
    const old = await world.awaitLeader()
    await world.answered(world.put(old.self.storeId, 'k', 'v1'))
    world.network.isolate(old.self.storeId)
    const lost = world.put(old.self.storeId, 'k', 'v2')
    await world.until(() => (world.leader()?.raft.term ?? 0) > old.raft.term)
    const next = await world.awaitLeader()
    expect(lost.outcome).toBe('waiting')
    await world.answered(world.put(next.self.storeId, 'other', 'v3'))
    world.network.heal()
    expect((await world.answered(lost)).outcome).toBe('StaleCommand')
    expect((await world.answered(world.get(next.self.storeId, 'k'))).value).toBe('v1')
  })

  it('a notice of a later term does not pass for an answer to an append', async () => {
    const world = await World.open()
    world.network.isolate(3)
    const leader = await world.awaitLeader()
    const from = leader.region.peers.find(({ storeId }) => storeId === 3)!
    const message = newMessage(MessageType.AppendResponse, leader.self.id)
    message.from = from.id
    message.term = leader.raft.term
    const { region, self } = leader
    const envelope = { regionId: 1, from, to: self, epoch: region.epoch, message }
    world.store(self.storeId).life!.router.sendForced(1, { tag: PeerTag.Raft, envelope })
    await world.run(50)
    world.network.heal()
    await world.run(1_000)
    expect(world.store(3).peer(1)!.raft.lastIndex).toBe(leader.raft.lastIndex)
  })

  it('is handed over when the store stops, whatever moment it is', async () => {
    for (let part = 0; part < 20; part++) {
      const world = await World.open({ config: { raftHeartbeatTicks: 3 } })
      const leader = await world.awaitLeader()
      await world.run(3_900 + part * 25)
      const { storeId } = leader.self
      world.store(storeId).life!.router.sendControlForced({ kind: 'transfer-away' })
      await world.run(10)
      const write = world.put(storeId, 'k', 'v')
      await world.run(90)
      expect(write.outcome).toBe('NotLeader')
      const next = world.leader()
      expect(next?.self.storeId).not.toBe(storeId)
    }
  })
})

it('a start gives up no log that a power loss could want back', async () => {
  const config = {
    raftLogGcTickIntervalMs: 100,
    raftLogGcThreshold: 1,
    raftLogReserveMaxTicks: 0,
    storeIoPoolSize: 0,
  }
  const world = await World.open({ stores: 1, config })
  await world.awaitLeader()
  for (let i = 0; i < 10; i++) await world.answered(world.put(1, `k${i}`, 'v'))
  const truncated = () =>
    decodeApplyState(world.store(1).engine.get(ColumnFamily.Raft, applyStateKey(1))!).truncatedIndex
  const before = world.store(1).peer(1)!.raft.firstIndex
  // Apply has given the log up, and the engine's barrier has not come yet.
  await world.until(() => truncated() >= before)
  expect(world.store(1).peer(1)!.raft.firstIndex).toBe(before)
  world.stop(1, 'kill')
  expect(await world.restart(1)).toBe(true)
  await world.until(() => world.store(1).peer(1)!.raft.firstIndex > before)
  world.stop(1, 'power-loss')
  expect(await world.restart(1)).toBe(true)
  await world.awaitLeader()
  for (let i = 0; i < 10; i++) {
    expect((await world.answered(world.get(1, `k${i}`))).value).toBe('v')
  }
})
