/** A message of another peer of the region. */
import { type Message, MessageType } from '../raft/types.ts'
import { peerById } from '../region/region.ts'
import type { RaftEnvelope } from '../transport/port.ts'
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
  if (isOldNotice(peer, message)) {
    metrics.raftMessagesDropped++
    return
  }
  metrics.raftMessagesReceived++
  if (peer.isLeader) {
    peer.heardMs.set(envelope.from.id, nowMs)
    if (message.type === MessageType.ReadIndex) peer.servesReplicas = true
  }
  peer.raft.step(message)
}

/**
 * A follower answers a message of an earlier term with an acknowledgement of nothing, to tell of its
 * term. When it arrives after the receiver has become leader in that very term, it must not pass for
 * an answer to an append: the leader would take the follower's log to match at 0, which is before
 * the beginning of every log, and wait for ever to send what it no longer has.
 */
function isOldNotice(peer: Peer, message: Message): boolean {
  const { type, index, reject, term } = message
  return type === MessageType.AppendResponse && index === 0 && !reject && term === peer.raft.term
}
