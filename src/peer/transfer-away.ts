/** A stopping store hands its leaderships to whoever can take over soonest. */
import { type Peer as PeerMeta, PeerRole } from '../region/region.ts'
import type { Peer } from './peer.ts'

export function transferAway(peer: Peer): void {
  if (!peer.isLeader || peer.raft.leadTransferee !== 0) return
  const target = bestTarget(peer)
  if (target === undefined) return
  peer.ports.logger.debug({ region: peer.id, to: target.storeId }, 'transferring leadership')
  peer.lease.suspect()
  peer.raft.transferLeader(target.id)
}

/** The voter that was heard lately and lacks least of the log. */
function bestTarget(peer: Peer): PeerMeta | undefined {
  let best: PeerMeta | undefined
  let bestMatch = -1
  for (const other of peer.region.peers) {
    if (other.id === peer.self.id || other.role !== PeerRole.Voter) continue
    const progress = peer.raft.progressOf(other.id)
    if (progress === undefined || !progress.recentActive) continue
    if (progress.match > bestMatch) {
      best = other
      bestMatch = progress.match
    }
  }
  return best
}
