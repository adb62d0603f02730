/**
 * The one thing that polyraft keeps behind meta_storagepb: the regions that the bootstrap plan gave
 * a store. No key-value = the plan still waits for stores; an empty list = none for this store.
 * Other keys, which TiKV's clients ask for, do not exist.
 */
import type { ClusterId, StoreId } from '../base/ids.ts'
import type { MetaGetRequest, MetaGetResponse, MetaKeyValue } from '../protocol/pd-messages.ts'
import { INITIAL_REGIONS_PREFIX, initialRegionsCodec } from '../protocol/pd-services.ts'
import type { Region } from '../region/region.ts'
import { regionFromWire, regionToWire } from './convert.ts'
import type { PdCore } from './core.ts'

export function readInitialRegions(core: PdCore, key: Buffer): MetaKeyValue[] {
  const text = key.toString('utf8')
  const digits = text.slice(INITIAL_REGIONS_PREFIX.length)
  if (!text.startsWith(INITIAL_REGIONS_PREFIX) || !/^[1-9]\d{0,15}$/.test(digits)) return []
  const regions = core.initialRegions(Number(digits))
  if (regions === undefined) return []
  const value = initialRegionsCodec.encode({ regions: regions.map(regionToWire) })
  return [{ key, value, createRevision: 1, modRevision: 1, version: 1, lease: 0 }]
}

export function initialRegionsRequest(clusterId: ClusterId, storeId: StoreId): MetaGetRequest {
  return {
    header: { clusterId, source: 'polyraft' },
    key: Buffer.from(`${INITIAL_REGIONS_PREFIX}${storeId}`),
    rangeEnd: Buffer.alloc(0),
    limit: 0,
    revision: 0,
  }
}

export function initialRegionsOf(response: MetaGetResponse): Region[] | undefined {
  const found = response.kvs[0]
  return found && initialRegionsCodec.decode(found.value).regions.map(regionFromWire)
}
