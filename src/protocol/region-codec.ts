/**
 * metapb, the part that raw commands carry. All field numbers are kvproto's.
 *
 *   RegionEpoch  1: conf_ver   2: version
 *   Peer         1: id   2: store_id   3: role
 *   Region       1: id   2: start_key   3: end_key   4: region_epoch   5: repeated peers
 *
 * Decoded regions own their keys: they are kept in caches long after their message.
 */
import type { Peer, PeerRole, Region } from '../region/region.ts'
import type { ProtoReader } from './proto-reader.ts'
import type { ProtoWriter } from './proto-writer.ts'
import { bytesTag, varintTag } from './wire.ts'

const EPOCH_CONF_VER = varintTag(1)
const EPOCH_VERSION = varintTag(2)
const PEER_ID = varintTag(1)
const PEER_STORE_ID = varintTag(2)
const PEER_ROLE = varintTag(3)
const REGION_ID = varintTag(1)
const REGION_START_KEY = bytesTag(2)
const REGION_END_KEY = bytesTag(3)
const REGION_EPOCH = bytesTag(4)
const REGION_PEERS = bytesTag(5)
const SMALL = 64

function writeEpoch(writer: ProtoWriter, tag: number, confVer: number, version: number): void {
  const mark = writer.begin(tag, 0)
  writer.uintField(EPOCH_CONF_VER, confVer)
  writer.uintField(EPOCH_VERSION, version)
  writer.end(mark)
}

export function writePeer(writer: ProtoWriter, tag: number, peer: Peer): void {
  const mark = writer.begin(tag, 0)
  writer.uintField(PEER_ID, peer.id)
  writer.uintField(PEER_STORE_ID, peer.storeId)
  writer.uintField(PEER_ROLE, peer.role)
  writer.end(mark)
}

export function writeRegion(writer: ProtoWriter, tag: number, region: Region): void {
  const mark = writer.begin(tag, SMALL + region.startKey.length + region.endKey.length)
  writer.uintField(REGION_ID, region.id)
  writer.bytesField(REGION_START_KEY, region.startKey)
  writer.bytesField(REGION_END_KEY, region.endKey)
  writeEpoch(writer, REGION_EPOCH, region.epoch.confVer, region.epoch.version)
  for (const peer of region.peers) writePeer(writer, REGION_PEERS, peer)
  writer.end(mark)
}

/** The fields of a Peer, up to the end of the entered message. */
export function readPeer(reader: ProtoReader): Peer {
  let id = 0
  let storeId = 0
  let role = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === PEER_ID) id = reader.u64()
    else if (tag === PEER_STORE_ID) storeId = reader.u64()
    else if (tag === PEER_ROLE) role = reader.u32()
    else reader.skip(tag)
  }
  return { id, storeId, role: role as PeerRole }
}

export function readRegion(reader: ProtoReader): Region {
  let id = 0
  let startKey: Buffer = Buffer.alloc(0)
  let endKey: Buffer = Buffer.alloc(0)
  let epoch = { confVer: 0, version: 0 }
  const peers: Peer[] = []
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === REGION_ID) id = reader.u64()
    else if (tag === REGION_START_KEY) startKey = Buffer.from(reader.bytes())
    else if (tag === REGION_END_KEY) endKey = Buffer.from(reader.bytes())
    else if (tag === REGION_EPOCH) epoch = nested(reader, readEpoch)
    else if (tag === REGION_PEERS) peers.push(nested(reader, readPeer))
    else reader.skip(tag)
  }
  return { id, startKey, endKey, epoch, peers }
}

function readEpoch(reader: ProtoReader): { confVer: number; version: number } {
  let confVer = 0
  let version = 0
  for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
    if (tag === EPOCH_CONF_VER) confVer = reader.u64()
    else if (tag === EPOCH_VERSION) version = reader.u64()
    else reader.skip(tag)
  }
  return { confVer, version }
}

/** Reads a nested message with `read`. For messages off the hot path. */
export function nested<T>(reader: ProtoReader, read: (reader: ProtoReader) => T): T {
  const outer = reader.enter()
  const value = read(reader)
  reader.leave(outer)
  return value
}
