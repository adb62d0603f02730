/** Which followers a leader can count on. */
import { ProgressState } from '../raft/tracker/progress.ts'
import type { Peer as PeerMeta } from '../region/region.ts'
import type { Peer } from './peer.ts'
import { electionTimeoutMs } from './ports.ts'

/** How long a peer has not been heard of; infinite where a leader never heard it. */
export function silentMs(peer: Peer, { id }: PeerMeta, nowMs: number): number {
  return nowMs - (peer.roster.heardMs(id) ?? Number.NEGATIVE_INFINITY)
}

/**
 * Heard within two election time-outs, and with a log that joins the leader's. Raft's own notion of
 * activity will not do: each quorum check begins it anew, and nobody is active until he answers.
 */
export function isHealthy(peer: Peer, other: PeerMeta, nowMs: number): boolean {
  if (other.id === peer.self.id) return true
  const progress = peer.raft.progressOf(other.id)
  if (progress === undefined) return false
  return (
    silentMs(peer, other, nowMs) <= electionTimeoutMs(peer.ports.config) * 2 &&
    progress.state !== ProgressState.Snapshot &&
    progress.match + 1 >= peer.raft.firstIndex
  )
}
