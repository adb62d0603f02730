/**
 * Elections: campaigns, votes, and what voters answer.
 *
 *   campaign ─▶ pre-vote (no term is used up) ─▶ vote ─▶ leader
 *
 * INVARIANTS
 * - A candidate's own vote counts only once it is durable (onVotePersisted).
 * - With checkQuorum, who heard its leader within the election time-out refuses to vote, unless that
 *   leader itself ordered the campaign.
 */

import { EMPTY_BYTES, equalBytes } from '../base/bytes.ts'
import { type LogIndex, NO_ID, type PeerId, type Term } from '../base/ids.ts'
import { hasUnappliedConfChange } from './conf-change-scan.ts'
import { isVoter, members } from './confchange/membership.ts'
import { becomeLeader } from './leader.ts'
import { newMessage, TRANSFER_CONTEXT } from './message.ts'
import { jointVote } from './quorum/joint.ts'
import { majorityVote, VoteResult } from './quorum/majority.ts'
import type { Raft } from './raft.ts'
import { type Message, MessageType, StateRole } from './types.ts'

/** Starts a campaign if this node may; `transfer` when the leader ordered it. */
export function maybeCampaign(raft: Raft, transfer: boolean): void {
  if (raft.role === StateRole.Leader) return
  if (!raft.isPromotable || hasUnappliedConfChange(raft.log)) {
    raft.trace?.warn({ id: raft.id, term: raft.term }, 'may not campaign')
    return
  }
  if (raft.config.preVote && !transfer) campaignForPreVotes(raft)
  else campaignForVotes(raft, transfer)
}

function campaignForPreVotes(raft: Raft): void {
  raft.becomePreCandidate()
  if (poll(raft, raft.id, true) === VoteResult.Won) campaignForVotes(raft, false)
  else requestVotes(raft, MessageType.RequestPreVote, raft.term + 1, EMPTY_BYTES)
}

function campaignForVotes(raft: Raft, transfer: boolean): void {
  raft.becomeCandidate()
  const context = transfer ? TRANSFER_CONTEXT : EMPTY_BYTES
  requestVotes(raft, MessageType.RequestVote, raft.term, context)
}

function requestVotes(raft: Raft, type: MessageType, term: Term, context: Uint8Array): void {
  const { log } = raft
  for (const id of members(raft.membership)) {
    if (id === raft.id && type === MessageType.RequestVote) raft.events?.onOwnVote(raft, false)
    if (id === raft.id || !isVoter(raft.membership, id)) continue
    const request = newMessage(type, id)
    request.term = term
    request.index = log.lastIndex
    request.logTerm = log.lastTerm
    request.context = context
    if (raft.config.commitByVote) tellCommit(raft, request)
    raft.send(request)
  }
}

/** The hard state with our own vote in `term` is durable. */
export function onVotePersisted(raft: Raft, term: Term): void {
  if (raft.role !== StateRole.Candidate || raft.term !== term) return
  raft.events?.onOwnVote(raft, true)
  onPoll(raft, raft.id, true)
}

/** An answer to our request, of the kind that our role asked for. */
export function onVoteResponse(raft: Raft, message: Message): void {
  if (!isVoter(raft.membership, message.from)) return
  maybeCommitByVote(raft, message)
  if (raft.role === StateRole.Follower) return
  onPoll(raft, message.from, !message.reject)
}

function onPoll(raft: Raft, from: PeerId, granted: boolean): void {
  const result = poll(raft, from, granted)
  if (result === VoteResult.Lost) raft.becomeFollower(raft.term, NO_ID)
  else if (result === VoteResult.Won) {
    if (raft.role === StateRole.PreCandidate) campaignForVotes(raft, false)
    else becomeLeader(raft)
  }
}

function poll(raft: Raft, from: PeerId, granted: boolean): VoteResult {
  const votes = raft.votes!
  if (!votes.has(from)) votes.set(from, granted)
  const { voters, outgoing } = raft.membership
  return jointVote(count(votes, voters), count(votes, outgoing))
}

function count(votes: ReadonlyMap<PeerId, boolean>, voters: readonly PeerId[]): VoteResult {
  let granted = 0
  let rejected = 0
  for (const id of voters) {
    const vote = votes.get(id)
    if (vote === true) granted++
    else if (vote === false) rejected++
  }
  return majorityVote(voters.length, granted, rejected)
}

/** The request is one that the voter's lease or its promise before a restart forbids. */
export function isRefusedByLease(raft: Raft, request: Message): boolean {
  return raft.isVoteLocked && !equalBytes(request.context, TRANSFER_CONTEXT)
}

/** Answers a vote or pre-vote request whose term is no lower than ours. */
export function onVoteRequest(raft: Raft, request: Message): void {
  const isPreVote = request.type === MessageType.RequestPreVote
  const free =
    raft.vote === request.from ||
    (raft.vote === NO_ID && raft.leaderId === NO_ID) ||
    (isPreVote && request.term > raft.term)
  if (free && raft.log.isUpToDate(request.logTerm, request.index)) {
    const response = voteResponse(request)
    // A granted pre-vote belongs to the future term, which is not ours yet.
    response.term = request.term
    raft.send(response)
    if (isPreVote) return
    raft.electionElapsed = 0
    raft.vote = request.from
    return
  }
  rejectVote(raft, request)
  maybeCommitByVote(raft, request)
}

/** Also tells our term, so that a candidate that fell behind catches up with it. */
export function rejectVote(raft: Raft, request: Message): void {
  const response = voteResponse(request)
  response.term = raft.term
  response.reject = true
  if (raft.config.commitByVote) tellCommit(raft, response)
  raft.send(response)
}

/**
 * What a peer that is gone has to say to a member that asks for its vote: none, but which entry it
 * applied last. That may be the very one by which the candidate would need it no longer.
 */
export function rejectVoteOfGone(
  request: Message,
  gone: PeerId,
  applied: { readonly index: LogIndex; readonly term: Term },
): Message {
  const response = voteResponse(request)
  const isPreVote = request.type === MessageType.RequestPreVote
  response.from = gone
  // It has no term any more, so that of the candidate; a pre-vote asks about the next one.
  response.term = isPreVote ? request.term - 1 : request.term
  response.reject = true
  response.commit = applied.index
  response.commitTerm = applied.term
  return response
}

function voteResponse(request: Message): Message {
  const isPreVote = request.type === MessageType.RequestPreVote
  const type = isPreVote ? MessageType.RequestPreVoteResponse : MessageType.RequestVoteResponse
  return newMessage(type, request.from)
}

function tellCommit(raft: Raft, message: Message): void {
  const term = raft.log.term(raft.log.commit)
  if (typeof term !== 'number') return
  message.commit = raft.log.commit
  message.commitTerm = term
}

/** A peer told what it knows to be committed: if we have that very entry, so do we know it. */
function maybeCommitByVote(raft: Raft, message: Message): void {
  const { commit, commitTerm } = message
  if (!raft.config.commitByVote || commitTerm === 0 || raft.role === StateRole.Leader) return
  if (commit <= raft.log.commit || !raft.log.matches(commit, commitTerm)) return
  raft.log.commitTo(commit)
  // The membership it campaigns in may just have been changed.
  if (raft.role !== StateRole.Follower && hasUnappliedConfChange(raft.log)) {
    raft.becomeFollower(raft.term, NO_ID)
  }
}
