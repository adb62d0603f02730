/** What PD knows of a cluster, gathered for the administration commands. */
import { compareBytes, EMPTY_BYTES, printableKey } from '../../base/bytes.ts'
import { PolyraftError } from '../../base/errors.ts'
import type { StoreId } from '../../base/ids.ts'
import type { PdAdmin, PdSettings } from '../../pd/admin-port.ts'
import type { PdClient, RegionInfo, StoreMeta } from '../../pd/port.ts'
import { SCHEDULE_DEFAULT } from '../../pd/schedule-config.ts'
import { mustBeLeft, type StoreCondition, storeCondition } from '../../pd/store-condition.ts'
import { type Peer, PeerRole } from '../../region/region.ts'
import { formatCount } from './progress.ts'

const REGIONS_A_PAGE = 1024

export interface ClusterView {
  readonly stores: readonly StoreMeta[]
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
  return { stores: stores.toSorted((a, b) => a.id - b.id), regions, settings, nowMs }
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

/**
 * One sentence for each thing that is not as it should be; none = healthy. Peers that are catching
 * up are no problem: they are there, and what PD knows of them is up to a minute old. Neither are
 * learners, which come and go with every replacement, nor silent stores that nothing is on any more.
 */
export function findProblems(view: ClusterView): string[] {
  const problems: string[] = []
  const conditions = new Map<StoreId, StoreCondition>()
  const inUse = new Set(view.regions.flatMap(({ region }) => region.peers.map((p) => p.storeId)))
  for (const store of view.stores) {
    const condition = conditionOf(store, view)
    conditions.set(store.id, condition)
    if ((condition === 'disconnected' || condition === 'down') && inUse.has(store.id)) {
      problems.push(silentStore(store, view.nowMs))
    }
  }
  addStuckStores(view, conditions, problems)
  if (view.regions.length === 0)
    problems.push('PD knows no region: the cluster has not started yet')
  for (const info of view.regions) {
    addRegionProblems(info, conditions, view.settings.replicas, problems)
  }
  addGaps(view.regions, problems)
  return problems
}

export function countSilentStores(view: ClusterView): number {
  const conditions = view.stores.map((store) => conditionOf(store, view))
  return conditions.filter((each) => each === 'disconnected' || each === 'down').length
}

function silentStore(store: StoreMeta, nowMs: number): string {
  const ageMs = heartbeatAgeMs(store, nowMs)
  const silence = Number.isFinite(ageMs)
    ? `has not been heard for ${Math.round(ageMs / 1000)} s`
    : 'has never been heard'
  return `store ${store.id} (${store.address}) ${silence}`
}

/** Stores that are being removed, and have regions that no other store can take over. */
function addStuckStores(
  { stores, regions, settings }: ClusterView,
  conditions: ReadonlyMap<StoreId, StoreCondition>,
  problems: string[],
): void {
  for (const { id, address } of stores) {
    if (conditions.get(id) !== 'offline') continue
    const stuck = regions.filter((info) => !canLeave(info, id, conditions, settings.replicas))
    if (stuck.length === 0) continue
    problems.push(
      `store ${id} (${address}) is being removed, but ${formatCount(stuck.length, 'region')} on it ` +
        'cannot move anywhere: add a store, or lower polyraft ctl config set replicas',
    )
  }
}

/** There are replicas enough without it, also on their way, or a store that has none of the region. */
function canLeave(
  info: RegionInfo,
  storeId: StoreId,
  conditions: ReadonlyMap<StoreId, StoreCondition>,
  replicas: number,
): boolean {
  const on = new Set(info.region.peers.map((peer) => peer.storeId))
  const staying = [...on].filter((id) => !mustBeLeft(conditions.get(id) ?? 'tombstone'))
  if (!on.has(storeId) || staying.length >= replicas) return true
  return [...conditions].some(([id, condition]) => condition === 'up' && !on.has(id))
}

function addRegionProblems(
  info: RegionInfo,
  conditions: ReadonlyMap<StoreId, StoreCondition>,
  replicas: number,
  problems: string[],
): void {
  const { region, leader } = info
  if (leader === undefined) problems.push(`region ${region.id} has no leader`)
  const voters = votersOf(info).length
  if (voters < replicas) problems.push(`region ${region.id} has ${voters} of ${replicas} replicas`)
  for (const peer of region.peers) {
    const condition = conditions.get(peer.storeId) ?? 'tombstone'
    if (condition === 'up' || condition === 'offline') continue
    problems.push(
      `region ${region.id}: peer ${peer.id} is on store ${peer.storeId}, which is ${condition}`,
    )
  }
  for (const { peer, downSeconds } of info.downPeers) {
    problems.push(`region ${region.id}: peer ${peer.id} has been silent for ${downSeconds} s`)
  }
}

function votersOf({ region }: RegionInfo): Peer[] {
  return region.peers.filter((peer) => peer.role !== PeerRole.Learner)
}

/** Regions in which something is not at rest. */
export interface RegionCounts {
  readonly noLeader: number
  readonly missingPeers: number
  /** A peer is silent, or on a store that is down or gone. */
  readonly downPeers: number
  readonly pendingPeers: number
  readonly learners: number
  /** A peer is on a store that is being removed. */
  readonly leavingPeers: number
}

export function countRegions(view: ClusterView): RegionCounts {
  const conditions = new Map(view.stores.map((store) => [store.id, conditionOf(store, view)]))
  const conditionOfPeer = (peer: Peer) => conditions.get(peer.storeId) ?? 'tombstone'
  const count = (matches: (info: RegionInfo) => boolean) => view.regions.filter(matches).length
  return {
    noLeader: count((info) => info.leader === undefined),
    missingPeers: count((info) => votersOf(info).length < view.settings.replicas),
    downPeers: count(
      ({ region, downPeers }) =>
        downPeers.length > 0 || region.peers.some((peer) => isLost(conditionOfPeer(peer))),
    ),
    pendingPeers: count((info) => info.pendingPeers.length > 0),
    learners: count(({ region }) => region.peers.some(({ role }) => role === PeerRole.Learner)),
    leavingPeers: count(({ region }) =>
      region.peers.some((peer) => conditionOfPeer(peer) === 'offline'),
    ),
  }
}

function isLost(condition: StoreCondition): boolean {
  return mustBeLeft(condition) && condition !== 'offline'
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
