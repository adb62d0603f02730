/** A message of another peer of the region. */
import { MessageType } from '../raft/types.ts'
import { peerById } from '../region/region.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import { leavesUnanswered } from './disk-full.ts'
import type { Peer } from './peer.ts'

export function onRaftMessage(peer: Peer, envelope: RaftEnvelope, nowMs: number): void {
  const { metrics } = peer.ports
  const { message } = envelope
  // Peers that are not members (any more), or that mean an earlier peer of this store.
  if (envelope.to.id !== peer.self.id || peerById(peer.region, envelope.from.id) === undefined) {
    metrics.raftMessagesDropped++
    return
  }
  // Without its files it is worth nothing: those come with it, beside the messages.
  if (message.type === MessageType.Snapshot) {
    metrics.raftMessagesDropped++
    return
  }
  if (peer.ports.disks.own === 'full' && leavesUnanswered(peer, message)) {
    metrics.raftMessagesDroppedDiskFull++
    return
  }
  metrics.raftMessagesReceived++
  if (peer.isLeader) {
    peer.heardMs.set(envelope.from.id, nowMs)
    if (message.type === MessageType.ReadIndex) peer.servesReplicas = true
  }
  peer.raft.step(message)
}
