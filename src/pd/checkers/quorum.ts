/**
 * Which replicas can be counted on, and which changes of a region they can carry. Every change that
 * PD orders passes here at the moment it is ordered, not only when it was planned.
 *
 * INVARIANT: a region that has a quorum of healthy voters has one after the change, too.
 */
import { type Peer, PeerRole } from '../../region/region.ts'
import type { RegionRecord } from '../region-tree.ts'
import { mustBeLeft } from '../store-condition.ts'
import type { ClusterFacts } from './cluster.ts'

function quorumOf(voters: number): number {
  return Math.floor(voters / 2) + 1
}

export function votersOf(record: RegionRecord): Peer[] {
  return record.region.peers.filter((peer) => peer.role === PeerRole.Voter)
}

export function learnersOf(record: RegionRecord): Peer[] {
  return record.region.peers.filter((peer) => peer.role === PeerRole.Learner)
}

export function isPending(record: RegionRecord, peer: Peer): boolean {
  return record.pendingPeers.some((pending) => pending.id === peer.id)
}

export function isDown(record: RegionRecord, peer: Peer): boolean {
  return record.downPeers.some((down) => down.peer.id === peer.id)
}

/** Its store must be left, or is not known at all. */
export function isLeaving(cluster: ClusterFacts, peer: Peer): boolean {
  const store = cluster.store(peer.storeId)
  return store === undefined || mustBeLeft(store.condition)
}

/** It is there, answers its leader, and has the log. */
export function isHealthy(cluster: ClusterFacts, record: RegionRecord, peer: Peer): boolean {
  const store = cluster.store(peer.storeId)
  return store?.alive === true && !isDown(record, peer) && !isPending(record, peer)
}

function healthyAmong(cluster: ClusterFacts, record: RegionRecord, peers: readonly Peer[]): number {
  return peers.filter((peer) => isHealthy(cluster, record, peer)).length
}

/** Another voter raises the quorum. */
export function canPromote(cluster: ClusterFacts, record: RegionRecord, learner: Peer): boolean {
  if (!isHealthy(cluster, record, learner)) return false
  const voters = votersOf(record)
  return healthyAmong(cluster, record, voters) + 1 >= quorumOf(voters.length + 1)
}

/**
 * The others must be a quorum of their own. One that is healthy itself goes only when it is not
 * missed: the others are healthy, or as many of them as there should be.
 */
export function canRemove(cluster: ClusterFacts, record: RegionRecord, peer: Peer): boolean {
  if (peer.role === PeerRole.Learner) return true
  const others = votersOf(record).filter((voter) => voter.id !== peer.id)
  if (others.length === 0) return false
  const needed = isHealthy(cluster, record, peer)
    ? Math.max(quorumOf(others.length), Math.min(cluster.replicas, others.length))
    : quorumOf(others.length)
  return healthyAmong(cluster, record, others) >= needed
}
