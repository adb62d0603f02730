/**
 * A leader's side of replication: what it sends to each follower, what it makes of the answers, and
 * when an entry is committed.
 *
 * INVARIANTS
 * - Only entries of the leader's own term are committed by counting copies; older ones with them.
 * - The leader's own copy counts only once it is durable.
 */
import type { LogIndex } from '../base/ids.ts'
import { newMessage, payloadBytes } from './message.ts'
import type { Raft } from './raft.ts'
import { onCommittedToTerm, onRoundAnswered } from './reads.ts'
import { type Progress, ProgressState } from './tracker/progress.ts'
import { type Message, MessageType } from './types.ts'

export function broadcastAppend(raft: Raft): void {
  const all = raft.tracker!.all
  for (let i = 0; i < all.length; i++) {
    if (all[i]!.id !== raft.id) maybeSendAppend(raft, all[i]!, true)
  }
}

/** Tells the commit index to all whom it could be news. */
export function shareCommit(raft: Raft): void {
  for (const progress of raft.tracker!.all) {
    if (progress.id !== raft.id && progress.canRaiseCommit(raft.log.commit)) {
      maybeSendAppend(raft, progress, true)
    }
  }
}

/**
 * Sends what the follower lacks as far as its window allows; `evenEmpty` also sends an append
 * without entries, which carries the commit index or probes. False when nothing was sent. @hot
 */
export function maybeSendAppend(raft: Raft, progress: Progress, evenEmpty: boolean): boolean {
  if (progress.isPaused) return false
  const { log } = raft
  const before = progress.next - 1
  // A leader's log holds nothing but its own term from termStartIndex on.
  const beforeTerm = before >= raft.termStartIndex ? raft.term : log.term(before)
  if (typeof beforeTerm !== 'number' || progress.requestedSnapshot > 0) {
    return maybeSendSnapshot(raft, progress)
  }
  const message = newMessage(MessageType.Append, progress.id)
  // With a full window an empty append still goes out: if all that was in flight is lost, its answer
  // tells so.
  if (progress.state !== ProgressState.Replicate || !progress.inflights.isFull) {
    const entries = log.entries(progress.next, raft.config.maxSizePerMsg, progress.id)
    if (entries === 'temporarily-unavailable') {
      progress.fetching = true
      return false
    }
    if (typeof entries === 'string') return maybeSendSnapshot(raft, progress)
    message.entries = entries
  }
  const count = message.entries.length
  if (count === 0 && !evenEmpty) return false
  message.index = before
  message.logTerm = beforeTerm
  message.commit = log.commit
  raft.send(message)
  progress.onAppendSent(count, payloadBytes(message.entries), log.commit)
  return true
}

function maybeSendSnapshot(raft: Raft, progress: Progress): boolean {
  // Who is gone would only let a costly snapshot expire.
  if (!progress.recentActive) return false
  const snapshot = raft.log.snapshot(progress.requestedSnapshot, progress.id)
  if (typeof snapshot === 'string') return false
  const message = newMessage(MessageType.Snapshot, progress.id)
  message.snapshot = snapshot
  progress.becomeSnapshot(snapshot.metadata.index)
  progress.requestedSnapshot = 0
  raft.send(message)
  return true
}

/** Heartbeats to all; a round's context when reads wait for its answers. */
export function broadcastHeartbeat(raft: Raft, context: Uint8Array): void {
  for (const progress of raft.tracker!.all) {
    if (progress.id === raft.id) continue
    const message = newMessage(MessageType.Heartbeat, progress.id)
    // Beyond its match index the follower's log may not be ours.
    message.commit = Math.min(progress.match, raft.log.commit)
    message.context = context
    raft.send(message)
    progress.sentCommit = message.commit
    progress.inflights.shrink()
  }
}

/** Raises the commit index to what a quorum has. False when that is no news. @hot */
export function maybeCommit(raft: Raft): boolean {
  const { log } = raft
  const index = raft.tracker!.committedIndex()
  if (index <= log.commit || index < raft.termStartIndex) return false
  const isFirst = log.commit < raft.termStartIndex
  log.commitTo(index)
  raft.events?.onNode(raft, 'Commit')
  if (isFirst) onCommittedToTerm(raft)
  return true
}

/** The leader's own entries up to `index` are durable. */
export function onOwnEntriesPersisted(raft: Raft, index: LogIndex): void {
  const own = raft.tracker!.get(raft.id)
  if (own === undefined || index <= own.match) return
  raft.events?.onOwnEntries(raft, index, true)
  own.maybeUpdate(index)
  if (maybeCommit(raft)) tellCommit(raft)
}

function tellCommit(raft: Raft): void {
  if (!raft.skipCommitBroadcast) broadcastAppend(raft)
}

/** @hot */
export function onAppendResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true
  progress.fetching = false
  if (message.requestSnapshot > 0) onSnapshotRequested(raft, progress, message.requestSnapshot)
  else if (message.reject) onRejected(raft, progress, message)
  else onAccepted(raft, progress, message.index)
}

function onRejected(raft: Raft, progress: Progress, message: Message): void {
  let hint = message.rejectHint
  // Our terms above the follower's cannot be in its log: skip them at once.
  if (message.logTerm > 0) hint = raft.log.findAtMost(message.logTerm, hint)
  if (!progress.maybeStepBack(message.index, hint)) return
  if (progress.state === ProgressState.Replicate) progress.becomeProbe()
  maybeSendAppend(raft, progress, true)
}

/** It names the end of its log, an entry of our term: so it has all of our log up to there. */
function onSnapshotRequested(raft: Raft, progress: Progress, lastIndex: LogIndex): void {
  if (progress.state === ProgressState.Snapshot) return
  const isNews = progress.maybeUpdate(lastIndex)
  progress.becomeProbe()
  progress.requestedSnapshot = lastIndex
  if (isNews && maybeCommit(raft)) tellCommit(raft)
  maybeSendAppend(raft, progress, true)
}

function onAccepted(raft: Raft, progress: Progress, index: LogIndex): void {
  const isNews = progress.maybeUpdate(index)
  if (!isNews && !endsState(raft, progress, index)) return
  advanceState(raft, progress, index)
  if (maybeCommit(raft)) tellCommit(raft)
  else if (progress.canRaiseCommit(raft.log.commit) && !raft.skipCommitBroadcast) {
    maybeSendAppend(raft, progress, true)
  }
  while (maybeSendAppend(raft, progress, false)) {
    // Until the window is full or nothing is left.
  }
  if (progress.id === raft.leadTransferee && progress.match === raft.log.lastIndex) {
    sendTimeoutNow(raft)
  }
}

/**
 * No news of the log, but of where the follower stands: a probe hit, a snapshot is there. A probe is
 * never answered from before the beginning of our log. What names an index there is the notice of a
 * term that a follower gives to messages of earlier ones, and it has come to that term's leader.
 */
function endsState(raft: Raft, progress: Progress, index: LogIndex): boolean {
  if (progress.state === ProgressState.Probe) {
    return progress.match === index && index + 1 >= raft.log.firstIndex
  }
  return progress.state === ProgressState.Snapshot && index >= progress.pendingSnapshot
}

function advanceState(raft: Raft, progress: Progress, index: LogIndex): void {
  if (progress.state === ProgressState.Probe) progress.becomeReplicate()
  else if (progress.state === ProgressState.Replicate) progress.inflights.freeTo(index)
  else if (progress.match + 1 >= raft.log.firstIndex) {
    // Its log reaches ours again, by whichever snapshot it was.
    progress.becomeProbe()
    progress.becomeReplicate()
  }
}

export function onHeartbeatResponse(raft: Raft, progress: Progress, message: Message): void {
  progress.recentActive = true
  progress.fetching = false
  progress.paused = false
  if (progress.match < raft.log.lastIndex || progress.state === ProgressState.Probe) {
    maybeSendAppend(raft, progress, true)
  }
  onRoundAnswered(raft, progress, message.context)
}

/** The last message to this follower did not arrive, so that others may be lost too. */
export function onUnreachable(progress: Progress): void {
  if (progress.state === ProgressState.Replicate) progress.becomeProbe()
}

/** A snapshot arrived or failed. Its answer, or the next heartbeat's, resumes the follower. */
export function onSnapshotStatus(progress: Progress, failed: boolean): void {
  if (progress.state !== ProgressState.Snapshot) return
  if (failed) progress.pendingSnapshot = 0
  progress.becomeProbe()
  progress.paused = true
}

/** Entries for this follower came from disk: they can be sent now. */
export function onEntriesFetched(raft: Raft, progress: Progress): void {
  progress.fetching = false
  while (maybeSendAppend(raft, progress, false)) {
    // Until the window is full or nothing is left.
  }
}

/** Lets the peer that is to lead campaign at once, whatever leases say. */
export function sendTimeoutNow(raft: Raft): void {
  raft.timeoutNowSent = true
  raft.send(newMessage(MessageType.TimeoutNow, raft.leadTransferee))
}
