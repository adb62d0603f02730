/** Stops at every step of a replica's beginning and end, as a crash leaves them on disk. */
import { readdirSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { ColumnFamily, type KvEngine } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { ChangePeerType } from '../../src/pd/port.ts'
import { newMessage } from '../../src/raft/message.ts'
import { MessageType } from '../../src/raft/types.ts'
import { openRaftLog } from '../../src/raftlog/open.ts'
import type { RaftLog } from '../../src/raftlog/port.ts'
import { applyStateKey, dataEndKey, dataKey, regionStateKey } from '../../src/region/keys.ts'
import { PeerRole, peerOnStore } from '../../src/region/region.ts'
import { encodeRegionState, RegionStateKind, type Tombstone } from '../../src/region/state.ts'
import { buryReplica } from '../../src/snap/bury.ts'
import type { SnapshotMeta } from '../../src/snap/format.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { loadRegionStates } from '../../src/store/bootstrap.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { FORGETFUL, StoreHarness } from './harness.ts'
import { Members } from './members.ts'
import { receivedSet } from './received-set.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

const KEYS = 2000

async function start(config = {}): Promise<Members> {
  harness = await StoreHarness.start({ config })
  await harness.write(0, KEYS, 500)
  const members = new Members(harness)
  if ((await members.leader()) !== 1) await members.lead(1)
  return members
}

async function logOf<T>(number: number, look: (log: RaftLog) => T): Promise<T> {
  const log = await openRaftLog({
    dir: `${harness!.storeDir(number)}/raft`,
    fs: nodeFileSystem,
    writers: 0,
    segmentBytes: defaultStoreConfig().raftLogSegmentBytes,
    cacheBytes: defaultStoreConfig().raftLogCacheBytes,
    logger: silentLogger,
    events: {
      onPersisted: () => {},
      onFailed: (error) => {
        throw error
      },
    },
  })
  try {
    const seen = look(log)
    log.flush()
    return seen
  } finally {
    await log.close()
  }
}

function rowsIn(engine: KvEngine): number {
  const options = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: true }
  const range = { start: dataKey(Buffer.alloc(0)), end: dataEndKey(Buffer.alloc(0)) }
  return engine.scanSync(ColumnFamily.Default, { ...range, ...options }).rows.length / 2
}

describe('a stop while a replica is destroyed', () => {
  const steps: [string, (engine: KvEngine, tombstone: Tombstone) => void][] = [
    [
      'when apply has written its removal, and nothing more',
      (engine, tombstone) => {
        const batch = engine.newBatch()
        const { id } = tombstone.region
        batch.put(ColumnFamily.Raft, regionStateKey(id), encodeRegionState(tombstone))
        engine.write(batch, { sync: true })
      },
    ],
    [
      'when its data is half gone',
      (engine, tombstone) => {
        const batch = engine.newBatch()
        const { id } = tombstone.region
        batch.put(ColumnFamily.Raft, regionStateKey(id), encodeRegionState(tombstone))
        batch.delete(ColumnFamily.Raft, applyStateKey(id))
        engine.write(batch, { sync: true })
        const middle = dataKey(Buffer.from('P'))
        engine.deleteRange(ColumnFamily.Default, dataKey(Buffer.alloc(0)), middle)
      },
    ],
    [
      'when its data is gone, and its log is not',
      (engine, tombstone) => buryReplica(engine, tombstone),
    ],
    [
      'twice at the same step',
      (engine, tombstone) => {
        buryReplica(engine, tombstone)
        buryReplica(engine, tombstone)
      },
    ],
  ]

  it.each(steps)('%s is made good by the next start', async (_when, leave) => {
    const members = await start()
    const { regionId } = members
    const gone = await members.peerOn(3)
    const storeId = members.idOf(3)
    await harness!.stopStore(3)
    await members.remove(gone)
    const region = await members.region()
    await harness!.engineOf(3, (engine) => {
      leave(engine, { kind: RegionStateKind.Tombstone, region, peerId: gone.id, cleared: false })
    })
    await harness!.startStore(3)
    expect(harness!.stores.get(3)!.regions()).toEqual([])
    await harness!.stopStore(3)
    await harness!.engineOf(3, (engine) => {
      expect(rowsIn(engine)).toBe(0)
      expect(loadRegionStates(engine)).toMatchObject([{ peerId: gone.id, cleared: true }])
    })
    expect(await logOf(3, (log) => log.regions())).toEqual([])
    // And the store can have the region again.
    await harness!.startStore(3)
    const id = await harness!.allocId()
    const change = { id, storeId, role: PeerRole.Learner }
    await members.change(ChangePeerType.AddLearnerNode, change)
    await members.caughtUp(change)
    await members.promote(change)
    await expect.poll(() => harness!.behind(3), { timeout: 20_000 }).toEqual([])
    expect(harness!.stores.get(3)!.regions()).toEqual([regionId])
    expect(harness!.failures).toEqual([])
  })
})

describe('a stop of a replica that has no data yet', () => {
  it('keeps its vote', async () => {
    const members = await start()
    await harness!.startStore(4)
    const to = { id: 900, storeId: members.idOf(4), role: PeerRole.Voter }
    const from = await members.peerOn(2)
    const vote = { ...newMessage(MessageType.RequestVote, to.id), from: from.id, term: 99 }
    const { epoch } = await members.region()
    const envelope = { regionId: members.regionId, from, to, epoch }
    harness!.inject(4, { ...envelope, message: vote })
    const status = () => harness!.stores.get(4)!.regionStatus(members.regionId)
    await expect.poll(() => status()?.term).toBe(99)
    await harness!.stopStore(4)
    await harness!.engineOf(4, (engine) => expect(loadRegionStates(engine)).toEqual([]))
    const { hardState, lastIndex } = (await logOf(4, (log) => log.state(members.regionId)))!
    expect({ ...hardState, lastIndex }).toEqual({
      term: 99,
      vote: from.id,
      commit: 0,
      lastIndex: 0,
    })
    await harness!.startStore(4)
    expect(harness!.stores.get(4)!.regions()).toEqual([])
    const beat = { ...newMessage(MessageType.Heartbeat, to.id), from: from.id, term: 50 }
    harness!.inject(4, { ...envelope, message: beat })
    await expect.poll(() => status()?.term).toBe(99)
    expect(harness!.failures).toEqual([])
  })

  it('beside the tombstone of an earlier one, keeps it too', async () => {
    const members = await start()
    const gone = await members.peerOn(3)
    await members.remove(gone)
    await members.goneFrom(3)
    const to = { id: gone.id + 1000, storeId: members.idOf(3), role: PeerRole.Voter }
    const from = await members.peerOn(2)
    const message = { ...newMessage(MessageType.RequestVote, to.id), from: from.id, term: 99 }
    const { epoch } = await members.region()
    harness!.inject(3, { regionId: members.regionId, from, to, epoch, message })
    const status = () => harness!.stores.get(3)!.regionStatus(members.regionId)
    await expect.poll(() => status()?.term).toBe(99)
    await harness!.stopStore(3)
    await harness!.startStore(3)
    await harness!.stopStore(3)
    const state = await logOf(3, (log) => log.state(members.regionId))
    expect(state?.hardState).toMatchObject({ term: 99, vote: from.id })
  })
})

/**
 * A new replica on store 4 that has got as far as `at` leaves it; store 4 runs again at the end, and
 * the others do.
 */
async function interruptFirstInstall(
  members: Members,
  at: (installer: SnapshotInstaller, meta: SnapshotMeta) => void,
): Promise<void> {
  await harness!.startStore(4)
  const learner = await members.addLearner(4)
  await members.caughtUp(learner)
  await harness!.stopStore(4)
  await harness!.stopStore(1)
  // As if nothing of it had come to disk yet but the files, and then what `at` does.
  await harness!.engineOf(4, (engine) => {
    const batch = engine.newBatch()
    batch.delete(ColumnFamily.Raft, regionStateKey(members.regionId))
    batch.delete(ColumnFamily.Raft, applyStateKey(members.regionId))
    engine.write(batch, { sync: true })
    engine.deleteRange(ColumnFamily.Default, dataKey(Buffer.alloc(0)), dataEndKey(Buffer.alloc(0)))
  })
  await logOf(4, (log) => log.remove(members.regionId))
  const meta = await receivedSet(harness!.storeDir(1), `${harness!.storeDir(4)}/snap`)
  const engine = await openRocksDb({ dir: `${harness!.storeDir(4)}/kv` })
  try {
    const dir = `${harness!.storeDir(4)}/snap`
    const installer = new SnapshotInstaller(engine, nodeFileSystem, dir, meta)
    at(installer, meta)
    installer.close()
  } finally {
    await engine.close()
  }
  await harness!.startStore(1)
  await harness!.startStore(4)
}

describe('a stop while a new replica gets its first data', () => {
  const record = (installer: SnapshotInstaller, { term, index }: SnapshotMeta): void => {
    installer.record({ term, vote: 0, index, indexTerm: term })
  }
  const phases: [string, (installer: SnapshotInstaller, meta: SnapshotMeta) => void][] = [
    ['before it is recorded', () => {}],
    ['once it is recorded', record],
    [
      'in the middle of the rows',
      (installer, meta) => {
        record(installer, meta)
        installer.clear()
        installer.step()
      },
    ],
    [
      'before it is finished',
      (installer, meta) => {
        record(installer, meta)
        installer.clear()
        while (!installer.step()) {}
      },
    ],
  ]

  it.each(phases)('%s is made good', async (_when, at) => {
    const members = await start(FORGETFUL)
    await interruptFirstInstall(members, at)
    const metric = () => harness!.stores.get(4)!.metrics().snapshots_installed
    await expect.poll(metric, { timeout: 20_000 }).toBe(1)
    await harness!.write(KEYS, KEYS + 50)
    await expect.poll(() => harness!.behind(4), { timeout: 20_000 }).toEqual([])
    await harness!.stopStore(4)
    await harness!.engineOf(4, (engine) => expect(rowsIn(engine)).toBe(KEYS + 50))
    expect(harness!.failures).toEqual([])
  })

  it('and that is removed at that very moment, gives it up', async () => {
    const members = await start(FORGETFUL)
    await interruptFirstInstall(members, record)
    const status = () => harness!.stores.get(4)!.regionStatus(members.regionId)
    expect(status()?.snapshot?.install).toBe('ingesting')
    const region = status()!.region
    const peer = peerOnStore(region, members.idOf(4))!
    const epoch = { ...region.epoch, confVer: region.epoch.confVer + 1 }
    const message = newMessage(MessageType.Heartbeat, peer.id)
    const from = region.peers[0]!
    const { regionId } = members
    harness!.inject(4, { regionId, from, to: peer, epoch, message, tombstone: true })
    await members.goneFrom(4)
    expect(harness!.stores.get(4)!.metrics().snapshots_installed).toBe(0)
    await members.remove(peer)
    const second = await members.addLearner(4)
    await members.caughtUp(second)
    await expect.poll(() => harness!.behind(4), { timeout: 20_000 }).toEqual([])
    await harness!.stopStore(4)
    expect(readdirSync(`${harness!.storeDir(4)}/snap`)).toEqual([])
    await harness!.engineOf(4, (engine) => expect(rowsIn(engine)).toBe(KEYS))
    expect(harness!.failures).toEqual([])
  })
})
