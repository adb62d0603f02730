/** Which followers a leader can count on. */
import { ProgressState } from '../raft/tracker/progress.ts'
import type { Peer as PeerMeta } from '../region/region.ts'
import type { Peer } from './peer.ts'

/**
 * Heard within two election time-outs, and with a log that joins the leader's. Raft's own notion of
 * activity will not do: each quorum check begins it anew, and nobody is active until he answers.
 */
export function isHealthy(peer: Peer, other: PeerMeta, nowMs: number): boolean {
  if (other.id === peer.self.id) return true
  const { raftBaseTickIntervalMs, raftElectionTimeoutTicks } = peer.ports.config
  const heardMs = peer.heardMs.get(other.id)
  const progress = peer.raft.progressOf(other.id)
  if (heardMs === undefined || progress === undefined) return false
  const silentMs = nowMs - heardMs
  return (
    silentMs <= raftBaseTickIntervalMs * raftElectionTimeoutTicks * 2 &&
    progress.state !== ProgressState.Snapshot &&
    progress.match + 1 >= peer.raft.firstIndex
  )
}
