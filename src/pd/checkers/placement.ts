/**
 * Where a new replica goes, which one too many leaves, and who leads next. Replicas of a region are
 * kept on different hosts where possible; among equals the store with the fewest peers is taken, and
 * then the lowest id, so that the choice can be repeated.
 */
import type { StoreId } from '../../base/ids.ts'
import { type Peer, peerOnStore } from '../../region/region.ts'
import type { RegionRecord } from '../region-tree.ts'
import type { ClusterFacts, StoreFacts } from './cluster.ts'
import { canRemove, isHealthy, isLeaving, votersOf } from './quorum.ts'

type Score = readonly number[]

/** Index by index; the first difference decides. */
function compareScores(a: Score, b: Score): number {
  for (let i = 0; i < a.length; i++) {
    const difference = a[i]! - b[i]!
    if (difference !== 0) return difference
  }
  return 0
}

function lowest<T>(candidates: readonly T[], scoreOf: (candidate: T) => Score): T | undefined {
  let best: { candidate: T; score: Score } | undefined
  for (const candidate of candidates) {
    const score = scoreOf(candidate)
    if (best === undefined || compareScores(score, best.score) < 0) best = { candidate, score }
  }
  return best?.candidate
}

/** How many of the peers share a host with the store; a store without the label shares none. */
function sharedHosts(cluster: ClusterFacts, store: StoreFacts, peers: readonly Peer[]): number {
  if (store.host === undefined) return 0
  return peers.filter((peer) => cluster.store(peer.storeId)?.host === store.host).length
}

/** A store for another replica, when `leaving` goes in exchange; undefined = none takes it now. */
export function chooseTarget(
  cluster: ClusterFacts,
  record: RegionRecord,
  leaving: Peer | undefined,
): StoreId | undefined {
  const staying = record.region.peers.filter((peer) => peer.id !== leaving?.id)
  const candidates = cluster
    .stores()
    .filter((store) => store.takesPeers && peerOnStore(record.region, store.id) === undefined)
  return lowest(candidates, (store) => [
    sharedHosts(cluster, store, staying),
    store.peers,
    store.id,
  ])?.id
}

/** The voter that is missed least among those that may go. */
export function chooseSurplus(cluster: ClusterFacts, record: RegionRecord): Peer | undefined {
  const voters = votersOf(record)
  const candidates = voters.filter((peer) => canRemove(cluster, record, peer))
  return lowest(candidates, (peer) => {
    const store = cluster.store(peer.storeId)
    const others = voters.filter((voter) => voter.id !== peer.id)
    return [
      isLeaving(cluster, peer) ? 0 : 1,
      isHealthy(cluster, record, peer) ? 1 : 0,
      store === undefined ? 0 : -sharedHosts(cluster, store, others),
      peer.id === record.leader?.id ? 1 : 0,
      -(store?.peers ?? 0),
      peer.id,
    ]
  })
}

/** A store whose voter can take over; `newcomer` when only the replica that is being added can. */
export function chooseLeader(
  cluster: ClusterFacts,
  record: RegionRecord,
  leaving: Peer,
  newcomer: StoreId | undefined,
): StoreId | undefined {
  const candidates = votersOf(record).filter(
    (peer) =>
      peer.id !== leaving.id && isHealthy(cluster, record, peer) && !isLeaving(cluster, peer),
  )
  const best = lowest(candidates, (peer) => [
    cluster.store(peer.storeId)?.leaders ?? 0,
    peer.storeId,
  ])
  return best?.storeId ?? newcomer
}
