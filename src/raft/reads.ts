/** A leader's and a follower's handling of read-index requests; the rules are in read-index. */
import { EMPTY_BYTES } from '../base/bytes.ts'
import { type LogIndex, NO_ID, type PeerId } from '../base/ids.ts'
import { newMessage } from './message.ts'
import type { Raft } from './raft.ts'
import { decodeRound } from './read-index.ts'
import { broadcastHeartbeat } from './replication.ts'
import type { Progress } from './tracker/progress.ts'
import { type Message, MessageType, ReadOnlyOption, StateRole } from './types.ts'

/**
 * Nobody else can have been elected, as far as this leader may rely on its followers' promises. With
 * lease-based reads that includes the time: the lease covers this very tick. Without, the caller
 * measures the time since a quorum answered by a clock of its own.
 */
export function inLease(raft: Raft): boolean {
  if (!raft.committedToCurrentTerm || !raft.config.checkQuorum) return false
  // A campaign that the leader ordered ignores leases, however late it comes.
  if (raft.timeoutNowSent || raft.leadTransferee !== NO_ID) return false
  if (raft.config.readOnlyOption === ReadOnlyOption.Safe) return true
  return isAlone(raft) || raft.reads!.holdsLease(raft.ticks, raft.config.electionTick)
}

/** A request that reached the leader; `from` 0 = its own. */
export function onReadRequest(raft: Raft, from: PeerId, context: Uint8Array): void {
  const reads = raft.reads!
  if (!raft.committedToCurrentTerm) {
    reads.postponed.push({ from, context })
    return
  }
  const leased = raft.config.readOnlyOption === ReadOnlyOption.LeaseBased && inLease(raft)
  if (leased || isAlone(raft)) answer(raft, from, context, raft.log.commit)
  else reads.add(from, context, raft.log.commit)
}

/** The only voter: nobody else could have been elected. */
function isAlone(raft: Raft): boolean {
  const { voters, outgoing } = raft.membership
  return voters.length === 1 && outgoing.length === 0 && voters[0] === raft.id
}

/** The leader committed in its own term for the first time. */
export function onCommittedToTerm(raft: Raft): void {
  for (const { from, context } of raft.reads!.postponed.splice(0)) {
    onReadRequest(raft, from, context)
  }
}

/** Starts the round that waiting reads need. */
export function maybeStartRound(raft: Raft): void {
  if (raft.reads?.roundWanted !== true) return
  broadcastHeartbeat(raft, startRound(raft))
  answerConfirmedReads(raft)
}

/** The context of heartbeats that are due: lost rounds are repeated, leases renewed. */
export function heartbeatContext(raft: Raft): Uint8Array {
  const reads = raft.reads!
  const isWanted =
    reads.pending.length > 0 || raft.config.readOnlyOption === ReadOnlyOption.LeaseBased
  return isWanted ? startRound(raft) : EMPTY_BYTES
}

function startRound(raft: Raft): Uint8Array {
  const context = raft.reads!.startRound(raft.ticks)
  const own = raft.tracker!.get(raft.id)
  if (own !== undefined) own.ackedRound = raft.reads!.round
  return context
}

/** A follower answered a heartbeat. */
export function onRoundAnswered(raft: Raft, progress: Progress, context: Uint8Array): void {
  const round = decodeRound(context)
  if (round <= progress.ackedRound) return
  progress.ackedRound = round
  answerConfirmedReads(raft)
}

/** To be called whenever a round may have found its quorum: by an answer, or by a new membership. */
export function answerConfirmedReads(raft: Raft): void {
  for (const read of raft.reads!.takeConfirmed(raft.tracker!.confirmedRound())) {
    answer(raft, read.from, read.context, read.index)
  }
}

function answer(raft: Raft, from: PeerId, context: Uint8Array, index: LogIndex): void {
  if (from === NO_ID || from === raft.id) {
    raft.addReadState({ index, context })
    return
  }
  const message = newMessage(MessageType.ReadIndexResp, from)
  message.index = index
  message.context = context
  raft.send(message)
}

/** This node wants to read. False when there is no leader to ask. */
export function requestRead(raft: Raft, context: Uint8Array): boolean {
  if (raft.role === StateRole.Leader) {
    onReadRequest(raft, NO_ID, context)
    return true
  }
  if (raft.leaderId === NO_ID) return false
  const request = newMessage(MessageType.ReadIndex, raft.leaderId)
  request.context = context
  raft.send(request)
  return true
}

/** The leader answered our request. */
export function onReadResponse(raft: Raft, message: Message): void {
  raft.addReadState({ index: message.index, context: message.context })
}
