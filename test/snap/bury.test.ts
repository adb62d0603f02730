import { beforeEach, describe, expect, it } from 'vitest'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { applyStateKey, regionStateKey } from '../../src/region/keys.ts'
import type { Region } from '../../src/region/region.ts'
import {
  decodeRegionState,
  encodeRegionState,
  type RegionState,
  RegionStateKind,
  type Tombstone,
} from '../../src/region/state.ts'
import { SNAPSHOT_FAMILIES } from '../../src/snap/builder.ts'
import { buryReplica } from '../../src/snap/bury.ts'
import { dump, fill, region } from './support.ts'

const { Normal, Tombstone: Dead } = RegionStateKind
const KEY = regionStateKey(region().id)

let engine: MemoryEngine

beforeEach(() => {
  engine = openMemoryEngine()
  fill(engine, 9)
})

function ofConfVer(confVer: number): Region {
  return { ...region(), epoch: { confVer, version: 2 } }
}

function tombstone(fields: Partial<Tombstone>): Tombstone {
  return { kind: Dead, region: region(), peerId: 70, cleared: false, ...fields }
}

function store(state: RegionState): void {
  const batch = engine.newBatch()
  batch.put(ColumnFamily.Raft, KEY, encodeRegionState(state))
  batch.put(ColumnFamily.Raft, applyStateKey(region().id), Buffer.of(1))
  engine.write(batch, { sync: true })
}

function stored(): RegionState {
  return decodeRegionState(engine.get(ColumnFamily.Raft, KEY)!)
}

const REMOVED = tombstone({ region: ofConfVer(9), removedAt: { index: 40, term: 6 } })

describe('a replica that heard of its end from others', () => {
  const told = tombstone({ region: ofConfVer(8) })

  it('is buried as it knew itself', () => {
    buryReplica(engine, told)
    expect(stored()).toEqual({ ...told, cleared: true })
    expect(dump(engine)).toEqual({})
  })

  it('keeps the tombstone that apply wrote meanwhile', () => {
    store(REMOVED)
    buryReplica(engine, told)
    expect(stored()).toEqual({ ...REMOVED, cleared: true })
    expect(engine.get(ColumnFamily.Raft, applyStateKey(region().id))).toBeUndefined()
    expect(dump(engine)).toEqual({})
  })

  it('keeps the later membership that apply came to meanwhile', () => {
    store({ kind: Normal, region: ofConfVer(9) })
    buryReplica(engine, told)
    expect(stored()).toEqual({ ...told, region: ofConfVer(9), cleared: true })
  })

  it('stands for the earlier peers of its store, too', () => {
    store(REMOVED)
    const later = tombstone({ peerId: 71, region: { ...ofConfVer(0), peers: [] } })
    buryReplica(engine, later)
    expect(stored()).toEqual({ ...later, cleared: true })
  })
})

it('may be done again', () => {
  store(REMOVED)
  for (let i = 0; i < 2; i++) buryReplica(engine, REMOVED)
  expect(stored()).toEqual({ ...REMOVED, cleared: true })
})

it('nothing goes before the tombstone is on disk, and what follows is durable', () => {
  store({ kind: Normal, region: region() })
  engine.sync()
  const onDisk = (): RegionState => decodeRegionState(engine.getSynced(ColumnFamily.Raft, KEY)!)
  const found: RegionState[] = []
  const deleteRange = engine.deleteRange.bind(engine)
  engine.deleteRange = (cf, start, end) => {
    found.push(onDisk())
    deleteRange(cf, start, end)
  }
  buryReplica(engine, tombstone({}))
  expect(found).toHaveLength(SNAPSHOT_FAMILIES.length)
  for (const state of found) expect(state).toMatchObject({ peerId: 70, cleared: false })
  expect(dump(engine)).toEqual({})
  // The end of the raft log comes next, and is durable at once.
  engine.crash()
  expect(onDisk()).toMatchObject({ kind: Dead, peerId: 70 })
})
