/**
 * What PD knows, in memory, with the rules of bootstrap. Pure: it decides and changes; PdCore makes
 * each change durable before it lets the state take it in.
 */
import { PolyraftError } from '../base/errors.ts'
import type { ClusterId, StoreId } from '../base/ids.ts'
import { peerOnStore, type Region } from '../region/region.ts'
import type { StoreMeta } from './port.ts'
import * as records from './records.ts'
import { RegionTree } from './region-tree.ts'
import { StoreTable } from './store-table.ts'

const MAX_PEER_COUNT_DEFAULT = 3

export class PdState {
  /** 0 until loaded or created. */
  clusterId: ClusterId = 0
  maxPeerCount = MAX_PEER_COUNT_DEFAULT
  bootstrap: records.BootstrapRecord | undefined
  readonly stores = new StoreTable()
  readonly regions = new RegionTree()
  /** By store, as at bootstrap; only a plan makes these. */
  readonly initialRegions = new Map<StoreId, readonly Region[]>()
  /** Durable marks at start, from which the allocators go on. */
  idWindowEnd = 0
  tsoSaved = 0
  #heard: records.HeardRecord | undefined

  /** Takes in one stored record. */
  load(key: string, value: Buffer): void {
    if (key === records.CLUSTER_KEY) {
      const cluster = records.decodeCluster(value)
      this.clusterId = cluster.clusterId
      this.maxPeerCount = cluster.maxPeerCount
    } else if (key === records.IDS_KEY) this.idWindowEnd = records.decodeNumber(key, value)
    else if (key === records.TSO_KEY) this.tsoSaved = records.decodeNumber(key, value)
    else if (key === records.HEARD_KEY) this.#heard = records.decodeHeard(value)
    else if (key === records.BOOTSTRAP_KEY) this.bootstrap = records.decodeBootstrap(value)
    else if (key.startsWith(records.STORE_PREFIX)) {
      this.stores.load(records.decodeStore(key, value))
    } else if (key.startsWith(records.REGION_PREFIX)) {
      this.regions.load(records.decodeRegion(key, value))
    } else if (key.startsWith(records.INITIAL_PREFIX)) {
      const storeId = Number(key.slice(records.INITIAL_PREFIX.length))
      this.initialRegions.set(storeId, records.decodeInitial(key, value))
    } else throw new PolyraftError('Corruption', `PD does not know its own record ${key}`)
  }

  /** Everything is loaded. */
  resume(monotonicMs: number): void {
    this.stores.resume(this.#heard, monotonicMs)
  }

  /** The record that a registration leads to, or why it is refused. */
  admitStore(store: StoreMeta, lastId: number): StoreMeta {
    mustHaveId('store', store.id, lastId)
    return this.stores.admit(store)
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
