/**
 * What PD stores, key by key. Values begin with a version byte.
 *
 *   cluster        u8 1 | u64 cluster id | u32 max peer count
 *   ids            u8 1 | u64 last id of the reserved window
 *   tso            u8 1 | u64 physical ms that no timestamp reached yet
 *   bootstrap      u8 1 | u64 store | u64 region   (0 | 0 = bootstrapped by plan)
 *   heard          u8 1 | u64 now ms | u32 n | n × (u64 store | u64 last heartbeat ms)
 *   store/<id>     u8 1 | u64 id | u8 state | u64 start s | 5 texts | u32 n | n × (text | text)
 *                  state: 0 up, 1 offline, 2 tombstone, 3 offline and physically destroyed
 *   region/<id>    u8 1 | region
 *   initial/<id>   u8 1 | u32 n | n × region       regions that the plan gave to store <id>
 */
import { type ByteReader, ByteWriter, readRecord } from '../base/codec.ts'
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { Region } from '../region/region.ts'
import { readRegion, writeRegion } from '../region/state.ts'
import { type StoreMeta, StoreState } from './port.ts'
import type { PdWrite } from './storage.ts'

const VERSION = 1
const DESTROYED = 3

export const CLUSTER_KEY = 'cluster'
export const IDS_KEY = 'ids'
export const TSO_KEY = 'tso'
export const BOOTSTRAP_KEY = 'bootstrap'
export const HEARD_KEY = 'heard'
export const STORE_PREFIX = 'store/'
export const REGION_PREFIX = 'region/'
export const INITIAL_PREFIX = 'initial/'

export interface ClusterRecord {
  readonly clusterId: ClusterId
  readonly maxPeerCount: number
}

export interface BootstrapRecord {
  /** Who bootstrapped, and with which region; zeros when the plan did. */
  readonly storeId: StoreId
  readonly regionId: RegionId
}

function begin(capacity: number): ByteWriter {
  return new ByteWriter(capacity).u8(VERSION)
}

function read<T>(bytes: Buffer, what: string, body: (reader: ByteReader) => T): T {
  return readRecord(bytes, VERSION, `PD record ${what}`, body)
}

export function clusterWrite(record: ClusterRecord): PdWrite {
  const value = begin(13).u64(record.clusterId).u32(record.maxPeerCount).take()
  return { key: CLUSTER_KEY, value }
}

export function decodeCluster(bytes: Buffer): ClusterRecord {
  return read(bytes, 'cluster', (reader) => ({
    clusterId: reader.u64(),
    maxPeerCount: reader.u32(),
  }))
}

export function numberWrite(key: string, value: number): PdWrite {
  return { key, value: begin(9).u64(value).take() }
}

export function decodeNumber(key: string, bytes: Buffer): number {
  return read(bytes, key, (reader) => reader.u64())
}

export function bootstrapWrite(record: BootstrapRecord): PdWrite {
  return { key: BOOTSTRAP_KEY, value: begin(17).u64(record.storeId).u64(record.regionId).take() }
}

export function decodeBootstrap(bytes: Buffer): BootstrapRecord {
  return read(bytes, 'bootstrap', (reader) => ({
    storeId: reader.u64(),
    regionId: reader.u64(),
  }))
}

/** When PD last heard of its stores, and when it wrote that down; unix milliseconds. */
export interface HeardRecord {
  readonly nowMs: number
  readonly stores: ReadonlyMap<StoreId, number>
}

export function heardWrite({ nowMs, stores }: HeardRecord): PdWrite {
  const writer = begin(256).u64(nowMs).u32(stores.size)
  for (const [storeId, heardMs] of stores) writer.u64(storeId).u64(heardMs)
  return { key: HEARD_KEY, value: writer.take() }
}

export function decodeHeard(bytes: Buffer): HeardRecord {
  return read(bytes, 'heard', (reader) => {
    const nowMs = reader.u64()
    const stores = new Map<StoreId, number>()
    for (let left = reader.u32(); left > 0; left--) {
      const storeId = reader.u64()
      stores.set(storeId, reader.u64())
    }
    return { nowMs, stores }
  })
}

export function storeWrite(store: StoreMeta): PdWrite {
  const destroyed = store.physicallyDestroyed && store.state === StoreState.Offline
  const state = destroyed ? DESTROYED : store.state
  const writer = begin(256).u64(store.id).u8(state).u64(store.startTimestamp)
  writer.text(store.address).text(store.peerAddress).text(store.statusAddress)
  writer.text(store.version).text(store.deployPath)
  const labels = Object.entries(store.labels)
  writer.u32(labels.length)
  for (const [name, value] of labels) writer.text(name).text(value)
  return { key: `${STORE_PREFIX}${store.id}`, value: writer.take() }
}

function readLabels(reader: ByteReader): Record<string, string> {
  const labels: Record<string, string> = {}
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.text()
    labels[name] = reader.text()
  }
  return labels
}

/** Without the time of the last heartbeat, which the record `heard` has. */
export function decodeStore(key: string, bytes: Buffer): StoreMeta {
  return read(bytes, key, (reader) => {
    const id = reader.u64()
    const state = reader.u8()
    return {
      id,
      state: state === DESTROYED ? StoreState.Offline : (state as StoreState),
      physicallyDestroyed: state === DESTROYED,
      startTimestamp: reader.u64(),
      address: reader.text(),
      peerAddress: reader.text(),
      statusAddress: reader.text(),
      version: reader.text(),
      deployPath: reader.text(),
      labels: readLabels(reader),
      lastHeartbeatMs: 0,
    }
  })
}

export function regionWrite(region: Region): PdWrite {
  const writer = begin(128)
  writeRegion(writer, region)
  return { key: `${REGION_PREFIX}${region.id}`, value: writer.take() }
}

export function regionDelete(regionId: RegionId): PdWrite {
  return { key: `${REGION_PREFIX}${regionId}`, value: undefined }
}

export function decodeRegion(key: string, bytes: Buffer): Region {
  return read(bytes, key, readRegion)
}

export function initialWrite(storeId: StoreId, regions: readonly Region[]): PdWrite {
  const writer = begin(256).u32(regions.length)
  for (const region of regions) writeRegion(writer, region)
  return { key: `${INITIAL_PREFIX}${storeId}`, value: writer.take() }
}

export function decodeInitial(key: string, bytes: Buffer): Region[] {
  return read(bytes, key, (reader) => {
    const regions: Region[] = []
    for (let left = reader.u32(); left > 0; left--) regions.push(readRegion(reader))
    return regions
  })
}
