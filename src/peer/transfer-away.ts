/** A stopping store hands its leaderships to whoever can take over soonest. */
import { type Peer as PeerMeta, PeerRole } from '../region/region.ts'
import type { Peer } from './peer.ts'

export function transferAway(peer: Peer, nowMs: number): void {
  if (!peer.isLeader || peer.raft.leadTransferee !== 0) return
  const target = bestTarget(peer, nowMs)
  if (target === undefined) return
  peer.ports.logger.debug({ region: peer.id, to: target.storeId }, 'transferring leadership')
  peer.lease.suspect()
  peer.raft.transferLeader(target.id)
}

/**
 * The voter that was heard within an election time-out and lacks least of the log. Raft's own notion
 * of activity will not do: each quorum check begins it anew, and nobody is active until he answers.
 */
function bestTarget(peer: Peer, nowMs: number): PeerMeta | undefined {
  const { raftBaseTickIntervalMs, raftElectionTimeoutTicks } = peer.ports.config
  const heardFromMs = nowMs - raftBaseTickIntervalMs * raftElectionTimeoutTicks
  let best: PeerMeta | undefined
  let bestMatch = -1
  for (const other of peer.region.peers) {
    if (other.id === peer.self.id || other.role !== PeerRole.Voter) continue
    const progress = peer.raft.progressOf(other.id)
    const heardMs = peer.heardMs.get(other.id)
    if (progress === undefined || heardMs === undefined || heardMs < heardFromMs) continue
    if (progress.match > bestMatch) {
      best = other
      bestMatch = progress.match
    }
  }
  return best
}
