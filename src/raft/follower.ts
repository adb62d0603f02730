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
import { type Message, MessageType, type Snapshot } from './types.ts'

/** @hot */
export function onAppend(raft: Raft, message: Message): void {
  const { log } = raft
  if (raft.requestedSnapshot > 0) {
    sendSnapshotRequest(raft)
    return
  }
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
  if (raft.requestedSnapshot > 0) {
    sendSnapshotRequest(raft)
    return
  }
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
  if (index <= log.commit) return false
  if (raft.requestedSnapshot === 0 && log.matches(index, term)) {
    log.commitTo(index)
    return false
  }
  const membership = restoreMembership(confState)
  if (!isMember(membership, raft.id)) {
    raft.trace?.warn({ id: raft.id, index }, 'refused a snapshot of a group without this peer')
    return false
  }
  raft.trace?.info({ id: raft.id, index, term, lastIndex: log.lastIndex }, 'restores a snapshot')
  raft.requestedSnapshot = 0
  log.restore(snapshot)
  switchMembership(raft, membership)
  return true
}

/** Asks the leader for a snapshot, and goes on asking instead of answering, until it comes. */
export function requestSnapshot(raft: Raft): boolean {
  if (raft.leaderId === NO_ID || raft.leaderId === raft.id) return false
  if (raft.log.pendingSnapshot > 0 || raft.requestedSnapshot > 0) return false
  raft.requestedSnapshot = raft.log.lastIndex
  if (raft.requestedSnapshot === 0) return false
  sendSnapshotRequest(raft)
  return true
}

function sendSnapshotRequest(raft: Raft): void {
  const { log } = raft
  const response = newMessage(MessageType.AppendResponse, raft.leaderId)
  response.index = log.commit
  response.reject = true
  response.rejectHint = log.lastIndex
  response.logTerm = log.lastTerm
  response.requestSnapshot = raft.requestedSnapshot
  raft.send(response)
}
