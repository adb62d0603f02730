/** Settings of one raft node. Ticks are counted by the caller's clock; sizes are bytes. */
import type { LogIndex, PeerId } from '../base/ids.ts'
import { ReadOnlyOption } from './types.ts'

export interface RaftConfig {
  readonly id: PeerId
  /** Ticks without a leader after which a follower campaigns; randomised in [n, 2n). */
  readonly electionTick: number
  readonly heartbeatTick: number
  /** Everything up to here is applied already (restart). */
  readonly applied: LogIndex
  /** Entry bytes of one append message, at least one entry. */
  readonly maxSizePerMsg: number
  /** Append messages in flight to one follower. */
  readonly maxInflightMsgs: number
  /** Entry bytes in flight to one follower; 0 = no limit. */
  readonly maxInflightBytes: number
  readonly checkQuorum: boolean
  readonly preVote: boolean
  readonly readOnlyOption: ReadOnlyOption
  /** Bytes of entries proposed but not committed, above which proposals are refused; 0 = no limit. */
  readonly maxUncommittedSize: number
  /** Bytes of committed entries in one ready; 0 = no limit. */
  readonly maxCommittedSizePerReady: number
  /** Followers refuse proposals instead of forwarding them to the leader. */
  readonly disableProposalForwarding: boolean
  readonly disableConfChangeValidation: boolean
  /** A leader that applied its own removal or demotion steps down. */
  readonly stepDownOnRemoval: boolean
  /** Vote responses carry the commit index, so that a new leader learns it at once. */
  readonly commitByVote: boolean
}

const MIB = 1024 * 1024

export function defaultRaftConfig(id: PeerId, applied: LogIndex): RaftConfig {
  return {
    id,
    electionTick: 10,
    heartbeatTick: 2,
    applied,
    maxSizePerMsg: MIB,
    maxInflightMsgs: 256,
    maxInflightBytes: 0,
    checkQuorum: true,
    preVote: true,
    readOnlyOption: ReadOnlyOption.Safe,
    maxUncommittedSize: 0,
    maxCommittedSizePerReady: 16 * MIB,
    disableProposalForwarding: true,
    disableConfChangeValidation: false,
    stepDownOnRemoval: true,
    commitByVote: true,
  }
}
