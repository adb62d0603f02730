/**
 * The vocabulary of the consensus core: what it stores, sends and is configured with. Numbers of
 * message and entry types are fixed: they travel on the wire and rest on disk.
 */
import type { LogIndex, PeerId, Term } from '../base/ids.ts'

export const EntryType = { Normal: 0, ConfChange: 1, ConfChangeV2: 2 } as const
export type EntryType = (typeof EntryType)[keyof typeof EntryType]

/** A log entry. Immutable once made; `data` may be a view into a larger buffer. */
export interface Entry {
  readonly index: LogIndex
  readonly term: Term
  readonly type: EntryType
  readonly data: Uint8Array
}

export interface HardState {
  readonly term: Term
  /** Peer voted for in `term`; 0 = none. */
  readonly vote: PeerId
  readonly commit: LogIndex
}

export interface ConfState {
  readonly voters: readonly PeerId[]
  readonly votersOutgoing: readonly PeerId[]
  readonly learners: readonly PeerId[]
  readonly learnersNext: readonly PeerId[]
  readonly autoLeave: boolean
}

export interface SnapshotMetadata {
  readonly index: LogIndex
  readonly term: Term
  readonly confState: ConfState
}

export interface Snapshot {
  readonly metadata: SnapshotMetadata
  readonly data: Uint8Array
}

export const MessageType = {
  Hup: 0,
  Beat: 1,
  Propose: 2,
  Append: 3,
  AppendResponse: 4,
  RequestVote: 5,
  RequestVoteResponse: 6,
  Snapshot: 7,
  Heartbeat: 8,
  HeartbeatResponse: 9,
  Unreachable: 10,
  SnapStatus: 11,
  CheckQuorum: 12,
  TransferLeader: 13,
  TimeoutNow: 14,
  ReadIndex: 15,
  ReadIndexResp: 16,
  RequestPreVote: 17,
  RequestPreVoteResponse: 18,
  ForgetLeader: 19,
} as const
export type MessageType = (typeof MessageType)[keyof typeof MessageType]

/**
 * A raft message. One flat shape for all types, every field always present, so that objects share
 * a hidden class; zero, false and empty mean "not used by this type".
 */
export interface Message {
  type: MessageType
  to: PeerId
  from: PeerId
  term: Term
  logTerm: Term
  index: LogIndex
  entries: readonly Entry[]
  commit: LogIndex
  /** Term of the entry at `commit`: lets a vote response carry a commit index (commit by vote). */
  commitTerm: Term
  snapshot: Snapshot | undefined
  reject: boolean
  rejectHint: LogIndex
  /** Its last index, of this term, at or above which a follower wants a snapshot; 0 = it does not. */
  requestSnapshot: LogIndex
  /** Opaque: read-index context, or campaign kind of a vote request. */
  context: Uint8Array
}

export const StateRole = { Follower: 0, Candidate: 1, Leader: 2, PreCandidate: 3 } as const
export type StateRole = (typeof StateRole)[keyof typeof StateRole]

export const ReadOnlyOption = { Safe: 0, LeaseBased: 1 } as const
export type ReadOnlyOption = (typeof ReadOnlyOption)[keyof typeof ReadOnlyOption]

export const ConfChangeType = {
  AddNode: 0,
  RemoveNode: 1,
  AddLearnerNode: 2,
  UpdateNode: 3,
} as const
export type ConfChangeType = (typeof ConfChangeType)[keyof typeof ConfChangeType]

export const ConfChangeTransition = { Auto: 0, Implicit: 1, Explicit: 2 } as const
export type ConfChangeTransition = (typeof ConfChangeTransition)[keyof typeof ConfChangeTransition]

export interface ConfChangeSingle {
  readonly type: ConfChangeType
  readonly nodeId: PeerId
}

/** A membership change as raft sees it; no changes at all means "leave the joint state". */
export interface ConfChangeV2 {
  readonly transition: ConfChangeTransition
  readonly changes: readonly ConfChangeSingle[]
  readonly context: Uint8Array
}

export interface SoftState {
  readonly leaderId: PeerId
  readonly role: StateRole
}

/** Answer to a read-index request: reads with this context may run once applied ≥ index. */
export interface ReadState {
  readonly index: LogIndex
  readonly context: Uint8Array
}
