/**
 * Keys on disk, as TiKV lays them out (ids are big-endian u64):
 *
 *   01 01               store ident
 *   01 02               prepare-bootstrap mark
 *   01 02 <id> 03       apply state of a region        (column family raft)
 *   01 02 <id> 04       raft state of a snapshot that is being installed (column family raft)
 *   01 03 <id> 01       region state                   (column family raft)
 *   'z' <user key>      data; an open end of the key space is '{'
 */
import { readU64BE, writeU64BE } from '../base/bytes.ts'
import type { RegionId } from '../base/ids.ts'

const LOCAL = 0x01
const IDENT = 0x01
const REGION_RAFT = 0x02
const REGION_META = 0x03
const APPLY_STATE_SUFFIX = 0x03
const SNAPSHOT_STATE_SUFFIX = 0x04
const REGION_STATE_SUFFIX = 0x01
export const DATA_PREFIX = 0x7a

export const STORE_IDENT_KEY: Buffer = Buffer.from([LOCAL, IDENT])
export const PREPARE_BOOTSTRAP_KEY: Buffer = Buffer.from([LOCAL, REGION_RAFT])
export const REGION_META_MIN_KEY: Buffer = Buffer.from([LOCAL, REGION_META])
export const REGION_META_MAX_KEY: Buffer = Buffer.from([LOCAL, REGION_META + 1])
export const DATA_MIN_KEY: Buffer = Buffer.from([DATA_PREFIX])
export const DATA_MAX_KEY: Buffer = Buffer.from([DATA_PREFIX + 1])

function regionKey(kind: number, regionId: RegionId, suffix: number): Buffer {
  const key = Buffer.allocUnsafe(11)
  key[0] = LOCAL
  key[1] = kind
  writeU64BE(key, regionId, 2)
  key[10] = suffix
  return key
}

export function applyStateKey(regionId: RegionId): Buffer {
  return regionKey(REGION_RAFT, regionId, APPLY_STATE_SUFFIX)
}

export function snapshotStateKey(regionId: RegionId): Buffer {
  return regionKey(REGION_RAFT, regionId, SNAPSHOT_STATE_SUFFIX)
}

export function regionStateKey(regionId: RegionId): Buffer {
  return regionKey(REGION_META, regionId, REGION_STATE_SUFFIX)
}

/** The region id of a region-state key, or undefined for any other key. */
export function decodeRegionStateKey(key: Buffer): RegionId | undefined {
  if (key.length !== 11 || key[0] !== LOCAL || key[1] !== REGION_META) return undefined
  return key[10] === REGION_STATE_SUFFIX ? readU64BE(key, 2) : undefined
}

export function dataKey(userKey: Uint8Array): Buffer {
  const key = Buffer.allocUnsafe(userKey.length + 1)
  key[0] = DATA_PREFIX
  key.set(userKey, 1)
  return key
}

/** Upper bound of a range whose end is `userKey`; empty means the end of the key space. */
export function dataEndKey(userKey: Uint8Array): Buffer {
  return userKey.length === 0 ? DATA_MAX_KEY : dataKey(userKey)
}

export function userKey(key: Buffer): Buffer {
  return key.subarray(1)
}
