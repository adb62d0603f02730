/** What a leader tells the placement driver about its region. */
import { ProgressState } from '../raft/tracker/progress.ts'
import type { Peer as PeerMeta } from '../region/region.ts'
import { type Peer, Traffic } from './peer.ts'

export function reportRegion(peer: Peer): void {
  if (!peer.isLeader) return
  const nowMs = peer.ports.clock.monotonicMs()
  if (peer.hibernation.asleep) noteAllHeard(peer, nowMs)
  const downPeers: { peer: PeerMeta; downSeconds: number }[] = []
  const pendingPeers: PeerMeta[] = []
  for (const other of peer.region.peers) {
    if (other.id === peer.self.id) continue
    // A new leader counts silence from its first look.
    const heardMs = peer.roster.heardMs(other.id)
    if (heardMs === undefined) peer.roster.heard(other.id, nowMs)
    else if (nowMs - heardMs > peer.ports.config.maxPeerDownDurationMs) {
      downPeers.push({ peer: other, downSeconds: Math.floor((nowMs - heardMs) / 1000) })
    }
    if (isPending(peer, other)) pendingPeers.push(other)
  }
  const traffic = peer.traffic
  peer.traffic = new Traffic()
  peer.pendingCount = pendingPeers.length
  peer.ports.reportRegion({
    region: peer.region,
    leader: peer.self,
    term: peer.raft.term,
    downPeers,
    pendingPeers,
    keysWritten: traffic.keysWritten,
    bytesWritten: traffic.bytesWritten,
    keysRead: traffic.keysRead,
    bytesRead: traffic.bytesRead,
  })
}

/** While a replica sleeps, the stores that it would miss are known to be there. */
export function noteAllHeard(peer: Peer, nowMs: number): void {
  peer.leaderHeardMs = nowMs
  if (!peer.isLeader) return
  for (const { id } of peer.region.peers) if (id !== peer.self.id) peer.roster.heard(id, nowMs)
}

/** It needs a snapshot, or is getting one: entries alone do not bring it up. */
export function isPending(peer: Peer, { id }: PeerMeta): boolean {
  const progress = peer.raft.progressOf(id)
  if (progress === undefined) return false
  return progress.state === ProgressState.Snapshot || progress.match + 1 < peer.raft.firstIndex
}

/** While some peers are pending: the placement driver waits for them to have caught up. */
export function reportCaughtUp(peer: Peer): void {
  if (!peer.isLeader) {
    peer.pendingCount = 0
    return
  }
  let pending = 0
  for (const other of peer.region.peers) if (isPending(peer, other)) pending++
  if (pending < peer.pendingCount) reportRegion(peer)
}
