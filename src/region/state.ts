/**
 * Durable state of a store and its regions, as kept in the KV engine, each behind a version byte:
 *
 *   store ident   u8 version=1 | u64 cluster | u64 store | u8 adopted
 *   region state  u8 version=1 | u8 kind | region
 *                 | (tombstone: u64 peer | u8 cleared | (removed by an entry: u64 index | u64 term))
 *   apply state   u8 version=1 | u64 applied | u64 applied term | u64 truncated index | u64 truncated term
 *   snapshot      u8 version=1 | u64 term | u64 vote | u64 index | u64 term of that index
 *   region        u64 id | u64 conf_ver | u64 version | bytes start | bytes end
 *                 | u32 n | n × (u64 peer | u64 store | u8 role)
 */
import { type ByteReader, ByteWriter, readRecord } from '../base/codec.ts'
import type { ClusterId, LogIndex, PeerId, StoreId, Term } from '../base/ids.ts'
import type { Peer, PeerRole, Region } from './region.ts'

const VERSION = 1

/** A region's log begins behind this index and term, so that index 0 and term 0 mean "nothing". */
export const INITIAL_LOG_INDEX: LogIndex = 5
export const INITIAL_LOG_TERM: Term = 5

export interface StoreIdent {
  readonly clusterId: ClusterId
  readonly storeId: StoreId
  /** The regions that bootstrap gave this store are on disk (or it was given none). */
  readonly adopted: boolean
}

export const RegionStateKind = { Normal: 0, Applying: 1, Tombstone: 2, Merging: 3 } as const
export type RegionStateKind = (typeof RegionStateKind)[keyof typeof RegionStateKind]

export interface LiveRegionState {
  readonly kind: Exclude<RegionStateKind, typeof RegionStateKind.Tombstone>
  readonly region: Region
}

/** What is left of a replica that was destroyed: it, and any peer before it, never lives again. */
export interface Tombstone {
  readonly kind: typeof RegionStateKind.Tombstone
  /** As the replica knew it last; without peers when it never had data. */
  readonly region: Region
  readonly peerId: PeerId
  /** Data and log are gone too. */
  readonly cleared: boolean
  /** The entry that removed it, unless it only heard of its end: so it is committed. */
  readonly removedAt?: EntryId
}

export interface EntryId {
  readonly index: LogIndex
  readonly term: Term
}

export type RegionState = LiveRegionState | Tombstone

export interface ApplyState {
  readonly appliedIndex: LogIndex
  readonly appliedTerm: Term
  readonly truncatedIndex: LogIndex
  readonly truncatedTerm: Term
}

export const INITIAL_APPLY_STATE: ApplyState = {
  appliedIndex: INITIAL_LOG_INDEX,
  appliedTerm: INITIAL_LOG_TERM,
  truncatedIndex: INITIAL_LOG_INDEX,
  truncatedTerm: INITIAL_LOG_TERM,
}

export function encodeStoreIdent(ident: StoreIdent): Buffer {
  const writer = new ByteWriter(18)
  return writer
    .u8(VERSION)
    .u64(ident.clusterId)
    .u64(ident.storeId)
    .u8(ident.adopted ? 1 : 0)
    .take()
}

export function decodeStoreIdent(bytes: Buffer): StoreIdent {
  return readRecord(bytes, VERSION, 'store ident', (reader) => ({
    clusterId: reader.u64(),
    storeId: reader.u64(),
    adopted: reader.u8() === 1,
  }))
}

export function writeRegion(writer: ByteWriter, region: Region): void {
  writer.u64(region.id).u64(region.epoch.confVer).u64(region.epoch.version)
  writer.bytes(region.startKey).bytes(region.endKey).u32(region.peers.length)
  for (const peer of region.peers) writer.u64(peer.id).u64(peer.storeId).u8(peer.role)
}

export function readRegion(reader: ByteReader): Region {
  const id = reader.u64()
  const epoch = { confVer: reader.u64(), version: reader.u64() }
  const startKey = Buffer.from(reader.bytes())
  const endKey = Buffer.from(reader.bytes())
  const peers: Peer[] = []
  for (let left = reader.u32(); left > 0; left--) {
    peers.push({ id: reader.u64(), storeId: reader.u64(), role: reader.u8() as PeerRole })
  }
  return { id, startKey, endKey, epoch, peers }
}

export function encodeRegionState(state: RegionState): Buffer {
  const writer = new ByteWriter(128)
  writer.u8(VERSION).u8(state.kind)
  writeRegion(writer, state.region)
  if (state.kind === RegionStateKind.Tombstone) {
    const { peerId, cleared, removedAt } = state
    writer.u64(peerId).u8(cleared ? 1 : 0)
    if (removedAt !== undefined) writer.u64(removedAt.index).u64(removedAt.term)
  }
  return writer.take()
}

export function decodeRegionState(bytes: Buffer): RegionState {
  return readRecord(bytes, VERSION, 'region state', (reader) => {
    const kind = reader.u8() as RegionStateKind
    const region = readRegion(reader)
    if (kind !== RegionStateKind.Tombstone) return { kind, region }
    const dead = { kind, region, peerId: reader.u64(), cleared: reader.u8() === 1 }
    if (reader.remaining === 0) return dead
    return { ...dead, removedAt: { index: reader.u64(), term: reader.u64() } }
  })
}

export function encodeApplyState(state: ApplyState): Buffer {
  return new ByteWriter(33)
    .u8(VERSION)
    .u64(state.appliedIndex)
    .u64(state.appliedTerm)
    .u64(state.truncatedIndex)
    .u64(state.truncatedTerm)
    .take()
}

export function decodeApplyState(bytes: Buffer): ApplyState {
  return readRecord(bytes, VERSION, 'apply state', (reader) => ({
    appliedIndex: reader.u64(),
    appliedTerm: reader.u64(),
    truncatedIndex: reader.u64(),
    truncatedTerm: reader.u64(),
  }))
}

/** Raft's state once a snapshot is installed: a start that finds it makes the raft log agree. */
export interface SnapshotState {
  readonly term: Term
  readonly vote: PeerId
  readonly index: LogIndex
  readonly indexTerm: Term
}

export function encodeSnapshotState(state: SnapshotState): Buffer {
  return new ByteWriter(33)
    .u8(VERSION)
    .u64(state.term)
    .u64(state.vote)
    .u64(state.index)
    .u64(state.indexTerm)
    .take()
}

export function decodeSnapshotState(bytes: Buffer): SnapshotState {
  return readRecord(bytes, VERSION, 'snapshot state', (reader) => ({
    term: reader.u64(),
    vote: reader.u64(),
    index: reader.u64(),
    indexTerm: reader.u64(),
  }))
}
