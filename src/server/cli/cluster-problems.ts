/**
 * What is not as it should be in a cluster, one sentence each, the worst first: what is unavailable,
 * then stores that are missing or short of space, then single regions. A store that is silent is told
 * once, with the number of regions on it: with many regions its peers would hide everything else.
 */
import { compareBytes, EMPTY_BYTES, printableKey } from '../../base/bytes.ts'
import { diskStateText } from '../../base/disk-state.ts'
import type { StoreId } from '../../base/ids.ts'
import type { RegionInfo, StoreMeta } from '../../pd/port.ts'
import { mustBeLeft, type StoreCondition } from '../../pd/store-condition.ts'
import {
  type ClusterView,
  conditionOf,
  diskStateOf,
  hasQuorum,
  heartbeatAgeMs,
  reachableStores,
  votersOf,
} from './cluster-view.ts'
import { formatCount } from './progress.ts'

/** More are counted, but not named. */
const IDS_MAX = 8

/**
 * None = healthy. Peers that are catching up are no problem: they are there, and what PD knows of
 * them is up to a minute old. Neither are learners, which come and go with every replacement, nor
 * silent stores that nothing is on any more.
 */
export function findProblems(view: ClusterView): string[] {
  const reachable = reachableStores(view)
  const problems: string[] = []
  if (view.regions.length === 0) {
    problems.push('PD knows no region: the cluster has not started yet')
  }
  addUnavailable(view, reachable, problems)
  addSilentStores(view, reachable, problems)
  addFullDisks(view, reachable, problems)
  addStuckStores(view, problems)
  for (const info of view.regions) {
    addRegionProblems(info, view.settings.replicas, reachable, problems)
  }
  addGaps(view.regions, problems)
  return problems
}

function addUnavailable(
  { regions }: ClusterView,
  reachable: ReadonlySet<StoreId>,
  problems: string[],
): void {
  const lost = regions.filter((info) => !hasQuorum(info, reachable))
  if (lost.length === 0) return
  const ids = lost.slice(0, IDS_MAX).map(({ region }) => region.id)
  const [have, their] = lost.length === 1 ? ['has', 'its'] : ['have', 'their']
  problems.push(
    `${formatCount(lost.length, 'region')} ${have} no quorum, so no reads and no writes: most of ` +
      `${their} replicas are on stores that are silent (${ids.join(', ')}` +
      `${lost.length > ids.length ? ', …' : ''})`,
  )
}

function addSilentStores(
  view: ClusterView,
  reachable: ReadonlySet<StoreId>,
  problems: string[],
): void {
  const stores = new Map(view.stores.map((store) => [store.id, store]))
  for (const [id, regions] of countRegionsByStore(view.regions)) {
    if (reachable.has(id)) continue
    const store = stores.get(id)
    const what = store === undefined ? `store ${id} is unknown to PD` : silence(store, view)
    const have = regions === 1 ? 'has' : 'have'
    problems.push(`${what}; ${formatCount(regions, 'region')} ${have} a replica on it`)
  }
}

function countRegionsByStore(regions: readonly RegionInfo[]): [StoreId, number][] {
  const counts = new Map<StoreId, number>()
  for (const { region } of regions) {
    for (const id of new Set(region.peers.map((peer) => peer.storeId))) {
      counts.set(id, (counts.get(id) ?? 0) + 1)
    }
  }
  return [...counts].sort(([a], [b]) => a - b)
}

function silence(store: StoreMeta, view: ClusterView): string {
  const name = `store ${store.id} (${store.address})`
  const condition = conditionOf(store, view)
  if (condition === 'destroyed' || condition === 'tombstone') return `${name} is ${condition}`
  const ageMs = heartbeatAgeMs(store, view.nowMs)
  return Number.isFinite(ageMs)
    ? `${name} has not been heard for ${Math.round(ageMs / 1000)} s`
    : `${name} has never been heard`
}

function addFullDisks(
  view: ClusterView,
  reachable: ReadonlySet<StoreId>,
  problems: string[],
): void {
  for (const { id, address } of view.stores.filter((store) => reachable.has(store.id))) {
    const state = diskStateOf(view.stats.get(id))
    if (state === undefined || state === 'normal') continue
    const refused =
      state === 'full' ? 'takes neither writes nor deletes' : 'takes deletes, but no writes'
    problems.push(`the disk of store ${id} (${address}) is ${diskStateText(state)}: it ${refused}`)
  }
}

/** Stores that are being removed, and have regions that no other store can take over. */
function addStuckStores(view: ClusterView, problems: string[]): void {
  const { stores, regions, settings } = view
  const conditions = new Map(stores.map((store) => [store.id, conditionOf(store, view)]))
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

/** Of a region without a quorum, and of peers on silent stores, all is said. */
function addRegionProblems(
  info: RegionInfo,
  replicas: number,
  reachable: ReadonlySet<StoreId>,
  problems: string[],
): void {
  const { region, leader, downPeers } = info
  if (leader === undefined && hasQuorum(info, reachable)) {
    problems.push(`region ${region.id} has no leader`)
  }
  const voters = votersOf(info).length
  if (voters < replicas) problems.push(`region ${region.id} has ${voters} of ${replicas} replicas`)
  for (const { peer, downSeconds } of downPeers) {
    if (!reachable.has(peer.storeId)) continue
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
