/**
 * A follower's side of replication: appends, heartbeats, snapshots. Its answers wait until what they
 * acknowledge is durable (Raft.send).
 */
import { NO_ID } from '../base/ids.ts'
import { isMember } from './confchange/membership.ts'
import { restoreMembership } from './confchange/restore.ts'
import { switchMembership } from './membership.ts'
import { newMessage } from './message.ts'
import type { Raft } from './raft.ts'
import { type Message, MessageType, type Snapshot, StateRole } from './types.ts'

/** @hot */
export function onAppend(raft: Raft, message: Message): void {
  const { log } = raft
  if (maybeRequestSnapshot(raft)) return
  if (message.index < log.commit) {
    acknowledge(raft, message, log.commit)
    return
  }
  if (!log.matches(message.index, message.logTerm)) {
    reject(raft, message)
    return
  }
  const conflict = log.findConflict(message.entries)
  if (conflict < message.entries.length) log.overwrite(message.entries, conflict)
  // Only up to here is this log known to be the leader's.
  const matched = message.index + message.entries.length
  log.commitTo(Math.min(message.commit, matched))
  acknowledge(raft, message, matched)
}

function acknowledge(raft: Raft, message: Message, index: number): void {
  const response = newMessage(MessageType.AppendResponse, message.from)
  response.index = index
  raft.send(response)
}

/** Names the highest entry at which the logs could still meet, so that the leader skips terms. */
function reject(raft: Raft, message: Message): void {
  const { log } = raft
  const hint = log.findAtMost(message.logTerm, Math.min(message.index, log.lastIndex))
  const hintTerm = log.term(hint)
  const response = newMessage(MessageType.AppendResponse, message.from)
  response.index = message.index
  response.reject = true
  response.rejectHint = hint
  response.logTerm = typeof hintTerm === 'number' ? hintTerm : 0
  raft.send(response)
}

export function onHeartbeat(raft: Raft, message: Message): void {
  // A log that lost its tail may end before the leader's idea of it: no reason to fall over.
  raft.log.commitTo(Math.min(message.commit, raft.log.lastIndex))
  maybeRequestSnapshot(raft)
  const response = newMessage(MessageType.HeartbeatResponse, message.from)
  response.context = message.context
  raft.send(response)
}

export function onSnapshot(raft: Raft, message: Message): void {
  const restored = message.snapshot !== undefined && maybeRestore(raft, message.snapshot)
  acknowledge(raft, message, restored ? raft.log.lastIndex : raft.log.commit)
}

/** False when the snapshot tells nothing new; what it proves committed is taken over all the same. */
function maybeRestore(raft: Raft, snapshot: Snapshot): boolean {
  const { log } = raft
  const { index, term, confState } = snapshot.metadata
  // One that was asked for replaces data that is there; but never a tail behind it, which this node
  // may have acknowledged.
  const requested = raft.wantsSnapshot && index >= log.lastIndex
  if (index < log.commit || (index === log.commit && !requested)) return false
  if (!requested && log.matches(index, term)) {
    log.commitTo(index)
    return false
  }
  const membership = restoreMembership(confState)
  if (!isMember(membership, raft.id)) {
    raft.trace?.warn({ id: raft.id, index }, 'refused a snapshot of a group without this peer')
    return false
  }
  raft.trace?.info({ id: raft.id, index, term, lastIndex: log.lastIndex }, 'restores a snapshot')
  raft.wantsSnapshot = false
  log.restore(snapshot)
  switchMembership(raft, membership)
  return true
}

/** Lets this node ask its leader for a snapshot until it comes. False when it cannot ask now. */
export function requestSnapshot(raft: Raft): boolean {
  if (raft.role !== StateRole.Follower || raft.leaderId === NO_ID) return false
  if (raft.log.pendingSnapshot > 0 || raft.wantsSnapshot) return false
  raft.wantsSnapshot = true
  maybeRequestSnapshot(raft)
  return true
}

/**
 * Asks for a snapshot at or above our last entry, and takes no more entries, so that one will do.
 * Only with an entry of this very term at the end is our log sure to be the leader's up to there: a
 * tail that the leader does not have would be waited for in vain. Until then appends are welcome.
 */
function maybeRequestSnapshot(raft: Raft): boolean {
  const { log } = raft
  if (!raft.wantsSnapshot || log.lastTerm !== raft.term) return false
  const request = newMessage(MessageType.AppendResponse, raft.leaderId)
  request.index = log.lastIndex
  request.reject = true
  request.rejectHint = log.lastIndex
  request.logTerm = log.lastTerm
  request.requestSnapshot = log.lastIndex
  raft.send(request)
  return true
}
