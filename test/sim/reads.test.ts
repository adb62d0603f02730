/** Reads that are answered without asking anyone, and why they are right. */
import { describe, expect, it } from 'vitest'
import { CAMPAIGN } from '../../src/peer/messages.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { MessageType } from '../../src/raft/types.ts'
import { peerOnStore } from '../../src/region/region.ts'
import { holdsLease } from './invariants.ts'
import { sendOrder } from './memberships.ts'
import { checkRegister, type RegisterOperation } from './register-check.ts'
import { World } from './world.ts'

function followers(leader: Peer): number[] {
  return leader.region.peers.filter(({ id }) => id !== leader.self.id).map((p) => p.storeId)
}

function orderTransfer(world: World, leader: Peer, to: number): void {
  const target = peerOnStore(leader.region, to)!
  sendOrder(world, leader, { changes: undefined, transferTo: [target] })
}

async function led(world: World): Promise<Peer> {
  const leader = await world.awaitLeader()
  await world.answered(world.put(leader.self.storeId, 'k', 'v1'))
  await world.run(300)
  return leader
}

describe('leases', () => {
  it('carry reads until they run out; then a quorum is asked', async () => {
    const world = await World.open()
    const leader = await led(world)
    const { storeId } = leader.self
    const { metrics } = world.store(storeId).life!
    expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v1')
    expect([metrics.leaseReads, metrics.readIndexRounds]).toEqual([1, 0])
    await world.run(2_000)
    expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v1')
    expect([metrics.leaseReads, metrics.readIndexRounds]).toEqual([1, 1])
    expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v1')
    expect([metrics.leaseReads, metrics.readIndexRounds]).toEqual([2, 1])
  })

  it('are not voted away by a follower that restarted', async () => {
    const world = await World.open()
    const leader = await led(world)
    const [candidate, voter] = followers(leader) as [number, number]
    await world.answered(world.put(leader.self.storeId, 'k', 'v2'))
    world.network.isolate(leader.self.storeId)
    world.stop(voter, 'power-loss')
    await world.restart(voter)
    // Out of turn: without the voter's promise this would win at once.
    world.store(candidate).life!.router.sendForced(1, CAMPAIGN)
    while (holdsLease(leader)) {
      await world.step()
      expect(world.leader()).toBe(leader)
    }
    await world.until(() => world.leader() !== leader && world.leader() !== undefined)
  })

  it('are of no use to a new leader that has not applied what its predecessor acknowledged', async () => {
    const world = await World.open()
    const old = await led(world)
    for (const id of followers(old)) world.store(id).applyMs = 400
    await world.answered(world.put(old.self.storeId, 'k', 'v2'))
    world.network.isolate(old.self.storeId)
    await world.until(() => world.leader() !== old)
    const leader = world.leader()!
    const { storeId } = leader.self
    await world.until(() => leader.raft.committedToCurrentTerm())
    world.store(storeId).applyMs = 60_000
    const first = world.get(storeId, 'k')
    await world.run(50)
    // A quorum has confirmed it, which renews the lease.
    expect(leader.lease.validAt(world.store(storeId).clock.monotonicMs())).toBe(true)
    const second = world.get(storeId, 'k')
    await world.run(100)
    expect([first.outcome, second.outcome]).toEqual(['waiting', 'waiting'])
  })

  it.each(['the store', 'PD'] as const)(
    'end before an order to campaign leaves, and do not come back: %s wants it',
    async (who) => {
      const world = await World.open()
      const leader = await led(world)
      const { storeId } = leader.self
      await world.answered(world.put(storeId, 'k', 'v2'))
      expect(holdsLease(leader)).toBe(true)
      // Nobody hears the order, so that this leader stays.
      world.network.filter = () => false
      if (who === 'PD') orderTransfer(world, leader, followers(leader)[0]!)
      else world.store(storeId).life!.router.sendControlForced({ kind: 'transfer-away' })
      await world.run(1)
      expect(holdsLease(leader)).toBe(false)
      world.network.filter = undefined
      expect((await world.answered(world.get(storeId, 'k'))).value).toBe('v2')
      expect(leader.isLeader).toBe(true)
      expect(holdsLease(leader)).toBe(false)
    },
  )

  it('do not carry reads while the peer leads that PD wants instead', async () => {
    const world = await World.open()
    const old = await led(world)
    const { storeId } = old.self
    const [target] = followers(old) as [number]
    await world.answered(world.put(storeId, 'k', 'v2'))
    // The order to campaign is the last that anybody hears of the old leader, which hears nothing.
    world.network.filter = ({ from, to, message: { type } }) =>
      to.storeId !== storeId && (from.storeId !== storeId || type === MessageType.TimeoutNow)
    orderTransfer(world, old, target)
    await world.until(() => world.leader() !== old)
    expect(world.leader()!.self.storeId).toBe(target)
    await world.answered(world.put(target, 'k', 'v3'))
    expect(old.isLeader).toBe(true)
    const read = world.get(storeId, 'k')
    await world.run(5)
    expect([read.outcome, read.value]).toEqual(['waiting', undefined])
    world.network.filter = undefined
    await world.answered(read)
    expect(read.value ?? read.outcome).toMatch(/^(v3|NotLeader)$/)
  })

  it('are counted from the proposal, however late a quorum answers it', async () => {
    const world = await World.open()
    const old = await led(world)
    const { storeId } = old.self
    const [candidate, voter] = followers(old) as [number, number]
    for (const id of [candidate, voter]) world.store(id).diskHeld = true
    const write = world.put(storeId, 'k', 'v2')
    const proposedMs = world.queue.nowMs
    await world.run(1)
    // Its followers hear nothing more of this leader, which hears their answers 900 ms late.
    world.network.filter = ({ from }) => from.storeId !== storeId
    await world.run(899)
    for (const id of [candidate, voter]) world.store(id).releaseDisk()
    expect((await world.answered(write)).outcome).toBe('ok')
    expect(world.queue.nowMs - proposedMs).toBeLessThan(905)
    world.network.isolate(storeId)
    await world.run(200)
    world.store(candidate).life!.router.sendForced(1, CAMPAIGN)
    await world.until(() => world.leader() !== old)
    const next = world.put(world.leader()!.self.storeId, 'k', 'v3')
    expect((await world.answered(next)).outcome).toBe('ok')
    // An election time-out after the proposal, but not after its commit.
    expect(world.queue.nowMs - proposedMs).toBeLessThan(1_500)
    expect(old.isLeader).toBe(true)
    const read = world.get(storeId, 'k')
    await world.run(5)
    expect([read.outcome, read.value]).toEqual(['waiting', undefined])
  })

  it.each([1, 2, 3, 4, 5, 6])('never show a value that was replaced: seed %i', async (seed) => {
    // The leader's clock is slow and the others' are fast, so its lease seems long.
    const world = await World.open({ seed, clockRates: [0.97, 1.03, 1.03] })
    const old = await led(world)
    expect(old.self.storeId).toBe(1)
    const history: RegisterOperation[] = [{ kind: 'write', value: 'v1', begin: 0, end: 1 }]
    world.network.isolate(1)
    const running: { call: ReturnType<World['get']>; begin: number; value: string | undefined }[] =
      []
    const begin = (call: ReturnType<World['get']>, value?: string): void => {
      running.push({ call, begin: world.queue.nowMs, value })
    }
    const ends = new Map<unknown, number>()
    world.onAnswer = (call) => ends.set(call, world.queue.nowMs)
    let written = false
    for (let i = 0; i < 600; i++) {
      begin(world.get(1, 'k'))
      await world.run(5)
      const next = world.leader()
      if (written || next === undefined || next === old) continue
      written = true
      begin(world.put(next.self.storeId, 'k', 'v2'), 'v2')
    }
    world.network.heal()
    await world.run(3_000)
    let local = 0
    for (const { call, begin: from, value } of running) {
      if (call.outcome !== 'ok') continue
      const end = ends.get(call)!
      if (value === undefined) local++
      history.push(
        value === undefined
          ? { kind: 'read', value: call.value, begin: from, end }
          : { kind: 'write', value, begin: from, end },
      )
    }
    expect(written).toBe(true)
    expect(local).toBeGreaterThan(20)
    expect(checkRegister(history)).toBeUndefined()
  })
})

describe('replica reads', () => {
  it('see what the leader had acknowledged', async () => {
    const world = await World.open()
    const leader = await led(world)
    for (const storeId of followers(leader)) {
      const call = await world.answered(world.get(storeId, 'k', { replicaRead: true }))
      expect(call.value).toBe('v1')
      expect((await world.answered(world.get(storeId, 'k'))).outcome).toBe('NotLeader')
    }
  })

  it('are refused where nobody knows a leader', async () => {
    const world = await World.open()
    const leader = await led(world)
    const [storeId] = followers(leader) as [number]
    world.network.isolate(storeId)
    await world.until(() => world.store(storeId).peer(1)!.raft.leaderId === 0)
    const call = await world.answered(world.get(storeId, 'k', { replicaRead: true }))
    expect(call.response?.regionError).toMatchObject({ code: 'NotLeader', leader: undefined })
  })

  it('are not confirmed by what was asked before a restart', async () => {
    const world = await World.open()
    const leader = await led(world)
    const [storeId] = followers(leader) as [number]
    let asks = true
    let answers = false
    world.network.filter = ({ to, message: { type } }) => {
      if (type === MessageType.Append) return to.storeId !== storeId
      if (type === MessageType.ReadIndex) return asks
      return type !== MessageType.HeartbeatResponse || answers
    }
    // Its read index is that of v1, and the leader cannot confirm it yet.
    world.get(storeId, 'k', { replicaRead: true })
    await world.run(5)
    world.stop(storeId, 'kill')
    await world.restart(storeId)
    const { outcome } = await world.answered(world.put(leader.self.storeId, 'k', 'v2'))
    expect(outcome).toBe('ok')
    await world.until(() => world.store(storeId).peer(1)!.raft.leaderId !== 0)
    asks = false
    const read = world.get(storeId, 'k', { replicaRead: true })
    await world.run(5)
    answers = true
    await world.run(500)
    expect(read.outcome).toBe('waiting')
    world.network.filter = undefined
    expect((await world.answered(read)).value).toBe('v2')
  })

  it('are not contradicted by a leader that has not applied yet what a follower showed', async () => {
    const world = await World.open()
    const leader = await led(world)
    const { storeId } = leader.self
    await world.answered(world.get(storeId, 'k'))
    world.store(storeId).diskHeld = true
    const write = world.put(storeId, 'k', 'v2')
    await world.run(20)
    const replica = world.get(followers(leader)[0]!, 'k', { replicaRead: true })
    expect((await world.answered(replica)).value).toBe('v2')
    expect(write.outcome).toBe('waiting')
    expect(holdsLease(leader)).toBe(true)
    const read = world.get(storeId, 'k')
    await world.run(20)
    expect(read.outcome).toBe('waiting')
    world.store(storeId).releaseDisk()
    expect((await world.answered(read)).value).toBe('v2')
  })
})
