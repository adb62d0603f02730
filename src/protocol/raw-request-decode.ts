/**
 * Requests of raw commands from bytes. Keys and values are views of the message: whoever keeps one
 * beyond the command's life copies it. Fields that mean nothing here are skipped, whatever is in them.
 */

import { ProtoReader } from './proto-reader.ts'
import { NO_BUFFERS, RawKind, RawRequest, type ResponseSink } from './raw.ts'
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

const EMPTY = Buffer.alloc(0)

/** A whole message: the request of a unary call. */
export function decodeRequest(
  kind: RawKind,
  bytes: Buffer,
  sink: ResponseSink,
  token: number,
): RawRequest {
  return readRequest(new ProtoReader(bytes), kind, sink, token)
}

/** The fields of a request of `kind`, up to the end of the entered message. @hot */
export function readRequest(
  reader: ProtoReader,
  kind: RawKind,
  sink: ResponseSink,
  token: number,
): RawRequest {
  const request = new RawRequest(kind, sink, token)
  switch (kind) {
    case RawKind.Put:
      readPut(reader, request)
      break
    case RawKind.Get:
    case RawKind.Delete:
      readKeyed(reader, request)
      break
    case RawKind.BatchPut:
      readBatchPut(reader, request)
      break
    case RawKind.BatchGet:
    case RawKind.BatchDelete:
      readKeys(reader, request)
      break
    case RawKind.Scan:
      readScan(reader, request)
      break
  }
  return request
}

function readPut(reader: ProtoReader, request: RawRequest): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === CONTEXT_TAG) readContext(reader, request)
    else if (tag === PutTag.Key) request.key = reader.bytes()
    else if (tag === PutTag.Value) request.value = reader.bytes()
    else if (tag === PutTag.Cf) request.cf = reader.text()
    else if (tag === PutTag.Ttl) request.ttls = someTtl(reader.u64())
    else reader.skip(tag)
  }
}

function readKeyed(reader: ProtoReader, request: RawRequest): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === CONTEXT_TAG) readContext(reader, request)
    else if (tag === KeyedTag.Key) request.key = reader.bytes()
    else if (tag === KeyedTag.Cf) request.cf = reader.text()
    else reader.skip(tag)
  }
}

function readKeys(reader: ProtoReader, request: RawRequest): void {
  const keys: Buffer[] = []
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === CONTEXT_TAG) readContext(reader, request)
    else if (tag === KeysTag.Keys) keys.push(readKey(reader))
    else if (tag === KeysTag.Cf) request.cf = reader.text()
    else reader.skip(tag)
  }
  request.keys = keys.length === 0 ? NO_BUFFERS : keys
}

function readBatchPut(reader: ProtoReader, request: RawRequest): void {
  const keys: Buffer[] = []
  const values: Buffer[] = []
  const ttls: number[] = []
  let oldTtl = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === CONTEXT_TAG) readContext(reader, request)
    else if (tag === BatchPutTag.Pairs) readRequestPair(reader, keys, values)
    else if (tag === BatchPutTag.Cf) request.cf = reader.text()
    else if (tag === BatchPutTag.Ttl) ttls.push(readTtl(reader))
    else if (tag === BatchPutTag.PackedTtls) readPacked(reader, ttls, readTtl)
    else if (tag === BatchPutTag.OldTtl) oldTtl = reader.u64()
    else reader.skip(tag)
  }
  request.keys = keys
  request.values = values
  request.ttls = ttls.length > 0 ? ttls : someTtl(oldTtl)
}

function readScan(reader: ProtoReader, request: RawRequest): void {
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === CONTEXT_TAG) readContext(reader, request)
    else if (tag === ScanTag.StartKey) request.key = reader.bytes()
    else if (tag === ScanTag.EndKey) request.endKey = reader.bytes()
    else if (tag === ScanTag.Limit) request.limit = reader.u32()
    else if (tag === ScanTag.KeyOnly) request.keyOnly = reader.bool()
    else if (tag === ScanTag.Reverse) request.reverse = reader.bool()
    else if (tag === ScanTag.Cf) request.cf = reader.text()
    else reader.skip(tag)
  }
}

const NO_TTLS: readonly number[] = []

function someTtl(ttl: number): readonly number[] {
  return ttl === 0 ? NO_TTLS : [ttl]
}

function readTtl(reader: ProtoReader): number {
  reader.countElement()
  return reader.u64()
}

function readRequestPair(reader: ProtoReader, keys: Buffer[], values: Buffer[]): void {
  reader.countElement()
  readPair(reader, keys, values)
}

function readKey(reader: ProtoReader): Buffer {
  reader.countElement()
  return reader.bytes()
}

export function readPacked(reader: ProtoReader, into: number[], read = readU64): void {
  const outer = reader.enter()
  while (!reader.atEnd()) into.push(read(reader))
  reader.leave(outer)
}

function readU64(reader: ProtoReader): number {
  return reader.u64()
}

/** One KvPair, appended to both lists, which may be the same. @hot */
export function readPair(reader: ProtoReader, keys: Buffer[], values: Buffer[]): void {
  let key: Buffer = EMPTY
  let value: Buffer = EMPTY
  const outer = reader.enter()
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === KvPairTag.Key) key = reader.bytes()
    else if (tag === KvPairTag.Value) value = reader.bytes()
    else reader.skip(tag)
  }
  reader.leave(outer)
  keys.push(key)
  values.push(value)
}

function readContext(reader: ProtoReader, request: RawRequest): void {
  const outer = reader.enter()
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ContextTag.RegionId) request.regionId = reader.u64()
    else if (tag === ContextTag.RegionEpoch) readEpoch(reader, request)
    else if (tag === ContextTag.Peer) readPeer(reader, request)
    else if (tag === ContextTag.Term) request.term = reader.nearestU64()
    else if (tag === ContextTag.ReplicaRead) request.replicaRead = reader.bool()
    else if (tag === ContextTag.DurationMsMax) request.durationMsMax = reader.nearestU64()
    else if (tag === ContextTag.ApiVersion) request.apiVersion = reader.u32()
    else if (tag === ContextTag.ClusterId) request.clusterId = reader.nearestU64()
    else reader.skip(tag)
  }
  reader.leave(outer)
}

function readEpoch(reader: ProtoReader, request: RawRequest): void {
  const outer = reader.enter()
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ContextTag.EpochConfVer) request.confVer = reader.u64()
    else if (tag === ContextTag.EpochVersion) request.version = reader.u64()
    else reader.skip(tag)
  }
  reader.leave(outer)
}

function readPeer(reader: ProtoReader, request: RawRequest): void {
  const outer = reader.enter()
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === ContextTag.PeerId) request.peerId = reader.u64()
    else if (tag === ContextTag.PeerStoreId) request.storeId = reader.u64()
    else reader.skip(tag)
  }
  reader.leave(outer)
}
