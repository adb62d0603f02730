/**
 * CompactLog: a region gives up the beginning of its raft log.
 *
 *   Propose    the leader looks now and then how far the log can go (../log-gc.ts), and gives more
 *              where old files of the log engine could not go for it
 *   Apply      apply/admin/compact-log.ts
 *   On result  every replica deletes the entries; told only once the engine is synced
 */
import type { LogIndex } from '../../base/ids.ts'
import { AdminKind, encodeAdminCommand } from '../../command/admin.ts'
import { ProgressState } from '../../raft/tracker/progress.ts'
import { compactIndex, ENTRIES_KEPT, type LogGcView } from '../log-gc.ts'
import type { Peer } from '../peer.ts'

/** False when a look would find nothing: the region costs no round then. */
export function hasLogToCompact(peer: Peer): boolean {
  return peer.isLeader && peer.appliedIndex - peer.raft.firstIndex >= ENTRIES_KEPT
}

/** The leader's look at its log. */
export function proposeCompactLog(peer: Peer, forcedIndex: LogIndex): void {
  if (!peer.isLeader) return
  const { logGc } = peer
  const index = compactIndex(viewOf(peer), peer.ports.config, logGc.skippedTicks, forcedIndex)
  if (index === 'wait') {
    logGc.skippedTicks++
    return
  }
  if (index === undefined || index <= logGc.proposedIndex) return
  const term = peer.raft.termAt(index)
  if (typeof term !== 'number') return
  const command = encodeAdminCommand({ kind: AdminKind.CompactLog, index, term })
  // Refused while leadership moves away: the next leader looks for itself.
  if (peer.raft.propose(command) !== 'ok') return
  logGc.skippedTicks = 0
  logGc.proposedIndex = index
}

function viewOf(peer: Peer): LogGcView {
  const { raft } = peer
  let replicated = raft.persistedIndex
  let snapshot = peer.source.floor
  for (const { id } of peer.region.peers) {
    const progress = raft.progressOf(id)
    if (progress === undefined || id === peer.self.id) continue
    // A snapshot is on its way, or was taken a moment ago: entries are next that it has not confirmed.
    const receives = progress.state !== ProgressState.Replicate && progress.recentActive
    if (receives && progress.next - 1 > progress.match) {
      snapshot = Math.min(snapshot, progress.next - 1)
    }
    replicated = Math.min(replicated, progress.match)
  }
  return {
    first: raft.firstIndex,
    last: raft.lastIndex,
    applied: peer.appliedIndex,
    persisted: raft.persistedIndex,
    replicated,
    snapshot,
    late: peer.source.late,
    bytes: peer.logGc.bytes,
  }
}

export function onCompactLogResult(peer: Peer, truncatedIndex: LogIndex): void {
  const { first, last } = { first: peer.raft.firstIndex, last: peer.raft.lastIndex }
  if (truncatedIndex < first) return
  const kept = (last - truncatedIndex) / (last - first + 1)
  peer.logGc.bytes *= kept
  peer.ports.metrics.compactedEntries += truncatedIndex - first + 1
  peer.ports.log.compact(peer.id, truncatedIndex)
}

/**
 * How far the cache need not go back: applied here, and on their way out of it to every follower
 * that answers. One that is silent reads from disk when it comes back.
 */
export function evictableIndex(peer: Peer): LogIndex {
  let index = peer.appliedIndex
  if (!peer.isLeader) return index
  const { peers } = peer.region
  for (let i = 0; i < peers.length; i++) {
    const progress = peer.raft.progressOf(peers[i]!.id)
    if (progress?.state !== ProgressState.Replicate || !progress.recentActive) continue
    if (progress.match < index) index = progress.match
  }
  return index
}
