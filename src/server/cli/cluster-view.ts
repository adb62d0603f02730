/** What PD knows of a cluster, gathered for the administration commands. */
import { compareBytes, EMPTY_BYTES } from '../../base/bytes.ts'
import type { DiskState } from '../../base/disk-state.ts'
import { PolyraftError } from '../../base/errors.ts'
import type { StoreId } from '../../base/ids.ts'
import { DiskSpace, defaultReserveBytes, limitsFor } from '../../env/disk-space.ts'
import type { PdAdmin, PdSettings } from '../../pd/admin-port.ts'
import type { PdClient, RegionInfo, StoreMeta, StoreStats } from '../../pd/port.ts'
import { DISCONNECTED_AFTER_MS, SCHEDULE_DEFAULT } from '../../pd/schedule-config.ts'
import { isGone, type StoreCondition, storeCondition } from '../../pd/store-condition.ts'
import { hasMajority, type Peer, PeerRole } from '../../region/region.ts'

const REGIONS_A_PAGE = 1024

export interface ClusterView {
  readonly stores: readonly StoreMeta[]
  /** Of the last heartbeat; a store that PD has not heard since it started has none. */
  readonly stats: ReadonlyMap<StoreId, StoreStats>
  readonly regions: readonly RegionInfo[]
  readonly settings: PdSettings
  /** Unix milliseconds. */
  readonly nowMs: number
}

export async function viewCluster(
  pd: PdClient,
  admin: Pick<PdAdmin, 'settings'>,
  nowMs: number,
): Promise<ClusterView> {
  const [stores, regions, settings] = await Promise.all([
    pd.getAllStores(),
    allRegions(pd),
    settingsOf(admin),
  ])
  const stats = await statsOf(pd, stores)
  return { stores: stores.toSorted((a, b) => a.id - b.id), stats, regions, settings, nowMs }
}

async function statsOf(
  pd: PdClient,
  stores: readonly StoreMeta[],
): Promise<ReadonlyMap<StoreId, StoreStats>> {
  const all = await Promise.all(stores.map(({ id }) => pd.getStoreStats(id)))
  return new Map(all.filter((each) => each !== undefined).map((each) => [each.storeId, each]))
}

/** TiKV's PD does not tell; its defaults are ours. */
async function settingsOf(admin: Pick<PdAdmin, 'settings'>): Promise<PdSettings> {
  try {
    return await admin.settings()
  } catch (error) {
    if (!(error instanceof PolyraftError) || error.code !== 'Unsupported') throw error
    return { replicas: 3, maxStoreDownMs: SCHEDULE_DEFAULT.maxStoreDownMs }
  }
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

export function conditionOf(
  store: StoreMeta,
  view: Pick<ClusterView, 'settings' | 'nowMs'>,
): StoreCondition {
  return storeCondition(store, heartbeatAgeMs(store, view.nowMs), view.settings.maxStoreDownMs)
}

export function heartbeatAgeMs(store: StoreMeta, nowMs: number): number {
  return store.lastHeartbeatMs === 0 ? Number.POSITIVE_INFINITY : nowMs - store.lastHeartbeatMs
}

export function countSilentStores(view: ClusterView): number {
  const conditions = view.stores.map((store) => conditionOf(store, view))
  return conditions.filter((each) => each === 'disconnected' || each === 'down').length
}

/** Stores that can be counted on now, also while they are being removed. */
export function reachableStores(view: Pick<ClusterView, 'stores' | 'nowMs'>): Set<StoreId> {
  const isHeard = (store: StoreMeta): boolean =>
    !isGone(store) && heartbeatAgeMs(store, view.nowMs) <= DISCONNECTED_AFTER_MS
  return new Set(view.stores.filter(isHeard).map(({ id }) => id))
}

/**
 * By the limits that a store has unless it was given a larger reserve, which PD does not know.
 * undefined = it has not told yet.
 */
export function diskStateOf(stats: StoreStats | undefined): DiskState | undefined {
  if (stats === undefined || stats.capacity === 0) return undefined
  const { capacity: totalBytes, available: freeBytes } = stats
  const space = new DiskSpace(limitsFor(defaultReserveBytes(totalBytes), totalBytes))
  space.observe({ totalBytes, freeBytes })
  return space.state
}

export function votersOf({ region }: RegionInfo): Peer[] {
  return region.peers.filter((peer) => peer.role !== PeerRole.Learner)
}

/** Regions in which something is not at rest. */
export interface RegionCounts {
  /** Most of the voters are on stores that are silent or gone. */
  readonly noQuorum: number
  readonly noLeader: number
  readonly missingPeers: number
  /** A peer is silent, or on a store that is silent or gone. */
  readonly downPeers: number
  readonly pendingPeers: number
  readonly learners: number
  /** A peer is on a store that is being removed. */
  readonly leavingPeers: number
}

export function countRegions(view: ClusterView): RegionCounts {
  const reachable = reachableStores(view)
  const leaving = new Set(
    view.stores.filter((store) => conditionOf(store, view) === 'offline').map(({ id }) => id),
  )
  const count = (matches: (info: RegionInfo) => boolean) => view.regions.filter(matches).length
  return {
    noQuorum: count((info) => !hasQuorum(info, reachable)),
    noLeader: count((info) => info.leader === undefined),
    missingPeers: count((info) => votersOf(info).length < view.settings.replicas),
    downPeers: count(
      ({ region, downPeers }) =>
        downPeers.length > 0 || region.peers.some(({ storeId }) => !reachable.has(storeId)),
    ),
    pendingPeers: count((info) => info.pendingPeers.length > 0),
    learners: count(({ region }) => region.peers.some(({ role }) => role === PeerRole.Learner)),
    leavingPeers: count(({ region }) => region.peers.some(({ storeId }) => leaving.has(storeId))),
  }
}

export function hasQuorum({ region }: RegionInfo, reachable: ReadonlySet<StoreId>): boolean {
  return hasMajority(region, ({ storeId }) => reachable.has(storeId))
}
