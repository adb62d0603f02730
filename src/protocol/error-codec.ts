/**
 * errorpb.Error: why a region did not do what it was asked.
 *
 *   Error  1: message
 *          2: NotLeader            1: region_id   2: Peer leader
 *          3: RegionNotFound       1: region_id
 *          4: KeyNotInRegion       1: key   2: region_id   3: start_key   4: end_key
 *          5: EpochNotMatch        1: repeated Region current_regions
 *          6: ServerIsBusy         1: reason   2: backoff_ms   3: estimated_wait_ms
 *          7: StaleCommand
 *          8: StoreNotMatch        1: request_store_id   2: actual_store_id
 *          9: RaftEntryTooLarge    1: region_id   2: entry_size
 *         11: ReadIndexNotReady    1: reason   2: region_id
 *         14: RegionNotInitialized 1: region_id
 *         15: DiskFull             1: repeated store_id   2: reason
 *         16: RecoveryInProgress   1: region_id
 *         20: MismatchPeerId       1: request_peer_id   2: store_peer_id
 *         22: UndeterminedResult   1: message
 *
 * An Error of a kind that is not listed, or with nothing but a message, is decoded to that message:
 * the caller reports it as a plain failure.
 */
import { unreachable } from '../base/assert.ts'
import type { StoreId } from '../base/ids.ts'
import type { Peer, Region } from '../region/region.ts'
import type { ProtoReader } from './proto-reader.ts'
import type { ProtoWriter } from './proto-writer.ts'
import type { RegionError } from './raw.ts'
import { nested, readPeer, readRegion, writePeer, writeRegion } from './region-codec.ts'
import { bytesTag, fieldOf, varintTag, WireType } from './wire.ts'

const MESSAGE = bytesTag(1)
const FIELD = {
  NotLeader: 2,
  RegionNotFound: 3,
  KeyNotInRegion: 4,
  EpochNotMatch: 5,
  ServerIsBusy: 6,
  StaleCommand: 7,
  StoreNotMatch: 8,
  RaftEntryTooLarge: 9,
  ReadIndexNotReady: 11,
  RegionNotInitialized: 14,
  DiskFull: 15,
  RecoveryInProgress: 16,
  MismatchPeerId: 20,
  UndeterminedResult: 22,
} as const satisfies Record<RegionError['code'], number>
const SIZE_HINT = 128
const U32_MAX = 0xffff_ffff
const V1 = varintTag(1)
const V2 = varintTag(2)
const V3 = varintTag(3)
const B1 = bytesTag(1)
const B2 = bytesTag(2)
const B3 = bytesTag(3)
const B4 = bytesTag(4)

export function writeRegionError(writer: ProtoWriter, tag: number, error: RegionError): void {
  const mark = writer.begin(tag, SIZE_HINT)
  writer.textField(MESSAGE, error.message)
  const detail = writer.begin(bytesTag(FIELD[error.code]), 0)
  writeDetail(writer, error)
  writer.end(detail)
  writer.end(mark)
}

/** An Error that has a text only: a failure of a command whose response has no field for one. */
export function writeMessageError(writer: ProtoWriter, tag: number, message: string): void {
  const mark = writer.begin(tag, SIZE_HINT)
  writer.textField(MESSAGE, message)
  writer.end(mark)
}

function writeDetail(writer: ProtoWriter, error: RegionError): void {
  switch (error.code) {
    case 'NotLeader':
      writer.uintField(V1, error.regionId)
      if (error.leader !== undefined) writePeer(writer, B2, error.leader)
      return
    case 'RegionNotFound':
    case 'RegionNotInitialized':
    case 'RecoveryInProgress':
      writer.uintField(V1, error.regionId)
      return
    case 'KeyNotInRegion':
      writer.bytesField(B1, error.key)
      writer.uintField(V2, error.regionId)
      writer.bytesField(B3, error.startKey)
      writer.bytesField(B4, error.endKey)
      return
    case 'EpochNotMatch':
      for (const region of error.currentRegions) writeRegion(writer, B1, region)
      return
    case 'ServerIsBusy':
      writer.textField(B1, error.reason)
      writer.uintField(V2, error.backoffMs)
      // Without an estimate the Go client takes the store for a slow one and avoids it.
      writer.uintField(V3, Math.min(Math.max(1, error.backoffMs), U32_MAX))
      return
    case 'StoreNotMatch':
      writer.uintField(V1, error.requestStoreId)
      writer.uintField(V2, error.actualStoreId)
      return
    case 'RaftEntryTooLarge':
      writer.uintField(V1, error.regionId)
      writer.uintField(V2, error.entrySize)
      return
    case 'ReadIndexNotReady':
      writer.textField(B1, error.reason)
      writer.uintField(V2, error.regionId)
      return
    case 'DiskFull':
      writeStoreIds(writer, error.storeIds)
      writer.textField(B2, error.reason)
      return
    case 'MismatchPeerId':
      writer.uintField(V1, error.requestPeerId)
      writer.uintField(V2, error.storePeerId)
      return
    case 'UndeterminedResult':
      writer.textField(B1, error.message)
      return
    case 'StaleCommand':
      return
    default:
      unreachable(error)
  }
}

function writeStoreIds(writer: ProtoWriter, storeIds: readonly StoreId[]): void {
  if (storeIds.length === 0) return
  const mark = writer.begin(B1, storeIds.length)
  for (const storeId of storeIds) writer.varint(storeId)
  writer.end(mark)
}

/** What the numbered fields of any detail hold; which of them mean something depends on its kind. */
interface Detail {
  field: number
  n1: number
  n2: number
  b1: Buffer
  b2: Buffer
  b3: Buffer
  b4: Buffer
  peer: Peer | undefined
  regions: Region[]
  storeIds: StoreId[]
}

const NONE = Buffer.alloc(0)

/** The fields of an Error up to the end of the entered message; text when its kind is not known. */
export function readRegionError(reader: ProtoReader): RegionError | string {
  let message = ''
  let detail: Detail | undefined
  let unknown = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === MESSAGE) {
      message = reader.text()
    } else if ((tag & 7) === WireType.Bytes && isKnown(fieldOf(tag))) {
      const outer = reader.enter()
      detail = readDetail(reader, fieldOf(tag))
      reader.leave(outer)
    } else {
      unknown = fieldOf(tag)
      reader.skip(tag)
    }
  }
  if (detail !== undefined) return toRegionError(message, detail)
  return message === '' ? `region error of an unknown kind (field ${unknown})` : message
}

const KNOWN_FIELDS: ReadonlySet<number> = new Set(Object.values(FIELD))

function isKnown(field: number): boolean {
  return KNOWN_FIELDS.has(field)
}

function readDetail(reader: ProtoReader, field: number): Detail {
  const detail: Detail = {
    field,
    n1: 0,
    n2: 0,
    b1: NONE,
    b2: NONE,
    b3: NONE,
    b4: NONE,
    peer: undefined,
    regions: [],
    storeIds: [],
  }
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) readDetailField(reader, detail, tag)
  return detail
}

function readDetailField(reader: ProtoReader, detail: Detail, tag: number): void {
  const { field } = detail
  if (field === FIELD.DiskFull && (tag === V1 || tag === B1)) readStoreIds(reader, detail, tag)
  else if (field === FIELD.EpochNotMatch && tag === B1) {
    detail.regions.push(nested(reader, readRegion))
  } else if (field === FIELD.NotLeader && tag === B2) detail.peer = nested(reader, readPeer)
  else if (tag === V1) detail.n1 = reader.u64()
  else if (tag === V2) detail.n2 = reader.u64()
  else if (tag === B1) detail.b1 = reader.bytes()
  else if (tag === B2) detail.b2 = reader.bytes()
  else if (tag === B3) detail.b3 = reader.bytes()
  else if (tag === B4) detail.b4 = reader.bytes()
  else reader.skip(tag)
}

function readStoreIds(reader: ProtoReader, detail: Detail, tag: number): void {
  if (tag === V1) {
    detail.storeIds.push(reader.u64())
    return
  }
  const outer = reader.enter()
  while (!reader.atEnd()) detail.storeIds.push(reader.u64())
  reader.leave(outer)
}

function toRegionError(message: string, detail: Detail): RegionError {
  const { n1, n2, b1, b2 } = detail
  switch (detail.field as (typeof FIELD)[RegionError['code']]) {
    case FIELD.NotLeader:
      return { message, code: 'NotLeader', regionId: n1, leader: detail.peer }
    case FIELD.RegionNotFound:
      return { message, code: 'RegionNotFound', regionId: n1 }
    case FIELD.KeyNotInRegion:
      return {
        message,
        code: 'KeyNotInRegion',
        key: Buffer.from(b1),
        regionId: n2,
        startKey: Buffer.from(detail.b3),
        endKey: Buffer.from(detail.b4),
      }
    case FIELD.EpochNotMatch:
      return { message, code: 'EpochNotMatch', currentRegions: detail.regions }
    case FIELD.ServerIsBusy:
      return { message, code: 'ServerIsBusy', reason: b1.toString(), backoffMs: n2 }
    case FIELD.StaleCommand:
      return { message, code: 'StaleCommand' }
    case FIELD.StoreNotMatch:
      return { message, code: 'StoreNotMatch', requestStoreId: n1, actualStoreId: n2 }
    case FIELD.RaftEntryTooLarge:
      return { message, code: 'RaftEntryTooLarge', regionId: n1, entrySize: n2 }
    case FIELD.ReadIndexNotReady:
      return { message, code: 'ReadIndexNotReady', reason: b1.toString(), regionId: n2 }
    case FIELD.RegionNotInitialized:
      return { message, code: 'RegionNotInitialized', regionId: n1 }
    case FIELD.DiskFull:
      return { message, code: 'DiskFull', storeIds: detail.storeIds, reason: b2.toString() }
    case FIELD.RecoveryInProgress:
      return { message, code: 'RecoveryInProgress', regionId: n1 }
    case FIELD.MismatchPeerId:
      return { message, code: 'MismatchPeerId', requestPeerId: n1, storePeerId: n2 }
    case FIELD.UndeterminedResult:
      return { message: message || b1.toString(), code: 'UndeterminedResult' }
  }
}
