/** Making and classifying messages. Every message is made here, so that all share one hidden class. */
import { EMPTY_BYTES } from '../base/bytes.ts'
import { NO_ID, type PeerId } from '../base/ids.ts'
import { type Entry, type Message, MessageType } from './types.ts'

export const NO_ENTRIES: readonly Entry[] = Object.freeze([])

/** Context of a vote request that was ordered by the leader: voters ignore its lease. */
export const TRANSFER_CONTEXT: Uint8Array = Buffer.from('CampaignTransfer')

/** `from` and `term` are filled in when it is sent. */
export function newMessage(type: MessageType, to: PeerId): Message {
  return {
    type,
    to,
    from: NO_ID,
    term: 0,
    logTerm: 0,
    index: 0,
    entries: NO_ENTRIES,
    commit: 0,
    commitTerm: 0,
    snapshot: undefined,
    reject: false,
    rejectHint: 0,
    requestSnapshot: 0,
    context: EMPTY_BYTES,
  }
}

/** Messages that a node tells itself; they are refused when they come from outside. */
export function isLocalMessage(type: MessageType): boolean {
  return (
    type === MessageType.Hup ||
    type === MessageType.Beat ||
    type === MessageType.Unreachable ||
    type === MessageType.SnapStatus ||
    type === MessageType.CheckQuorum
  )
}

/** Answers, which mean nothing when they come from outside the membership. */
export function isResponse(type: MessageType): boolean {
  return (
    type === MessageType.AppendResponse ||
    type === MessageType.RequestVoteResponse ||
    type === MessageType.RequestPreVoteResponse ||
    type === MessageType.HeartbeatResponse
  )
}

/** Questions for a vote, or whether there would be one. */
export function isVoteRequest(type: MessageType): boolean {
  return type === MessageType.RequestVote || type === MessageType.RequestPreVote
}

/**
 * What may leave only after everything promised before it is on disk: acknowledgements, votes, and
 * requests for votes (a request names a log and a term that must survive a crash).
 */
export function mustFollowPersistence(type: MessageType): boolean {
  return (
    type === MessageType.AppendResponse ||
    type === MessageType.RequestVoteResponse ||
    type === MessageType.RequestPreVoteResponse ||
    type === MessageType.RequestVote
  )
}

/** Bytes that the entries carry. */
export function payloadBytes(entries: readonly Entry[]): number {
  let bytes = 0
  for (let i = 0; i < entries.length; i++) bytes += entries[i]!.data.length
  return bytes
}
