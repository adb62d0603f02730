/** Requests of raw commands to bytes: what a client sends. Field order is that of the numbers. */
import type { ProtoWriter } from './proto-writer.ts'
import { RawKind, type RawRequest } from './raw.ts'
import {
  BatchPutTag,
  CONTEXT_TAG,
  ContextTag,
  KeyedTag,
  KeysTag,
  KvPairTag,
  PutTag,
  ScanTag,
} from './raw-fields.ts'
import { bytesFieldSize, varintSize } from './wire.ts'

const CONTEXT_SIZE_HINT = 40
/** What a request takes besides its keys and values. */
const REQUEST_OVERHEAD_HINT = 52

/** About what the request takes, cheaply: the hint for its length, and for bounding messages. @hot */
export function requestSizeHint(request: RawRequest): number {
  let size = REQUEST_OVERHEAD_HINT + request.key.length + request.value.length
  size += request.endKey.length
  for (const key of request.keys) size += key.length + 6
  for (const value of request.values) size += value.length + 4
  return size
}

/** The fields of the request, without a tag or length around them. @hot */
export function writeRequest(writer: ProtoWriter, request: RawRequest): void {
  writeContext(writer, request)
  switch (request.kind) {
    case RawKind.Put:
      writer.bytesField(PutTag.Key, request.key)
      writer.bytesField(PutTag.Value, request.value)
      writer.textField(PutTag.Cf, request.cf)
      writer.uintField(PutTag.Ttl, request.ttls[0] ?? 0)
      return
    case RawKind.Get:
    case RawKind.Delete:
      writer.bytesField(KeyedTag.Key, request.key)
      writer.textField(KeyedTag.Cf, request.cf)
      return
    case RawKind.BatchPut:
      writeBatchPut(writer, request)
      return
    case RawKind.BatchGet:
    case RawKind.BatchDelete:
      for (const key of request.keys) writer.bytesElement(KeysTag.Keys, key)
      writer.textField(KeysTag.Cf, request.cf)
      return
    case RawKind.Scan:
      writeScan(writer, request)
  }
}

function writeBatchPut(writer: ProtoWriter, request: RawRequest): void {
  const { keys, values, ttls } = request
  for (let i = 0; i < keys.length; i++) {
    writePair(writer, BatchPutTag.Pairs, keys[i]!, values[i]!)
  }
  writer.textField(BatchPutTag.Cf, request.cf)
  if (ttls.length === 0) return
  const mark = writer.begin(BatchPutTag.PackedTtls, ttls.length)
  for (const ttl of ttls) writer.varint(ttl)
  writer.end(mark)
}

function writeScan(writer: ProtoWriter, request: RawRequest): void {
  writer.bytesField(ScanTag.StartKey, request.key)
  writer.uintField(ScanTag.Limit, request.limit)
  writer.boolField(ScanTag.KeyOnly, request.keyOnly)
  writer.textField(ScanTag.Cf, request.cf)
  writer.boolField(ScanTag.Reverse, request.reverse)
  writer.bytesField(ScanTag.EndKey, request.endKey)
}

/** One KvPair as a field. @hot */
export function writePair(writer: ProtoWriter, tag: number, key: Buffer, value: Buffer): void {
  writer.varint(tag)
  writer.varint(pairSize(key, value))
  writer.bytesField(KvPairTag.Key, key)
  writer.bytesField(KvPairTag.Value, value)
}

export function pairSize(key: Buffer, value: Buffer): number {
  return bytesFieldSize(key.length) + bytesFieldSize(value.length)
}

function writeContext(writer: ProtoWriter, request: RawRequest): void {
  const context = writer.begin(CONTEXT_TAG, CONTEXT_SIZE_HINT)
  writer.uintField(ContextTag.RegionId, request.regionId)
  const { confVer, version, peerId, storeId } = request
  writePairOfNumbers(writer, ContextTag.RegionEpoch, confVer, version)
  writePairOfNumbers(writer, ContextTag.Peer, peerId, storeId)
  writer.uintField(ContextTag.Term, request.term)
  writer.boolField(ContextTag.ReplicaRead, request.replicaRead)
  writer.uintField(ContextTag.DurationMsMax, request.durationMsMax)
  writer.uintField(ContextTag.ApiVersion, request.apiVersion)
  writer.uintField(ContextTag.ClusterId, request.clusterId)
  writer.end(context)
}

/** A message with two numbers, fields 1 and 2: an epoch, or a peer as a client names it. */
function writePairOfNumbers(writer: ProtoWriter, tag: number, first: number, second: number): void {
  if (first === 0 && second === 0) return
  writer.varint(tag)
  const firstSize = first === 0 ? 0 : 1 + varintSize(first)
  const secondSize = second === 0 ? 0 : 1 + varintSize(second)
  writer.varint(firstSize + secondSize)
  writer.uintField(ContextTag.EpochConfVer, first)
  writer.uintField(ContextTag.EpochVersion, second)
}
