/** Dispatch: one message in, by term first and by role then. */
import { NO_ID } from '../base/ids.ts'
import { isMember } from './confchange/membership.ts'
import {
  isRefusedByLease,
  maybeCampaign,
  onVoteRequest,
  onVoteResponse,
  rejectVote,
} from './election.ts'
import { onAppend, onHeartbeat, onSnapshot } from './follower.ts'
import { onForwardedProposal, onTransferLeader, type ProposeRefusal, tickLeader } from './leader.ts'
import { isLocalMessage, isResponse, isVoteRequest, newMessage } from './message.ts'
import type { Raft } from './raft.ts'
import { onReadRequest, onReadResponse } from './reads.ts'
import { onAppendResponse, onHeartbeatResponse } from './replication.ts'
import { type Message, MessageType, ReadOnlyOption, StateRole } from './types.ts'

export type StepResult =
  | 'ok'
  /** A request that nobody will serve: no leader, or no forwarding. */
  | 'dropped'
  /** An answer of a peer that is no member. */
  | 'peer-not-found'
  /** A message that only the node itself may give to itself. */
  | 'local-message'
  | ProposeRefusal

/** True when there may be a ready. */
export function tick(raft: Raft): boolean {
  raft.ticks++
  if (raft.voteLockTicks > 0) raft.voteLockTicks--
  if (raft.role === StateRole.Leader) return tickLeader(raft)
  raft.electionElapsed++
  if (raft.electionElapsed < raft.electionTimeout || !raft.isPromotable) return false
  raft.electionElapsed = 0
  maybeCampaign(raft, false)
  return true
}

/** @hot */
export function step(raft: Raft, message: Message): StepResult {
  if (isLocalMessage(message.type)) return 'local-message'
  raft.events?.onReceive(raft, message)
  if (isResponse(message.type) && !isMember(raft.membership, message.from)) return 'peer-not-found'
  if (message.term > raft.term && !maybeAdvanceTerm(raft, message)) return 'ok'
  if (message.term > 0 && message.term < raft.term) {
    onStale(raft, message)
    return 'ok'
  }
  if (isVoteRequest(message.type)) {
    onVoteRequest(raft, message)
    return 'ok'
  }
  if (raft.role === StateRole.Leader) return stepLeader(raft, message)
  return raft.role === StateRole.Follower
    ? stepFollower(raft, message)
    : stepCandidate(raft, message)
}

/** A later term is entered, except for a pre-vote, which only asks about one. False: ignore it. */
function maybeAdvanceTerm(raft: Raft, message: Message): boolean {
  const { type } = message
  if (isVoteRequest(type)) {
    if (isRefusedByLease(raft, message)) return false
    if (type === MessageType.RequestPreVote) return true
  }
  if (type === MessageType.RequestPreVoteResponse && !message.reject) return true
  raft.becomeFollower(message.term, comesFromLeader(type) ? message.from : NO_ID)
  return true
}

function comesFromLeader(type: MessageType): boolean {
  return (
    type === MessageType.Append || type === MessageType.Heartbeat || type === MessageType.Snapshot
  )
}

/**
 * A message of an earlier term. With quorum checks or pre-votes a node with a later term makes no
 * noise, so a leader that it can hear but not obey is told of the term here, and steps down.
 */
function onStale(raft: Raft, message: Message): void {
  const { type } = message
  if (type === MessageType.RequestPreVote) rejectVote(raft, message)
  else if (comesFromLeader(type) && (raft.config.checkQuorum || raft.config.preVote)) {
    if (type === MessageType.Snapshot) return
    raft.send(newMessage(MessageType.AppendResponse, message.from))
  }
}

function stepLeader(raft: Raft, message: Message): StepResult {
  switch (message.type) {
    case MessageType.Propose:
      return onForwardedProposal(raft, message.entries)
    case MessageType.ReadIndex:
      onReadRequest(raft, message.from, message.context)
      return 'ok'
    case MessageType.AppendResponse:
    case MessageType.HeartbeatResponse:
    case MessageType.TransferLeader:
      return stepProgress(raft, message)
    default:
      return 'ok'
  }
}

function stepProgress(raft: Raft, message: Message): StepResult {
  const progress = raft.tracker!.get(message.from)
  if (progress === undefined) return 'peer-not-found'
  if (message.type === MessageType.AppendResponse) onAppendResponse(raft, progress, message)
  else if (message.type === MessageType.TransferLeader) onTransferLeader(raft, progress)
  else onHeartbeatResponse(raft, progress, message)
  return 'ok'
}

function stepCandidate(raft: Raft, message: Message): StepResult {
  const answersUs =
    raft.role === StateRole.PreCandidate
      ? MessageType.RequestPreVoteResponse
      : MessageType.RequestVoteResponse
  if (message.type === answersUs) {
    onVoteResponse(raft, message)
    return 'ok'
  }
  if (comesFromLeader(message.type)) {
    raft.becomeFollower(message.term, message.from)
    return stepFollower(raft, message)
  }
  return message.type === MessageType.Propose || message.type === MessageType.ReadIndex
    ? 'dropped'
    : 'ok'
}

function stepFollower(raft: Raft, message: Message): StepResult {
  switch (message.type) {
    case MessageType.Append:
      hearLeader(raft, message)
      onAppend(raft, message)
      return 'ok'
    case MessageType.Heartbeat:
      hearLeader(raft, message)
      onHeartbeat(raft, message)
      return 'ok'
    case MessageType.Snapshot:
      hearLeader(raft, message)
      onSnapshot(raft, message)
      return 'ok'
    case MessageType.Propose:
      return raft.config.disableProposalForwarding ? 'dropped' : forward(raft, message)
    case MessageType.ReadIndex:
    case MessageType.TransferLeader:
      return forward(raft, message)
    case MessageType.ReadIndexResp:
      onReadResponse(raft, message)
      return 'ok'
    case MessageType.TimeoutNow:
      if (raft.isPromotable) maybeCampaign(raft, true)
      return 'ok'
    default:
      return 'ok'
  }
}

function hearLeader(raft: Raft, message: Message): void {
  raft.electionElapsed = 0
  raft.leaderId = message.from
}

function forward(raft: Raft, message: Message): StepResult {
  if (raft.leaderId === NO_ID) return 'dropped'
  const forwarded = newMessage(message.type, raft.leaderId)
  forwarded.from = message.from
  forwarded.entries = message.entries
  forwarded.context = message.context
  raft.send(forwarded)
  return 'ok'
}

/** Lets the follower vote for others though it heard its leader lately. */
export function forgetLeader(raft: Raft): void {
  if (raft.role !== StateRole.Follower || raft.leaderId === NO_ID) return
  // A lease rests on the very promise that this would break.
  if (raft.config.readOnlyOption === ReadOnlyOption.LeaseBased) {
    raft.trace?.warn({ id: raft.id }, 'does not forget its leader: it may hold a lease')
    return
  }
  raft.leaderId = NO_ID
}
