/**
 * A message of another peer of the region. Who is a member depends on who you ask, while membership
 * changes: the higher conf_ver is right, since it saw all that the lower one saw.
 *
 *   sender unknown here, its conf_ver is not lower   we are behind: it counts, and is remembered
 *   sender unknown here, its conf_ver is lower       it was removed: told so when it asks for votes
 *   meant for another peer of this store             a later one: ours was removed; an earlier: stale
 */
import { isVoteRequest } from '../raft/message.ts'
import { MessageType } from '../raft/types.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import { becomeDestroying } from './destroy.ts'
import { leavesUnanswered } from './disk-full.ts'
import { sendTombstone } from './farewell.ts'
import { onHibernateMessage } from './hibernate.ts'
import type { PeerSignal, PeerTag } from './messages.ts'
import type { Peer } from './peer.ts'

/** A region does not have more peers than that; whoever names more of them is not believed. */
const STRANGERS_MAX = 32

export function onRaftMessage(peer: Peer, envelope: RaftEnvelope, nowMs: number): void {
  const { metrics } = peer.ports
  const { message, from } = envelope
  if (!isForUs(peer, envelope)) {
    metrics.raftMessagesDropped++
    return
  }
  if (envelope.hibernate !== undefined) {
    onHibernateMessage(peer, envelope, envelope.hibernate)
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
    peer.roster.heard(from.id, nowMs)
    if (message.type === MessageType.ReadIndex) peer.servesReplicas = true
  } else if (comesFromLeader(message.type) && message.term >= peer.raft.term) {
    peer.leaderHeardMs = nowMs
  }
  peer.raft.step(message)
}

function comesFromLeader(type: MessageType): boolean {
  return type === MessageType.Append || type === MessageType.Heartbeat
}

function isForUs(peer: Peer, envelope: RaftEnvelope): boolean {
  const { to, from, epoch, tombstone } = envelope
  if (tombstone === true) {
    if (to.id === peer.self.id) onRemoved(peer, epoch.confVer, `store ${from.storeId} says so`)
    return false
  }
  if (to.id > peer.self.id) {
    onRemoved(peer, epoch.confVer, `peer ${to.id} is to be here`)
    return false
  }
  if (!peer.roster.has(from.id) && !acceptStranger(peer, envelope)) return false
  if (to.id !== peer.self.id) return false
  if (!peer.isInitialised && addressesMember(envelope)) {
    peer.memberSince = Math.max(peer.memberSince, epoch.confVer)
  }
  return true
}

/** Appends also go out as a last word to somebody who is none any more. */
function addressesMember({ message }: RaftEnvelope): boolean {
  return message.type === MessageType.Heartbeat || isVoteRequest(message.type)
}

/** Raft answers it, as the thesis asks for: membership is not a matter of one replica's belief. */
function acceptStranger(peer: Peer, envelope: RaftEnvelope): boolean {
  const { from, epoch, message } = envelope
  const { confVer } = peer.region.epoch
  if (epoch.confVer < confVer) {
    // Only who believes to be a voter asks: a replica that has yet to hear of itself never does.
    if (isVoteRequest(message.type)) sendTombstone(peer, from)
    return false
  }
  if (peer.strangers.size >= STRANGERS_MAX) peer.strangers.clear()
  peer.strangers.set(from.id, from)
  return true
}

export function onRemovedSignal(
  peer: Peer,
  { peerId, epoch }: Extract<PeerSignal, { tag: typeof PeerTag.Removed }>,
): void {
  if (peerId === peer.self.id) onRemoved(peer, epoch.confVer, 'the placement driver says so')
}

/** A later membership than ours does not have us; an earlier one may only not have us yet. */
function onRemoved(peer: Peer, confVer: number, reason: string): void {
  if (confVer > Math.max(peer.region.epoch.confVer, peer.memberSince)) {
    becomeDestroying(peer, `removed by conf_ver ${confVer}: ${reason}`)
  }
}
