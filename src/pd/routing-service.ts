/** Bodies of the answers that tell clients where regions are, and where they are going. */
import { compareBytes, printableKey } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import {
  type BatchScanRegionsRequest,
  type BatchScanRegionsResponse,
  type GetOperatorResponse,
  OperatorStatus,
  type QueryRegionRequest,
  type QueryRegionResponse,
  type ScanRegionsRequest,
  type ScanRegionsResponse,
  type WireRegionInfo,
} from '../protocol/pd-messages.ts'
import { NO_REGION_INFO, regionInfoToWire, regionToWire } from './convert.ts'
import type { PdCore } from './core.ts'
import { Operator } from './operators/operator.ts'
import { firstGap, type RegionRecord } from './region-tree.ts'

const STATUS_OF_OUTCOME = {
  success: OperatorStatus.Success,
  timeout: OperatorStatus.Timeout,
  cancel: OperatorStatus.Cancel,
} as const

const NO_LEADER = { id: 0, storeId: 0, role: 0 } as const

export function regionBody(record: RegionRecord | undefined): WireRegionInfo {
  return record === undefined ? NO_REGION_INFO : regionInfoToWire(record)
}

export function operatorBody(
  core: PdCore,
  regionId: RegionId,
): Omit<GetOperatorResponse, 'header'> {
  const found = core.operatorOf(regionId)
  if (found === undefined) {
    throw new PolyraftError('NotFound', `PD knows of no operator for region ${regionId}`)
  }
  const running = found instanceof Operator
  const operator = running ? found : found.operator
  return {
    regionId,
    desc: Buffer.from(operator.reason),
    status: running ? OperatorStatus.Running : STATUS_OF_OUTCOME[found.outcome],
    kind: Buffer.from(operator.origin === 'admin' ? 'admin' : 'replica'),
  }
}

/** Clients index the id lists by their keys' positions: a key without a region gets the id 0. */
export function queryRegion(
  core: PdCore,
  request: QueryRegionRequest,
): Omit<QueryRegionResponse, 'header'> {
  const regionsById: Record<string, WireRegionInfo> = {}
  const take = (record: RegionRecord | undefined): number => {
    if (record === undefined) return 0
    const { id } = record.region
    regionsById[id] ??= regionInfoToWire(record)
    return id
  }
  for (const id of request.ids) take(core.regionById(id))
  return {
    keyIdMap: request.keys.map((key) => take(core.region(key))),
    prevKeyIdMap: request.prevKeys.map((key) => take(core.previousRegion(key))),
    regionsById,
  }
}

export function scanRegions(
  core: PdCore,
  request: ScanRegionsRequest,
): Omit<ScanRegionsResponse, 'header'> {
  const found = core.scanRegions(request.startKey, request.endKey, Math.max(0, request.limit))
  return {
    regionMetas: found.map(({ region }) => regionToWire(region)),
    leaders: found.map(({ leader }) => leader ?? NO_LEADER),
    regions: found.map(regionInfoToWire),
  }
}

/** Regions of several sorted ranges, each once, up to one limit over all of them; no more than there are. */
export function batchScanRegions(
  core: PdCore,
  request: BatchScanRegionsRequest,
): Omit<BatchScanRegionsResponse, 'header'> {
  const limit = request.limit > 0 ? request.limit : Number.POSITIVE_INFINITY
  const found: RegionRecord[] = []
  mustBeInOrder(request.ranges)
  for (const { startKey, endKey } of request.ranges) {
    if (found.length >= limit) break
    // The first region may be the last one of the range before.
    const left = limit - found.length + 1
    const inRange = core.scanRegions(startKey, endKey, Number.isFinite(left) ? left : 0)
    if (request.containAllKeyRange) mustCover(inRange, startKey, endKey, inRange.length === left)
    for (const record of inRange) {
      if (record !== found.at(-1) && found.length < limit) found.push(record)
    }
  }
  return { regions: found.map(regionInfoToWire) }
}

function mustBeInOrder(ranges: BatchScanRegionsRequest['ranges']): void {
  for (let i = 0; i < ranges.length; i++) {
    const { startKey, endKey } = ranges[i]!
    if (endKey.length > 0 && compareBytes(startKey, endKey) > 0) {
      const bounds = `'${printableKey(startKey)}' is above '${printableKey(endKey)}'`
      throw new PolyraftError('InvalidArgument', `a range is the wrong way round: ${bounds}`)
    }
    const before = ranges[i - 1]?.endKey
    if (before === undefined) continue
    if (before.length === 0 || compareBytes(before, startKey) > 0) {
      throw new PolyraftError(
        'InvalidArgument',
        `the range from '${printableKey(startKey)}' begins before the end of the one in front of it`,
      )
    }
  }
}

/** A list that its limit cut short has to be whole only up to its last region. */
function mustCover(
  regions: readonly RegionRecord[],
  start: Uint8Array,
  end: Uint8Array,
  cut: boolean,
): void {
  const gap = firstGap(regions, start, cut ? regions.at(-1)!.region.endKey : end)
  if (gap === undefined) return
  throw new PolyraftError('RegionNotFound', `no region is known at key '${printableKey(gap)}'`)
}
