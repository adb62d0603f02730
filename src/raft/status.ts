/**
 * A picture of a replica for people (describeStatus), metrics and tests: plain data, taken at once,
 * independent of what the replica does next. Not for decisions: RawNode's getters cost less.
 */
import type { LogIndex, PeerId, Term } from '../base/ids.ts'
import { toConfState } from './confchange/membership.ts'
import type { Raft } from './raft.ts'
import { inLease } from './reads.ts'
import type { Progress, ProgressState } from './tracker/progress.ts'
import type { ConfState, StateRole } from './types.ts'

export interface ProgressStatus {
  readonly id: PeerId
  readonly state: ProgressState
  readonly match: LogIndex
  readonly next: LogIndex
  readonly isLearner: boolean
  readonly isPaused: boolean
  /** Its entries are being fetched from disk. */
  readonly isFetching: boolean
  readonly recentActive: boolean
  readonly pendingSnapshot: LogIndex
  /** It asked for a snapshot at or above this index; 0 = it did not. */
  readonly requestedSnapshot: LogIndex
  readonly inflight: number
  readonly inflightBytes: number
  readonly inflightIsFull: boolean
}

export interface LogStatus {
  readonly first: LogIndex
  readonly last: LogIndex
  readonly lastTerm: Term
  readonly persisted: LogIndex
  readonly commit: LogIndex
  readonly handedOut: LogIndex
  readonly applied: LogIndex
  /** Index of a received snapshot that is not durable yet; 0 = none. */
  readonly pendingSnapshot: LogIndex
  /** Readies that were taken and are not durable yet. */
  readonly unpersistedReadies: number
}

export interface LeaderStatus {
  readonly termStartIndex: LogIndex
  readonly committedToCurrentTerm: boolean
  /** What RawNode.inLease says: with safe reads, only that followers' promises may be relied on. */
  readonly inLease: boolean
  /** 0 unless proposals are limited. */
  readonly uncommittedBytes: number
  readonly waitingReads: number
  readonly pendingConfIndex: LogIndex
  readonly hasPendingConfChange: boolean
  /** 0 = no transfer under way. */
  readonly leadTransferee: PeerId
  /** Of all members, ascending. */
  readonly progress: readonly ProgressStatus[]
}

export interface Status {
  readonly id: PeerId
  readonly term: Term
  readonly vote: PeerId
  readonly leaderId: PeerId
  readonly role: StateRole
  readonly isPromotable: boolean
  /** It promised a leader not to vote now. */
  readonly isVoteLocked: boolean
  readonly electionElapsed: number
  readonly electionTimeout: number
  readonly confState: ConfState
  readonly log: LogStatus
  /** Undefined unless leader. */
  readonly leader: LeaderStatus | undefined
}

export function statusOf(raft: Raft): Status {
  return {
    id: raft.id,
    term: raft.term,
    vote: raft.vote,
    leaderId: raft.leaderId,
    role: raft.role,
    isPromotable: raft.isPromotable,
    isVoteLocked: raft.isVoteLocked,
    electionElapsed: raft.electionElapsed,
    electionTimeout: raft.electionTimeout,
    confState: toConfState(raft.membership),
    log: logStatus(raft),
    leader: raft.tracker === undefined ? undefined : leaderStatus(raft, raft.tracker.all),
  }
}

function logStatus({ log }: Raft): LogStatus {
  return {
    first: log.firstIndex,
    last: log.lastIndex,
    lastTerm: log.lastTerm,
    persisted: log.persisted,
    commit: log.commit,
    handedOut: log.handedOut,
    applied: log.applied,
    pendingSnapshot: log.pendingSnapshot,
    unpersistedReadies: log.records.count,
  }
}

function leaderStatus(raft: Raft, all: readonly Progress[]): LeaderStatus {
  const { reads } = raft
  return {
    termStartIndex: raft.termStartIndex,
    committedToCurrentTerm: raft.committedToCurrentTerm,
    inLease: inLease(raft),
    uncommittedBytes: raft.uncommittedBytes,
    waitingReads: reads === undefined ? 0 : reads.pending.length + reads.postponed.length,
    pendingConfIndex: raft.pendingConfIndex,
    hasPendingConfChange: raft.pendingConfIndex > raft.log.applied,
    leadTransferee: raft.leadTransferee,
    progress: all.map(progressStatus),
  }
}

export function progressStatus(progress: Progress): ProgressStatus {
  return {
    id: progress.id,
    state: progress.state,
    match: progress.match,
    next: progress.next,
    isLearner: progress.isLearner,
    isPaused: progress.isPaused,
    isFetching: progress.fetching,
    recentActive: progress.recentActive,
    pendingSnapshot: progress.pendingSnapshot,
    requestedSnapshot: progress.requestedSnapshot,
    inflight: progress.inflights.count,
    inflightBytes: progress.inflights.bytes,
    inflightIsFull: progress.inflights.isFull,
  }
}
