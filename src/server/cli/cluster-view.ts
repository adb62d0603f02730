/** What PD knows of a cluster, gathered for the administration commands. */
import { compareBytes, EMPTY_BYTES, printableKey } from '../../base/bytes.ts'
import type { StoreId } from '../../base/ids.ts'
import { type PdClient, type RegionInfo, type StoreMeta, StoreState } from '../../pd/port.ts'

const REGIONS_A_PAGE = 1024
/** A store that PD has not heard for longer counts as down. */
export const HEARTBEAT_MS_MAX = 30_000

export interface ClusterView {
  readonly stores: readonly StoreMeta[]
  readonly regions: readonly RegionInfo[]
  /** Unix milliseconds. */
  readonly nowMs: number
}

export async function viewCluster(pd: PdClient, nowMs: number): Promise<ClusterView> {
  const [stores, regions] = await Promise.all([pd.getAllStores(), allRegions(pd)])
  return { stores: stores.toSorted((a, b) => a.id - b.id), regions, nowMs }
}

export async function allRegions(pd: PdClient): Promise<RegionInfo[]> {
  const all: RegionInfo[] = []
  let start = EMPTY_BYTES
  for (;;) {
    const page = await pd.scanRegions(start, EMPTY_BYTES, REGIONS_A_PAGE)
    all.push(...page)
    const end = page.at(-1)?.region.endKey
    if (end === undefined || end.length === 0 || compareBytes(end, start) <= 0) return all
    start = end
  }
}

export type StoreCondition = 'up' | 'down' | 'offline' | 'tombstone'

/** `offline`: an operator is taking it out of service. */
export function storeCondition(store: StoreMeta, nowMs: number): StoreCondition {
  if (store.state === StoreState.Tombstone) return 'tombstone'
  if (heartbeatAgeMs(store, nowMs) > HEARTBEAT_MS_MAX) return 'down'
  return store.state === StoreState.Offline ? 'offline' : 'up'
}

export function heartbeatAgeMs(store: StoreMeta, nowMs: number): number {
  return store.lastHeartbeatMs === 0 ? Number.POSITIVE_INFINITY : nowMs - store.lastHeartbeatMs
}

/**
 * One sentence for each thing that is not as it should be; none = healthy. Peers that are catching
 * up are no problem: they are there, and what PD knows of them is up to a minute old.
 */
export function findProblems(view: ClusterView): string[] {
  const problems: string[] = []
  const conditions = new Map<StoreId, StoreCondition>()
  for (const store of view.stores) {
    const condition = storeCondition(store, view.nowMs)
    conditions.set(store.id, condition)
    if (condition === 'down') problems.push(downStore(store, view.nowMs))
  }
  if (view.regions.length === 0)
    problems.push('PD knows no region: the cluster has not started yet')
  for (const info of view.regions) addRegionProblems(info, conditions, problems)
  addGaps(view.regions, problems)
  return problems
}

function downStore(store: StoreMeta, nowMs: number): string {
  const ageMs = heartbeatAgeMs(store, nowMs)
  const silence = Number.isFinite(ageMs)
    ? `has not been heard for ${Math.round(ageMs / 1000)} s`
    : 'has never been heard'
  return `store ${store.id} (${store.address}) ${silence}`
}

function addRegionProblems(
  info: RegionInfo,
  conditions: ReadonlyMap<StoreId, StoreCondition>,
  problems: string[],
): void {
  const { region, leader } = info
  if (leader === undefined) problems.push(`region ${region.id} has no leader`)
  for (const peer of region.peers) {
    const condition = conditions.get(peer.storeId) ?? 'tombstone'
    if (condition === 'up' || condition === 'offline') continue
    const state = condition === 'down' ? 'is down' : 'is gone'
    problems.push(
      `region ${region.id}: peer ${peer.id} is on store ${peer.storeId}, which ${state}`,
    )
  }
  for (const { peer, downSeconds } of info.downPeers) {
    problems.push(`region ${region.id}: peer ${peer.id} has been silent for ${downSeconds} s`)
  }
}

function addGaps(regions: readonly RegionInfo[], problems: string[]): void {
  let covered: Buffer | undefined = EMPTY_BYTES
  for (const { region } of regions) {
    if (covered !== undefined && compareBytes(region.startKey, covered) > 0) {
      problems.push(`no region covers the keys from ${bound(covered)} to ${bound(region.startKey)}`)
    }
    covered = region.endKey.length === 0 ? undefined : region.endKey
  }
  if (covered !== undefined && regions.length > 0) {
    problems.push(`no region covers the keys from ${bound(covered)} on`)
  }
}

function bound(key: Buffer): string {
  return key.length === 0 ? 'the beginning' : `"${printableKey(key)}"`
}
