/** PdClient without a network, over the PdCore of the same process. */
import { PolyraftError } from '../base/errors.ts'
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { Region } from '../region/region.ts'
import type { OrderSink, PdCore } from './core.ts'
import type {
  PdClient,
  RegionHeartbeat,
  RegionInfo,
  RegionOrder,
  StoreMeta,
  StoreStats,
} from './port.ts'
import type { RegionRecord } from './region-tree.ts'

function infoOf(record: RegionRecord): RegionInfo {
  const { region, leader, downPeers, pendingPeers } = record
  return { region, leader, downPeers, pendingPeers }
}

export class LocalPdClient implements PdClient {
  readonly #core: PdCore
  readonly #logger: Logger
  readonly #handlers: ((order: RegionOrder) => void)[] = []
  readonly #attached = new Set<StoreId>()
  readonly #sink: OrderSink
  #closed = false

  constructor(core: PdCore, logger: Logger) {
    this.#core = core
    this.#logger = logger
    // Later, as over a network: an order must not enter a store from within its own heartbeat.
    this.#sink = (order) => queueMicrotask(() => this.#deliver(order))
  }

  async clusterId(): Promise<ClusterId> {
    return this.#open().clusterId
  }

  async allocId(count: number): Promise<number> {
    return this.#open().allocId(count)
  }

  async isBootstrapped(): Promise<boolean> {
    return this.#open().bootstrapped
  }

  async bootstrap(store: StoreMeta, region: Region): Promise<void> {
    await this.#open().bootstrap(store, region)
  }

  async initialRegions(storeId: StoreId): Promise<Region[] | undefined> {
    const regions = this.#open().initialRegions(storeId)
    return regions && [...regions]
  }

  async putStore(store: StoreMeta): Promise<void> {
    await this.#open().putStore(store)
  }

  async getStore(storeId: StoreId): Promise<StoreMeta | undefined> {
    return this.#open().store(storeId)?.meta
  }

  async getStoreStats(storeId: StoreId): Promise<StoreStats | undefined> {
    return this.#open().store(storeId)?.stats
  }

  async getAllStores(): Promise<StoreMeta[]> {
    return this.#open()
      .stores()
      .map((record) => record.meta)
  }

  async getRegion(key: Uint8Array): Promise<RegionInfo | undefined> {
    const record = this.#open().region(key)
    return record && infoOf(record)
  }

  async getPrevRegion(key: Uint8Array): Promise<RegionInfo | undefined> {
    const record = this.#open().previousRegion(key)
    return record && infoOf(record)
  }

  async getRegionById(regionId: RegionId): Promise<RegionInfo | undefined> {
    const record = this.#open().regionById(regionId)
    return record && infoOf(record)
  }

  async scanRegions(start: Uint8Array, end: Uint8Array, limit: number): Promise<RegionInfo[]> {
    return this.#open().scanRegions(start, end, limit).map(infoOf)
  }

  async storeHeartbeat(stats: StoreStats): Promise<void> {
    this.#open().storeHeartbeat(stats)
  }

  regionHeartbeat(heartbeat: RegionHeartbeat): void {
    if (this.#closed) return
    try {
      const result = this.#core.regionHeartbeat(heartbeat)
      if (result.accepted) this.#attach(heartbeat.leader.storeId)
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      this.#logger.debug({ error: error.message }, 'region heartbeat refused')
    }
  }

  onRegionOrder(handler: (order: RegionOrder) => void): void {
    this.#handlers.push(handler)
  }

  /** Leaves the core running: it belongs to whoever made it. */
  async close(): Promise<void> {
    this.#closed = true
    for (const storeId of this.#attached) this.#core.detachStore(storeId, this.#sink)
    this.#attached.clear()
  }

  #open(): PdCore {
    if (this.#closed) throw new PolyraftError('Closed', 'the PD client is closed')
    return this.#core
  }

  #attach(storeId: StoreId): void {
    if (this.#attached.has(storeId)) return
    this.#attached.add(storeId)
    this.#core.attachStore(storeId, this.#sink)
  }

  #deliver(order: RegionOrder): void {
    if (this.#closed) return
    for (const handler of this.#handlers) handler(order)
  }
}
