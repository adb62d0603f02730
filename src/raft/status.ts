/** A snapshot of a replica's state for people and tests. */
import type { LogIndex, PeerId, Term } from '../base/ids.ts'
import { toConfState } from './confchange/membership.ts'
import type { Raft } from './raft.ts'
import type { Progress, ProgressState } from './tracker/progress.ts'
import type { ConfState, StateRole } from './types.ts'

export interface ProgressStatus {
  readonly id: PeerId
  readonly state: ProgressState
  readonly match: LogIndex
  readonly next: LogIndex
  readonly isLearner: boolean
  readonly isPaused: boolean
  readonly recentActive: boolean
  readonly pendingSnapshot: LogIndex
  readonly inflight: number
  readonly inflightIsFull: boolean
}

export interface Status {
  readonly id: PeerId
  readonly term: Term
  readonly vote: PeerId
  readonly leaderId: PeerId
  readonly role: StateRole
  readonly commit: LogIndex
  readonly applied: LogIndex
  readonly persisted: LogIndex
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
  readonly leadTransferee: PeerId
  readonly confState: ConfState
  /** Of all members, ascending; empty unless leader. */
  readonly progress: readonly ProgressStatus[]
}

export function statusOf(raft: Raft): Status {
  const { log } = raft
  return {
    id: raft.id,
    term: raft.term,
    vote: raft.vote,
    leaderId: raft.leaderId,
    role: raft.role,
    commit: log.commit,
    applied: log.applied,
    persisted: log.persisted,
    firstIndex: log.firstIndex,
    lastIndex: log.lastIndex,
    leadTransferee: raft.leadTransferee,
    confState: toConfState(raft.membership),
    progress: raft.tracker?.all.map(progressStatus) ?? [],
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
    recentActive: progress.recentActive,
    pendingSnapshot: progress.pendingSnapshot,
    inflight: progress.inflights.count,
    inflightIsFull: progress.inflights.isFull,
  }
}
