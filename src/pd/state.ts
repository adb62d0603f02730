/**
 * What PD knows, in memory, with the rules for stores and bootstrap. Pure: it decides and changes;
 * PdCore makes each change durable before it lets the state take it in.
 */
import { PolyraftError } from '../base/errors.ts'
import type { ClusterId, StoreId } from '../base/ids.ts'
import { peerOnStore, type Region } from '../region/region.ts'
import { type StoreMeta, StoreState, type StoreStats } from './port.ts'
import * as records from './records.ts'
import { RegionTree } from './region-tree.ts'

const MAX_PEER_COUNT_DEFAULT = 3

export interface StoreRecord {
  readonly meta: StoreMeta
  readonly stats: StoreStats | undefined
}

export class PdState {
  /** 0 until loaded or created. */
  clusterId: ClusterId = 0
  maxPeerCount = MAX_PEER_COUNT_DEFAULT
  bootstrap: records.BootstrapRecord | undefined
  readonly stores = new Map<StoreId, StoreRecord>()
  readonly regions = new RegionTree()
  /** By store, as at bootstrap; only a plan makes these. */
  readonly initialRegions = new Map<StoreId, readonly Region[]>()
  /** Durable marks at start, from which the allocators go on. */
  idWindowEnd = 0
  tsoSaved = 0

  /** Takes in one stored record. */
  load(key: string, value: Buffer): void {
    if (key === records.CLUSTER_KEY) {
      const cluster = records.decodeCluster(value)
      this.clusterId = cluster.clusterId
      this.maxPeerCount = cluster.maxPeerCount
    } else if (key === records.IDS_KEY) this.idWindowEnd = records.decodeNumber(key, value)
    else if (key === records.TSO_KEY) this.tsoSaved = records.decodeNumber(key, value)
    else if (key === records.BOOTSTRAP_KEY) this.bootstrap = records.decodeBootstrap(value)
    else if (key.startsWith(records.STORE_PREFIX)) {
      const meta = records.decodeStore(key, value)
      this.stores.set(meta.id, { meta, stats: undefined })
    } else if (key.startsWith(records.REGION_PREFIX)) {
      this.regions.load(records.decodeRegion(key, value))
    } else if (key.startsWith(records.INITIAL_PREFIX)) {
      const storeId = Number(key.slice(records.INITIAL_PREFIX.length))
      this.initialRegions.set(storeId, records.decodeInitial(key, value))
    } else throw new PolyraftError('Corruption', `PD does not know its own record ${key}`)
  }

  /** The record that a registration leads to, or why it is refused. */
  admitStore(store: StoreMeta, lastId: number): StoreMeta {
    mustHaveId('store', store.id, lastId)
    if (store.address === '') {
      throw new PolyraftError('InvalidArgument', `store ${store.id} has no address`)
    }
    const known = this.stores.get(store.id)?.meta
    if (known?.state === StoreState.Tombstone) throw tombstoneError(store.id)
    for (const { meta } of this.stores.values()) {
      const live = meta.id !== store.id && meta.state !== StoreState.Tombstone
      if (live && meta.address === store.address) throw duplicateAddress(store, meta)
    }
    return {
      ...store,
      state: known?.state ?? StoreState.Up,
      lastHeartbeatMs: known?.lastHeartbeatMs ?? 0,
    }
  }

  putStore(meta: StoreMeta): void {
    this.stores.set(meta.id, { meta, stats: this.stores.get(meta.id)?.stats })
  }

  applyStoreHeartbeat(stats: StoreStats, nowMs: number): void {
    const record = this.stores.get(stats.storeId)
    if (record === undefined) throw unknownStore(stats.storeId)
    if (record.meta.state === StoreState.Tombstone) throw tombstoneError(stats.storeId)
    this.stores.set(stats.storeId, { meta: { ...record.meta, lastHeartbeatMs: nowMs }, stats })
  }

  liveStoreIds(): StoreId[] {
    const ids: StoreId[] = []
    for (const { meta } of this.stores.values()) {
      if (meta.state !== StoreState.Tombstone) ids.push(meta.id)
    }
    return ids.sort((a, b) => a - b)
  }

  mustBeBootstrapped(): void {
    if (this.bootstrap !== undefined) return
    throw new PolyraftError('NotBootstrapped', 'the cluster is not bootstrapped yet')
  }
}

/** A first region holds every key and has one peer, on the store that brings it. */
export function mustBeFirstRegion(region: Region, store: StoreMeta, lastId: number): void {
  mustHaveId('region', region.id, lastId)
  const peer = peerOnStore(region, store.id)
  if (peer === undefined || region.peers.length !== 1) {
    throw new PolyraftError(
      'InvalidArgument',
      `the first region needs exactly one peer, on store ${store.id}`,
    )
  }
  mustHaveId('peer', peer.id, lastId)
  if (region.startKey.length > 0 || region.endKey.length > 0) {
    throw new PolyraftError('InvalidArgument', 'the first region must hold the whole key space')
  }
}

/** Ids that PD never gave out could be given to somebody else later. */
function mustHaveId(what: string, id: number, lastId: number): void {
  if (id >= 1 && id <= lastId) return
  throw new PolyraftError('InvalidArgument', `${what} id ${id} does not come from AllocID`)
}

function tombstoneError(storeId: StoreId): PolyraftError {
  return new PolyraftError(
    'StoreTombstone',
    `store ${storeId} was removed from the cluster for good: start it as a new one, with no data`,
    { storeId },
  )
}

/** client-go looks for these words. */
export function unknownStore(storeId: StoreId): PolyraftError {
  return new PolyraftError('NotFound', `invalid store ID ${storeId}, not found`, { storeId })
}

function duplicateAddress(store: StoreMeta, other: StoreMeta): PolyraftError {
  return new PolyraftError(
    'InvalidArgument',
    `store ${store.id} says ${store.address}, which is the address of store ${other.id}: ` +
      'give it another address, or remove the other store first',
    { storeId: store.id, otherStoreId: other.id },
  )
}
