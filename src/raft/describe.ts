/**
 * Raft's objects as text for people and tests, in the notation that public raft test scripts use.
 * Peer ids are hexadecimal.
 */
import { asBuffer } from '../base/bytes.ts'
import type { PeerId } from '../base/ids.ts'
import { decodeConfChange } from './conf-change-codec.ts'
import type { Membership } from './confchange/membership.ts'
import type { LeaderStatus, ProgressStatus, Status } from './status.ts'
import { ProgressState } from './tracker/progress.ts'
import {
  type ConfChangeSingle,
  ConfChangeType,
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  type Message,
  MessageType,
  type ReadState,
  type Snapshot,
  type SoftState,
  StateRole,
} from './types.ts'

const MESSAGE_NAMES: Readonly<Record<MessageType, string>> = {
  [MessageType.Hup]: 'MsgHup',
  [MessageType.Beat]: 'MsgBeat',
  [MessageType.Propose]: 'MsgProp',
  [MessageType.Append]: 'MsgApp',
  [MessageType.AppendResponse]: 'MsgAppResp',
  [MessageType.RequestVote]: 'MsgVote',
  [MessageType.RequestVoteResponse]: 'MsgVoteResp',
  [MessageType.Snapshot]: 'MsgSnap',
  [MessageType.Heartbeat]: 'MsgHeartbeat',
  [MessageType.HeartbeatResponse]: 'MsgHeartbeatResp',
  [MessageType.Unreachable]: 'MsgUnreachable',
  [MessageType.SnapStatus]: 'MsgSnapStatus',
  [MessageType.CheckQuorum]: 'MsgCheckQuorum',
  [MessageType.TransferLeader]: 'MsgTransferLeader',
  [MessageType.TimeoutNow]: 'MsgTimeoutNow',
  [MessageType.ReadIndex]: 'MsgReadIndex',
  [MessageType.ReadIndexResp]: 'MsgReadIndexResp',
  [MessageType.RequestPreVote]: 'MsgPreVote',
  [MessageType.RequestPreVoteResponse]: 'MsgPreVoteResp',
  [MessageType.ForgetLeader]: 'MsgForgetLeader',
}

const ROLE_NAMES: Readonly<Record<StateRole, string>> = {
  [StateRole.Follower]: 'StateFollower',
  [StateRole.Candidate]: 'StateCandidate',
  [StateRole.Leader]: 'StateLeader',
  [StateRole.PreCandidate]: 'StatePreCandidate',
}

const STATE_NAMES: Readonly<Record<ProgressState, string>> = {
  [ProgressState.Probe]: 'StateProbe',
  [ProgressState.Replicate]: 'StateReplicate',
  [ProgressState.Snapshot]: 'StateSnapshot',
}

const ENTRY_NAMES: Readonly<Record<EntryType, string>> = {
  [EntryType.Normal]: 'EntryNormal',
  [EntryType.ConfChange]: 'EntryConfChange',
  [EntryType.ConfChangeV2]: 'EntryConfChangeV2',
}

const CHANGE_LETTERS: Readonly<Record<ConfChangeType, string>> = {
  [ConfChangeType.AddNode]: 'v',
  [ConfChangeType.AddLearnerNode]: 'l',
  [ConfChangeType.RemoveNode]: 'r',
  [ConfChangeType.UpdateNode]: 'u',
}

export function messageName(type: MessageType): string {
  return MESSAGE_NAMES[type]
}

export function describeRole(role: StateRole): string {
  return ROLE_NAMES[role]
}

/** `v1 l2 r3`. */
export function describeChanges(changes: readonly ConfChangeSingle[]): string {
  return changes.map(({ type, nodeId }) => `${CHANGE_LETTERS[type]}${nodeId}`).join(' ')
}

/** `term/index type data`. */
export function describeEntry(entry: Entry): string {
  const data =
    entry.type === EntryType.Normal
      ? JSON.stringify(asBuffer(entry.data).toString('latin1'))
      : describeChanges(decodeConfChange(entry).changes)
  const head = `${entry.term}/${entry.index} ${ENTRY_NAMES[entry.type]}`
  return data === '' ? head : `${head} ${data}`
}

function list(ids: readonly PeerId[]): string {
  return ids.join(' ')
}

export function describeConfState(state: ConfState): string {
  return (
    `Voters:[${list(state.voters)}] VotersOutgoing:[${list(state.votersOutgoing)}] ` +
    `Learners:[${list(state.learners)}] LearnersNext:[${list(state.learnersNext)}] ` +
    `AutoLeave:${state.autoLeave}`
  )
}

/** `voters=(1 2)&&(1) learners=(3) autoleave`. */
export function describeMembership(membership: Membership): string {
  let text = `voters=(${list(membership.voters)})`
  if (membership.outgoing.length > 0) text += `&&(${list(membership.outgoing)})`
  if (membership.learners.length > 0) text += ` learners=(${list(membership.learners)})`
  if (membership.learnersNext.length > 0) {
    text += ` learners_next=(${list(membership.learnersNext)})`
  }
  return membership.autoLeave ? `${text} autoleave` : text
}

export function describeSnapshot({ metadata }: Snapshot): string {
  const confState = describeConfState(metadata.confState)
  return `Index:${metadata.index} Term:${metadata.term} ConfState:${confState}`
}

export function describeHardState(state: HardState): string {
  const vote = state.vote === 0 ? '' : ` Vote:${state.vote}`
  return `Term:${state.term}${vote} Commit:${state.commit}`
}

export function describeSoftState(state: SoftState): string {
  return `Lead:${state.leaderId} State:${ROLE_NAMES[state.role]}`
}

/** Reads with this context may run at this index. */
export function describeReadState({ index, context }: ReadState): string {
  return `Index:${index} Context:${JSON.stringify(asBuffer(context).toString('latin1'))}`
}

/** One line; several entries, or a snapshot, take lines of their own. */
export function describeMessage(message: Message): string {
  const { entries, snapshot } = message
  let text = `${message.from.toString(16)}->${message.to.toString(16)}`
  text += ` ${MESSAGE_NAMES[message.type]} Term:${message.term}`
  text += ` Log:${message.logTerm}/${message.index}`
  if (message.reject) text += ` Rejected (Hint: ${message.rejectHint})`
  if (message.commit !== 0) text += ` Commit:${message.commit}`
  if (entries.length === 1) text += ` Entries:[${describeEntry(entries[0]!)}]`
  else if (entries.length > 1) {
    text += ` Entries:[\n${entries.map((entry) => `  ${describeEntry(entry)}\n`).join('')}]`
  }
  if (snapshot !== undefined) text += `\n  Snapshot: ${describeSnapshot(snapshot)}`
  return text
}

export function describeProgress(progress: ProgressStatus): string {
  let text = `${STATE_NAMES[progress.state]} match=${progress.match} next=${progress.next}`
  if (progress.isLearner) text += ' learner'
  if (progress.isPaused) text += ' paused'
  if (progress.pendingSnapshot > 0) text += ` pendingSnap=${progress.pendingSnapshot}`
  if (!progress.recentActive) text += ' inactive'
  if (progress.inflight > 0) {
    text += ` inflight=${progress.inflight}${progress.inflightIsFull ? '[full]' : ''}`
  }
  return text
}

/** Several lines: the replica, its membership, and what it knows of each member. */
export function describeStatus(status: Status): string {
  const { log, leader } = status
  const head =
    `${status.id}: ${ROLE_NAMES[status.role]} Term:${status.term} Vote:${status.vote} ` +
    `Lead:${status.leaderId}${status.isVoteLocked ? ' promised' : ''}`
  const indexes =
    `log ${log.first}..${log.last} persisted=${log.persisted} commit=${log.commit} ` +
    `handedOut=${log.handedOut} applied=${log.applied}` +
    (log.pendingSnapshot > 0 ? ` pendingSnap=${log.pendingSnapshot}` : '')
  const lines = [head, indexes, describeConfState(status.confState)]
  if (leader !== undefined) {
    lines.push(describeLeader(leader))
    for (const progress of leader.progress) {
      lines.push(`${progress.id}: ${describeProgress(progress)}`)
    }
  }
  return lines.join('\n')
}

function describeLeader(leader: LeaderStatus): string {
  let text = `leads from ${leader.termStartIndex}, uncommitted ${leader.uncommittedBytes} bytes`
  if (leader.waitingReads > 0) text += `, ${leader.waitingReads} reads wait`
  if (leader.hasPendingConfChange) text += `, membership change at ${leader.pendingConfIndex}`
  if (leader.leadTransferee > 0) text += `, hands over to ${leader.leadTransferee}`
  return leader.inLease ? `${text}, in lease` : text
}
