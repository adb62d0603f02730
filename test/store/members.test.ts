/** Membership changes over whole stores, with the test in PD's place. */
import { afterEach, describe, expect, it } from 'vitest'
import { ColumnFamily, type KvEngine } from '../../src/engine/port.ts'
import { ChangePeerType } from '../../src/pd/port.ts'
import { newMessage } from '../../src/raft/message.ts'
import { MessageType } from '../../src/raft/types.ts'
import {
  applyStateKey,
  DATA_MAX_KEY,
  DATA_MIN_KEY,
  dataEndKey,
  dataKey,
} from '../../src/region/keys.ts'
import { PeerRole } from '../../src/region/region.ts'
import { RegionStateKind } from '../../src/region/state.ts'
import { loadRegionStates } from '../../src/store/bootstrap.ts'
import { dataOf, FORGETFUL, keyOf, StoreHarness } from './harness.ts'
import { Members } from './members.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

async function start(options: Parameters<typeof StoreHarness.start>[0] = {}): Promise<Members> {
  harness = await StoreHarness.start(options)
  await harness.write(0, 50)
  return new Members(harness)
}

function rowsIn(engine: KvEngine, start = DATA_MIN_KEY, end = DATA_MAX_KEY): number {
  const most = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: true }
  return engine.scanSync(ColumnFamily.Default, { start, end, ...most }).rows.length / 2
}

describe('a new store', () => {
  it('takes the place of another one: learner, snapshot, voter, and the other is gone', async () => {
    const members = await start()
    await harness!.startStore(4)
    const peer = await members.addLearner(4)
    await members.become('1 2 3 4l')
    await members.caughtUp(peer)
    const status = harness!.stores.get(4)!.regionStatus(members.regionId)!
    expect(status.role).toBe('learner')
    await members.promote(peer)
    if ((await members.leader()) === 3) await members.lead(1)
    await members.remove(await members.peerOn(3))
    await members.become('1 2 4')
    await members.goneFrom(3)
    await harness!.write(50, 100)
    await expect.poll(() => harness!.behind(4), { timeout: 20_000 }).toEqual([])
    expect(harness!.stores.get(4)!.metrics().peers_created).toBe(1)
    expect(harness!.stores.get(3)!.metrics().peers_destroyed).toBe(1)
    expect((await members.peerOn(4)).role).toBe(PeerRole.Voter)
    expect(harness!.failures).toEqual([])
  })
})

describe('a replica that is removed', () => {
  it('while its store is away destroys itself when it comes back', async () => {
    const members = await start()
    if ((await members.leader()) === 3) await members.lead(1)
    const gone = await members.peerOn(3)
    await harness!.stopStore(3)
    await members.remove(gone)
    await members.become('1 2')
    await harness!.write(50, 60)
    await harness!.startStore(3)
    await members.goneFrom(3)
    // And so it stays.
    await harness!.stopStore(3)
    await harness!.startStore(3)
    expect(harness!.stores.get(3)!.regions()).toEqual([])
    expect(harness!.failures).toEqual([])
  })

  it('as a learner, while its store is away, learns it from PD', async () => {
    const impatient = { maxLeaderMissingDurationMs: 500, peerStaleStateCheckIntervalMs: 100 }
    const members = await start({ config: impatient })
    await harness!.startStore(4)
    const peer = await members.addLearner(4)
    await members.caughtUp(peer)
    await harness!.stopStore(4)
    await members.remove(peer)
    await harness!.startStore(4)
    await members.goneFrom(4)
    expect(harness!.failures).toEqual([])
  })

  it('before it had any data is told by its leader', async () => {
    const members = await start()
    // It lets nobody send it a snapshot.
    await harness!.startStore(4, { concurrentRecvSnapLimit: 0 })
    const peer = await members.addLearner(4)
    const store = harness!.stores.get(4)!
    await expect.poll(() => store.regionStatus(members.regionId)?.peerId).toBe(peer.id)
    expect(store.status().regionCount).toBe(0)
    await members.remove(peer)
    await members.goneFrom(4)
    expect(store.metrics()).toMatchObject({ peers_initialised: 0, peers_destroyed: 1 })
    expect(harness!.failures).toEqual([])
  })

  it('while it leads and writes are under way loses none that was acknowledged', async () => {
    const members = await start()
    const leader = await members.leader()
    const gone = await members.peerOn(leader)
    const other = await members.peerOn(leader === 1 ? 2 : 1)
    const { epoch, id: regionId } = await members.region()
    const message = newMessage(MessageType.Heartbeat, gone.id)
    const later = { ...epoch, confVer: epoch.confVer + 1 }
    const writing = harness!.write(100, 1000)
    harness!.inject(leader, {
      regionId,
      from: other,
      to: gone,
      epoch: later,
      message,
      tombstone: true,
    })
    await writing
    await members.goneFrom(leader)
    for (let i = 100; i < 1000; i += 50) {
      expect((await harness!.kv.get(keyOf(i)))?.toString()).toBe(dataOf(i, 100))
    }
    expect(harness!.failures).toEqual([])
  })

  it('comes again with another id, and with all of the data', async () => {
    const members = await start()
    if ((await members.leader()) === 3) await members.lead(1)
    const first = await members.peerOn(3)
    for (let round = 0; round < 3; round++) {
      await members.remove(await members.peerOn(3))
      const second = await members.addLearner(3)
      expect(second.id).toBeGreaterThan(first.id)
      await members.caughtUp(second)
      await members.promote(second)
      await members.become('1 2 3')
      await harness!.write(50 + round * 10, 60 + round * 10)
    }
    await expect.poll(() => harness!.behind(3), { timeout: 20_000 }).toEqual([])
    expect(harness!.stores.get(3)!.metrics()).toMatchObject({
      peers_created: 3,
      peers_destroyed: 3,
    })
    // It counts: with it alone beside one other, writes go on.
    await harness!.stopStore((await members.leader()) === 2 ? 1 : 2)
    await harness!.write(100, 110)
    expect(harness!.failures).toEqual([])
  })

  it('is not brought back by late messages', async () => {
    const members = await start()
    if ((await members.leader()) === 3) await members.lead(1)
    const gone = await members.peerOn(3)
    const before = await members.region()
    await members.remove(gone)
    await members.goneFrom(3)
    const from = await members.peerOn(1)
    for (const type of [MessageType.Heartbeat, MessageType.RequestVote]) {
      for (const { epoch } of [before, await members.region()]) {
        const message = { ...newMessage(type, gone.id), from: from.id, term: 99 }
        harness!.inject(3, { regionId: members.regionId, from, to: gone, epoch, message })
      }
    }
    await harness!.write(50, 60)
    expect(harness!.stores.get(3)!.regions()).toEqual([])
    expect(harness!.stores.get(3)!.metrics().peers_created).toBe(0)
  })

  it('leaves nothing in the engine but its tombstone', async () => {
    const members = await start({ regions: 2 })
    const { regionId } = members
    if ((await members.leader()) === 3) await members.lead(1)
    const { startKey, endKey } = await members.region()
    await members.remove(await members.peerOn(3))
    await members.goneFrom(3)
    await harness!.stopStore(3)
    await harness!.engineOf(3, (engine) => {
      expect(rowsIn(engine, dataKey(startKey), dataEndKey(endKey))).toBe(0)
      expect(rowsIn(engine)).toBeGreaterThan(0)
      const states = loadRegionStates(engine)
      expect(states.find(({ region }) => region.id === regionId)).toMatchObject({
        kind: RegionStateKind.Tombstone,
        cleared: true,
      })
      expect(engine.get(ColumnFamily.Raft, applyStateKey(regionId))).toBeUndefined()
    })
  })
})

describe('orders', () => {
  it('that would hurt are refused', async () => {
    const members = await start()
    if ((await members.leader()) !== 1) await members.lead(1)
    const refused = (): number => harness!.stores.get(1)!.metrics().orders_refused!
    const taken = (): number => harness!.stores.get(1)!.metrics().orders_taken!
    const change = async (changeType: ChangePeerType, number: number, id?: number) => {
      const peer = await members.peerOn(number)
      return { changePeer: { changeType, peer: { ...peer, id: id ?? peer.id } } }
    }
    const before = [taken(), refused()]
    // The leader itself, a stranger, a second peer of a store, an epoch of before.
    await members.order(await change(ChangePeerType.RemoveNode, 1))
    await members.order(await change(ChangePeerType.AddLearnerNode, 1))
    await members.order(await change(ChangePeerType.RemoveNode, 2, 999))
    await members.order(await change(ChangePeerType.AddNode, 2, 999))
    const { epoch } = await members.region()
    harness!.order(1, {
      regionId: members.regionId,
      regionEpoch: { ...epoch, confVer: epoch.confVer + 1 },
      ...(await change(ChangePeerType.RemoveNode, 2)),
    })
    await expect.poll(refused).toBe(before[1]! + 5)
    expect(taken()).toBe(before[0])
    // A voter that nobody ever hears is borne once, but not when only one other would be left.
    const id = await harness!.allocId()
    await members.change(ChangePeerType.AddNode, { id, storeId: 77, role: PeerRole.Voter })
    await members.remove(await members.peerOn(2))
    await members.become('1 3 ?')
    await members.order(await change(ChangePeerType.RemoveNode, 3))
    await expect.poll(refused).toBeGreaterThan(before[1]! + 5)
    expect(await members.show()).toBe('1 3 ?')
  })

  it('of several changes go through the joint state', async () => {
    const members = await start()
    if ((await members.leader()) !== 1) await members.lead(1)
    await harness!.startStore(4)
    const learner = await members.addLearner(4)
    await members.caughtUp(learner)
    const third = await members.peerOn(3)
    await members.order({
      changePeerV2: [
        { changeType: ChangePeerType.AddNode, peer: learner },
        { changeType: ChangePeerType.AddLearnerNode, peer: third },
      ],
    })
    await members.become('1 2 3d 4i')
    await harness!.write(50, 60)
    await members.order({ changePeerV2: [] })
    await members.become('1 2 3l 4')
    await members.remove(await members.peerOn(3))
    await members.become('1 2 4')
    await members.goneFrom(3)
    await harness!.write(60, 70)
    expect(harness!.failures).toEqual([])
  })
})

describe('membership', () => {
  it('outlives a restart of every store, joint states too', async () => {
    const members = await start()
    if ((await members.leader()) !== 1) await members.lead(1)
    await harness!.startStore(4)
    const learner = await members.addLearner(4)
    await members.caughtUp(learner)
    await members.order({
      changePeerV2: [
        { changeType: ChangePeerType.AddNode, peer: learner },
        { changeType: ChangePeerType.AddLearnerNode, peer: await members.peerOn(3) },
      ],
    })
    await members.become('1 2 3d 4i')
    for (const number of [1, 2, 3, 4]) await harness!.stopStore(number)
    await Promise.all([1, 2, 3, 4].map((number) => harness!.startStore(number)))
    await members.become('1 2 3d 4i')
    await expect
      .poll(async () => {
        await members.order({ changePeerV2: [] })
        return members.show()
      })
      .toBe('1 2 3l 4')
    await harness!.write(50, 60)
    expect(harness!.failures).toEqual([])
  })

  it('grows from one store to three', async () => {
    const members = await start({ stores: 1 })
    for (const number of [2, 3]) {
      await harness!.startStore(number)
      const peer = await members.addLearner(number)
      await members.caughtUp(peer)
      await members.promote(peer)
    }
    await members.become('1 2 3')
    await harness!.stopStore(1)
    await harness!.write(50, 60)
  })

  it('takes a voter that never was a learner, though it has nothing yet', async () => {
    const members = await start({ stores: 1, config: FORGETFUL })
    await harness!.startStore(2)
    const id = await harness!.allocId()
    const peer = { id, storeId: members.idOf(2), role: PeerRole.Voter }
    await members.change(ChangePeerType.AddNode, peer)
    await members.caughtUp(peer)
    await harness!.write(50, 60)
    await expect.poll(() => harness!.behind(2), { timeout: 20_000 }).toEqual([])
  })

  it('changes while writes go on, and none that was acknowledged is lost', async () => {
    await start({ regions: 4 })
    await harness!.startStore(4)
    const writing = harness!.write(100, 4000)
    for (const regionId of harness!.stores.get(1)!.regions()) {
      const one = new Members(harness!, regionId)
      const peer = await one.addLearner(4)
      await one.caughtUp(peer)
      await one.promote(peer)
      if ((await one.leader()) === 3) await one.lead(1)
      await one.remove(await one.peerOn(3))
    }
    await writing
    await expect.poll(() => harness!.stores.get(3)!.regions(), { timeout: 20_000 }).toEqual([])
    const missing: string[] = []
    for (let i = 0; i < 4000; i++) {
      if (i >= 50 && i < 100) continue
      const value = await harness!.kv.get(keyOf(i))
      if (value?.toString() !== dataOf(i, 100)) missing.push(keyOf(i))
    }
    expect(missing).toEqual([])
    expect(harness!.failures).toEqual([])
  })
})
