import { beforeEach, describe, expect, it } from 'vitest'
import type { ApplyResult, SnapshotPinned } from '../../../src/apply/port.ts'
import { AdminKind, encodeAdminCommand } from '../../../src/command/admin.ts'
import { ColumnFamily } from '../../../src/engine/port.ts'
import { encodeConfChangeV2 } from '../../../src/raft/conf-change-codec.ts'
import { ConfChangeTransition, EntryType } from '../../../src/raft/types.ts'
import { ChangeType, type PeerChange } from '../../../src/region/change-peers.ts'
import { regionStateKey } from '../../../src/region/keys.ts'
import { PeerRole } from '../../../src/region/region.ts'
import {
  decodeRegionState,
  INITIAL_APPLY_STATE,
  type RegionState,
  RegionStateKind,
} from '../../../src/region/state.ts'
import { InlineApplyClient } from '../inline-client.ts'
import { entry, FakeEngine, ManualClock, region } from '../support.ts'

let engine: FakeEngine
let client: InlineApplyClient
let results: ApplyResult[]
let failures: Error[]
let pinned: SnapshotPinned | undefined

beforeEach(() => {
  engine = new FakeEngine()
  results = []
  failures = []
  client = open()
  client.register(region(1), INITIAL_APPLY_STATE)
})

function open(): InlineApplyClient {
  return new InlineApplyClient({
    storeId: 1,
    engine,
    clock: new ManualClock(),
    onPinned: (pin) => {
      pinned = pin
    },
    events: {
      onApplied: (round) => results.push(...round),
      onSnapshot: () => {},
      onFailed: (error) => failures.push(error),
    },
  })
}

/** An entry as a leader proposes it; what raft itself changes does not matter here. */
function change(index: number, confVer: number, ...changes: PeerChange[]) {
  const context = encodeAdminCommand({ kind: AdminKind.ChangePeer, confVer, changes })
  const transition = ConfChangeTransition.Auto
  const data = encodeConfChangeV2({ transition, changes: [], context })
  return entry(index, data, { type: EntryType.ConfChangeV2 })
}

function stored(): RegionState {
  const key = regionStateKey(1).toString('latin1')
  return decodeRegionState(engine.families[ColumnFamily.Raft]!.get(key)!)
}

const ADD: PeerChange = { type: ChangeType.AddLearner, peerId: 20, storeId: 2 }
const REMOVE_SELF: PeerChange = { type: ChangeType.Remove, peerId: 10, storeId: 1 }

describe('ChangePeer', () => {
  it('moves the region in the same batch as the applied index, and is no traffic', () => {
    client.apply({ regionId: 1, entries: [entry(6, 'a=1'), change(7, 1, ADD)] })
    client.flush()
    expect(stored()).toMatchObject({
      kind: RegionStateKind.Normal,
      region: { epoch: { confVer: 2 } },
    })
    expect(stored().region.peers.at(-1)).toEqual({ id: 20, storeId: 2, role: PeerRole.Learner })
    expect(engine.batches).toHaveLength(1)
    expect(results.at(-1)).toMatchObject({ appliedIndex: 7, writtenKeys: 1, rejections: [] })
  })

  it('is durable, as nothing else has to be, before anybody hears of it', () => {
    const told: number[] = []
    engine.onWrite = () => told.push(results.length)
    for (const one of [entry(6, 'a=1'), change(7, 1, ADD), entry(8, 'b=1')]) {
      client.apply({ regionId: 1, entries: [one] })
      client.flush()
    }
    expect(engine.batches.map(({ synced }) => synced)).toEqual([false, true, false])
    expect(told).toEqual([0, 1, 2])
  })

  it('is seen by a snapshot that is pinned behind it', () => {
    client.apply({ regionId: 1, entries: [change(6, 1, ADD)] })
    client.snapshot(1, 1)
    client.flush()
    expect(pinned).toMatchObject({ index: 6, region: { epoch: { confVer: 2 } } })
  })

  it('is refused at another conf_ver, and when nothing would come of it', () => {
    client.apply({ regionId: 1, entries: [change(6, 2, ADD), change(7, 1, REMOVE_SELF)] })
    client.flush()
    expect(results.at(-1)).toMatchObject({
      appliedIndex: 7,
      rejections: [
        { index: 6, code: 'EpochNotMatch' },
        { index: 7, code: 'InvalidChange' },
      ],
    })
    expect(engine.families[ColumnFamily.Raft]!.has(regionStateKey(1).toString('latin1'))).toBe(
      false,
    )
  })

  it('is applied once, though a restart brings its entry again', () => {
    const entries = [change(6, 1, ADD), entry(7, 'a=1')]
    client.apply({ regionId: 1, entries })
    client.flush()
    const { region: after } = stored()
    client = open()
    client.register(after, engine.applyState(1))
    client.apply({ regionId: 1, entries })
    client.flush()
    expect(stored().region).toEqual(after)
    expect(failures).toEqual([])
  })

  it('leaves a tombstone of the replica that it removes, which applies nothing more', () => {
    const promoted: PeerChange = { type: ChangeType.AddVoter, peerId: 20, storeId: 2 }
    client.apply({
      regionId: 1,
      entries: [change(6, 1, promoted), change(7, 2, REMOVE_SELF), entry(8, 'a=1')],
    })
    client.apply({ regionId: 1, entries: [entry(9, 'b=1')] })
    client.flush()
    expect(stored()).toMatchObject({
      kind: RegionStateKind.Tombstone,
      peerId: 10,
      cleared: false,
      region: { epoch: { confVer: 3 }, peers: [{ id: 20 }] },
    })
    expect(engine.applyState(1).appliedIndex).toBe(7)
    expect(engine.data()).toEqual({})
    expect(results.at(-1)).toMatchObject({ appliedIndex: 7, removed: true })
    client.destroy(1)
    client.flush()
    expect(failures).toEqual([])
  })
})
