/**
 * A store that stops, or is short of disk space, hands its leaderships to whoever can take over soonest.
 */
import type { DiskView } from '../base/disk-state.ts'
import type { StoreId } from '../base/ids.ts'
import { type Peer as PeerMeta, PeerRole } from '../region/region.ts'
import { silentMs } from './health.ts'
import type { Peer } from './peer.ts'
import { electionTimeoutMs } from './ports.ts'

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
export function bestTarget(peer: Peer, nowMs: number): PeerMeta | undefined {
  const { disks, config } = peer.ports
  const silentMsMax = electionTimeoutMs(config)
  let best: PeerMeta | undefined
  let bestMatch = -1
  for (const other of peer.region.peers) {
    if (other.id === peer.self.id || other.role !== PeerRole.Voter) continue
    if (disks.tight && !couldLead(disks, other.storeId)) continue
    const progress = peer.raft.progressOf(other.id)
    if (progress === undefined || silentMs(peer, other, nowMs) > silentMsMax) continue
    if (progress.match > bestMatch) {
      best = other
      bestMatch = progress.match
    }
  }
  return best
}

/** A full store does not take the lead; and one that is short of space moves nothing to another. */
function couldLead(disks: DiskView, storeId: StoreId): boolean {
  const state = disks.of(storeId)
  return disks.own === 'normal' ? state !== 'full' : state === 'normal'
}
