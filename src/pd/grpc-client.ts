/** PdClient over gRPC, to polyraft's own placement driver or to TiKV's. */
import { PolyraftError } from '../base/errors.ts'
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { GetStoreResponse } from '../protocol/pd-messages.ts'
import { metaStorageMethods, pdMethods } from '../protocol/pd-services.ts'
import type { Region } from '../region/region.ts'
import * as convert from './convert.ts'
import { HeartbeatStream } from './heartbeat-stream.ts'
import { initialRegionsOf, initialRegionsRequest } from './meta-storage.ts'
import { PdChannel, type PdChannelOptions } from './pd-channel.ts'
import type {
  PdClient,
  RegionHeartbeat,
  RegionInfo,
  RegionOrder,
  StoreMeta,
  StoreStats,
} from './port.ts'
import { mustBeOk } from './wire-errors.ts'

export type PdConnectOptions = PdChannelOptions

/** Rejects with Unavailable, naming the endpoints, when none of them answers in time. */
export async function connectPd(
  endpoints: readonly string[],
  options: PdConnectOptions,
): Promise<PdClient> {
  return new GrpcPdClient(await PdChannel.connect(endpoints, options), options)
}

/** TiKV's PD has no type for it, but always these words. */
const UNKNOWN_STORE = /invalid store ID .* not found/

class GrpcPdClient implements PdClient {
  readonly #channel: PdChannel
  readonly #heartbeats: HeartbeatStream
  readonly #handlers: ((order: RegionOrder) => void)[] = []

  constructor(channel: PdChannel, options: PdConnectOptions) {
    this.#channel = channel
    this.#heartbeats = new HeartbeatStream({
      open: () => channel.openStream(pdMethods.regionHeartbeat),
      header: channel.header(),
      onOrder: (order) => {
        for (const handler of this.#handlers) handler(order)
      },
      logger: options.logger,
    })
  }

  async clusterId(): Promise<ClusterId> {
    return this.#channel.clusterId
  }

  async allocId(count: number): Promise<number> {
    return (await this.#channel.call(pdMethods.allocId, { count })).id
  }

  async isBootstrapped(): Promise<boolean> {
    return (await this.#channel.call(pdMethods.isBootstrapped, {})).bootstrapped
  }

  async bootstrap(store: StoreMeta, region: Region): Promise<void> {
    const body = { store: convert.storeToWire(store), region: convert.regionToWire(region) }
    await this.#channel.call(pdMethods.bootstrap, body)
  }

  async initialRegions(storeId: StoreId): Promise<Region[] | undefined> {
    const request = initialRegionsRequest(this.#channel.clusterId, storeId)
    const response = await this.#channel.callRaw(metaStorageMethods.get, request)
    const { header } = response
    mustBeOk(header as Parameters<typeof mustBeOk>[0], this.#channel.clusterId)
    return initialRegionsOf(response)
  }

  async putStore(store: StoreMeta): Promise<void> {
    await this.#channel.call(pdMethods.putStore, { store: convert.storeToWire(store) })
  }

  async getStore(storeId: StoreId): Promise<StoreMeta | undefined> {
    const store = (await this.#lookUpStore(storeId))?.store
    return store == null ? undefined : convert.storeFromWire(store)
  }

  async getStoreStats(storeId: StoreId): Promise<StoreStats | undefined> {
    const stats = (await this.#lookUpStore(storeId))?.stats
    return stats == null ? undefined : convert.storeStatsFromWire(stats)
  }

  async getAllStores(): Promise<StoreMeta[]> {
    const body = { excludeTombstoneStores: false }
    const { stores } = await this.#channel.call(pdMethods.getAllStores, body)
    return stores.map(convert.storeFromWire)
  }

  async getRegion(key: Uint8Array): Promise<RegionInfo | undefined> {
    const body = { regionKey: key, needBuckets: false }
    return convert.regionInfoFromWire(await this.#channel.call(pdMethods.getRegion, body))
  }

  async getPrevRegion(key: Uint8Array): Promise<RegionInfo | undefined> {
    const body = { regionKey: key, needBuckets: false }
    return convert.regionInfoFromWire(await this.#channel.call(pdMethods.getPrevRegion, body))
  }

  async getRegionById(regionId: RegionId): Promise<RegionInfo | undefined> {
    const body = { regionId, needBuckets: false }
    return convert.regionInfoFromWire(await this.#channel.call(pdMethods.getRegionById, body))
  }

  async scanRegions(start: Uint8Array, end: Uint8Array, limit: number): Promise<RegionInfo[]> {
    const body = { startKey: start, endKey: end, limit }
    const { regions } = await this.#channel.call(pdMethods.scanRegions, body)
    const infos: RegionInfo[] = []
    for (const wire of regions) {
      const info = convert.regionInfoFromWire(wire)
      if (info !== undefined) infos.push(info)
    }
    return infos
  }

  async storeHeartbeat(stats: StoreStats): Promise<void> {
    await this.#channel.call(pdMethods.storeHeartbeat, { stats: convert.storeStatsToWire(stats) })
  }

  regionHeartbeat(heartbeat: RegionHeartbeat): void {
    this.#heartbeats.send(heartbeat)
  }

  onRegionOrder(handler: (order: RegionOrder) => void): void {
    this.#handlers.push(handler)
  }

  async #lookUpStore(storeId: StoreId): Promise<GetStoreResponse | undefined> {
    try {
      return await this.#channel.call(pdMethods.getStore, { storeId })
    } catch (error) {
      if (error instanceof PolyraftError && UNKNOWN_STORE.test(error.message)) return undefined
      throw error
    }
  }

  async close(): Promise<void> {
    this.#heartbeats.close()
    this.#channel.close()
  }
}
