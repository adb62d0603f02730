/** What a leader tells the placement driver about its region. */
import { ProgressState } from '../raft/tracker/progress.ts'
import type { Peer as PeerMeta } from '../region/region.ts'
import { type Peer, Traffic } from './peer.ts'

/** Silence after which a peer is reported as down. */
const DOWN_AFTER_MS = 30_000

export function reportRegion(peer: Peer): void {
  if (!peer.isLeader) return
  const nowMs = peer.ports.clock.monotonicMs()
  const downPeers: { peer: PeerMeta; downSeconds: number }[] = []
  const pendingPeers: PeerMeta[] = []
  for (const other of peer.region.peers) {
    if (other.id === peer.self.id) continue
    // A new leader counts silence from its first look.
    const heardMs = peer.heardMs.get(other.id)
    if (heardMs === undefined) peer.heardMs.set(other.id, nowMs)
    else if (nowMs - heardMs > DOWN_AFTER_MS) {
      downPeers.push({ peer: other, downSeconds: Math.floor((nowMs - heardMs) / 1000) })
    }
    const progress = peer.raft.progressOf(other.id)
    if (progress?.state === ProgressState.Snapshot) pendingPeers.push(other)
  }
  const traffic = peer.traffic
  peer.traffic = new Traffic()
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
