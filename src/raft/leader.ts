/** Being leader: taking office, proposals, ticks, quorum checks, handing over. */
import { EMPTY_BYTES } from '../base/bytes.ts'
import { NO_ID, type PeerId } from '../base/ids.ts'
import { decodeConfChange } from './conf-change-codec.ts'
import { changeMembership, isLeaveJoint } from './confchange/changer.ts'
import { isJoint } from './confchange/membership.ts'
import { payloadBytes } from './message.ts'
import type { Raft } from './raft.ts'
import { heartbeatContext } from './reads.ts'
import {
  broadcastAppend,
  broadcastHeartbeat,
  maybeSendAppend,
  sendTimeoutNow,
} from './replication.ts'
import type { Progress } from './tracker/progress.ts'
import { type ConfChangeV2, type Entry, EntryType } from './types.ts'

export type ConfChangeRefusal =
  /** An earlier change is not applied yet. */
  | 'conf-change-pending'
  /** The joint state must be left first. */
  | 'already-joint'
  | 'not-joint'
  /** No membership would come of it, such as one without voters. */
  | 'invalid-conf-change'

export type ProposeRefusal = 'removed' | 'transferring' | 'uncommitted-limit'

/** Only entries of the own term commit by counting, so the term starts with one. */
export function becomeLeader(raft: Raft): void {
  raft.becomeLeader()
  const own = raft.tracker!.get(raft.id)!
  own.becomeReplicate()
  own.recentActive = true
  own.maybeUpdate(raft.log.persisted)
  own.next = raft.log.lastIndex + 1
  appendEntry(raft, EntryType.Normal, EMPTY_BYTES)
  broadcastAppend(raft)
}

/** Entries that a follower forwarded: their index and term do not count yet. */
export function onForwardedProposal(raft: Raft, entries: readonly Entry[]): 'ok' | ProposeRefusal {
  const refusal = refuseProposal(raft, payloadBytes(entries))
  if (refusal !== undefined) return refusal
  for (const entry of entries) {
    // A proposer elsewhere cannot be told why its change is refused: an empty entry takes its place.
    if (entry.type !== EntryType.Normal && !acceptsConfChange(raft, entry)) {
      appendEntry(raft, EntryType.Normal, EMPTY_BYTES)
    } else appendEntry(raft, entry.type, entry.data)
  }
  broadcastAppend(raft)
  return 'ok'
}

/** One entry of the leader's own. @hot */
export function propose(raft: Raft, type: EntryType, data: Uint8Array): 'ok' | ProposeRefusal {
  const refusal = refuseProposal(raft, data.length)
  if (refusal !== undefined) return refusal
  appendEntry(raft, type, data)
  broadcastAppend(raft)
  return 'ok'
}

function refuseProposal(raft: Raft, bytes: number): ProposeRefusal | undefined {
  if (raft.tracker!.get(raft.id) === undefined) return 'removed'
  if (raft.leadTransferee !== NO_ID) return 'transferring'
  const limit = raft.config.maxUncommittedSize
  // What carries no bytes always fits, and so does one proposal of any size.
  if (limit === 0 || bytes === 0 || raft.uncommittedBytes === 0) return undefined
  return raft.uncommittedBytes + bytes > limit ? 'uncommitted-limit' : undefined
}

function appendEntry(raft: Raft, type: EntryType, data: Uint8Array): void {
  const index = raft.log.lastIndex + 1
  raft.log.append({ index, term: raft.term, type, data })
  if (raft.config.maxUncommittedSize > 0) raft.uncommittedBytes += data.length
  if (type !== EntryType.Normal) raft.pendingConfIndex = index
}

/** These entries of the leader's own are committed. */
export function onCommittedTaken(raft: Raft, entries: readonly Entry[]): void {
  if (raft.config.maxUncommittedSize === 0) return
  for (const entry of entries) {
    if (entry.index >= raft.termStartIndex) raft.uncommittedBytes -= entry.data.length
  }
}

function acceptsConfChange(raft: Raft, entry: Entry): boolean {
  const refusal = refuseConfChange(raft, decodeConfChange(entry))
  if (refusal !== undefined) raft.trace?.info({ id: raft.id, refusal }, 'ignores a conf change')
  return refusal === undefined
}

export function refuseConfChange(raft: Raft, change: ConfChangeV2): ConfChangeRefusal | undefined {
  if (raft.config.disableConfChangeValidation) return undefined
  if (raft.pendingConfIndex > raft.log.applied) return 'conf-change-pending'
  const joint = isJoint(raft.membership)
  const leaves = isLeaveJoint(change)
  if (joint && !leaves) return 'already-joint'
  if (!joint && leaves) return 'not-joint'
  const next = changeMembership(raft.membership, change)
  return typeof next === 'string' ? 'invalid-conf-change' : undefined
}

/** Leaves a joint state that wants to be left, once the change that entered it is applied. */
export function maybeAutoLeave(raft: Raft): void {
  if (!raft.membership.autoLeave || raft.log.applied < raft.pendingConfIndex) return
  // While leadership moves this is refused: the next leader tries again, or giveUpTransfer.
  propose(raft, EntryType.ConfChangeV2, EMPTY_BYTES)
}

/** Leads on, and makes up for what a transfer under way had refused. */
function giveUpTransfer(raft: Raft): void {
  if (raft.leadTransferee === NO_ID) return
  raft.leadTransferee = NO_ID
  maybeAutoLeave(raft)
}

/** True when something was done. */
export function tickLeader(raft: Raft): boolean {
  raft.heartbeatElapsed++
  raft.electionElapsed++
  let acted = false
  if (raft.electionElapsed >= raft.config.electionTick) {
    raft.electionElapsed = 0
    if (raft.config.checkQuorum && !maybeKeepOffice(raft)) return true
    // It took too long: lead on.
    giveUpTransfer(raft)
    acted = true
  }
  if (raft.heartbeatElapsed < raft.config.heartbeatTick) return acted
  raft.heartbeatElapsed = 0
  broadcastHeartbeat(raft, heartbeatContext(raft))
  return true
}

/** Steps down when no quorum was heard from since the last check. */
function maybeKeepOffice(raft: Raft): boolean {
  const tracker = raft.tracker!
  if (!tracker.quorumActive()) {
    raft.trace?.warn({ id: raft.id, term: raft.term }, 'steps down: no quorum is active')
    raft.becomeFollower(raft.term, NO_ID)
    return false
  }
  for (const progress of tracker.all) {
    if (progress.id !== raft.id) progress.recentActive = false
  }
  return true
}

export function onTransferLeader(raft: Raft, progress: Progress): void {
  const to: PeerId = progress.id
  if (progress.isLearner || raft.leadTransferee === to) return
  giveUpTransfer(raft)
  if (to === raft.id) return
  // It has one election time-out to succeed.
  raft.electionElapsed = 0
  raft.leadTransferee = to
  if (progress.match === raft.log.lastIndex) sendTimeoutNow(raft)
  else maybeSendAppend(raft, progress, true)
}
