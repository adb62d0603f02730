/**
 * The trace of states that raft trace validation reads: one JSON object a line, in the form that
 * etcd-io/raft's TLA+ trace specification takes.
 *
 *   {"tag":"trace","event":{"name":…,"nid":"1","state":{"term":2,"vote":"1","commit":11},
 *    "role":"StateLeader","log":12,"conf":[["1","2","3"],[]],"msg":{…},"prop":{…}}}
 *
 * An event shows the state before what it announces (Replicate, ApplyConfChange, a message received)
 * or after it (Become…, Commit). A candidate's vote for itself and a leader's copy of its own entries
 * are told as messages to itself, received when they are durable. Heartbeats and snapshots are kinds
 * of appends here; a snapshot's index stands in `entries`. Pre-votes and reads are left out: the
 * specification knows neither, so a trace for it is taken with preVote off.
 *
 * Differences: InitState shows the stored state at once; Commit is told only when the index moved;
 * own acknowledgements of several writes that became durable together are received as one; votes
 * carry a commit index where commitByVote is on.
 */
import { decodeConfChange } from './conf-change-codec.ts'
import type { Membership } from './confchange/membership.ts'
import { describeRole, messageName } from './describe.ts'
import { newMessage } from './message.ts'
import type { Raft } from './raft.ts'
import type { TraceWriter } from './trace.ts'
import {
  ConfChangeType,
  type ConfChangeV2,
  type Entry,
  EntryType,
  type Message,
  MessageType,
} from './types.ts'

type NodeEvent =
  | 'InitState'
  | 'BecomeFollower'
  | 'BecomeCandidate'
  | 'BecomeLeader'
  | 'Commit'
  | 'Replicate'
  | 'Ready'

/** What a message is called behind `Send` and `Receive`; others are not traced. */
const MESSAGE_EVENTS: Readonly<Partial<Record<MessageType, string>>> = {
  [MessageType.Append]: 'AppendEntriesRequest',
  [MessageType.Heartbeat]: 'AppendEntriesRequest',
  [MessageType.Snapshot]: 'AppendEntriesRequest',
  [MessageType.AppendResponse]: 'AppendEntriesResponse',
  [MessageType.HeartbeatResponse]: 'AppendEntriesResponse',
  [MessageType.RequestVote]: 'RequestVoteRequest',
  [MessageType.RequestVoteResponse]: 'RequestVoteResponse',
}

const ACTIONS: Readonly<Partial<Record<ConfChangeType, string>>> = {
  [ConfChangeType.AddNode]: 'AddNewServer',
  [ConfChangeType.RemoveNode]: 'RemoveServer',
  [ConfChangeType.AddLearnerNode]: 'AddLearner',
}

export class StateTrace {
  readonly #writer: TraceWriter

  constructor(writer: TraceWriter) {
    this.#writer = writer
  }

  onNode(raft: Raft, name: NodeEvent): void {
    this.#write(raft, name, undefined, undefined)
  }

  onSend(raft: Raft, message: Message): void {
    const name = MESSAGE_EVENTS[message.type]
    if (name === undefined) return
    const own = message.type === MessageType.Append ? raft.tracker?.get(raft.id) : undefined
    const prop = own === undefined ? undefined : { match: own.match, next: own.next }
    this.#write(raft, `Send${name}`, message, prop)
  }

  onReceive(raft: Raft, message: Message): void {
    const name = MESSAGE_EVENTS[message.type]
    if (name !== undefined) this.#write(raft, `Receive${name}`, message, undefined)
  }

  /** The candidate votes for itself; it counts when it is durable. */
  onOwnVote(raft: Raft, isDurable: boolean): void {
    const vote = toItself(raft, MessageType.RequestVoteResponse)
    if (isDurable) this.onReceive(raft, vote)
    else this.onSend(raft, vote)
  }

  /** The leader has its own entries up to `index`; they count when they are durable. */
  onOwnEntries(raft: Raft, index: number, isDurable: boolean): void {
    const acknowledgement = toItself(raft, MessageType.AppendResponse)
    acknowledgement.index = index
    if (isDurable) this.onReceive(raft, acknowledgement)
    else this.onSend(raft, acknowledgement)
  }

  /** The leader is about to append an entry of its own. */
  onPropose(raft: Raft, entry: Entry): void {
    if (entry.type === EntryType.Normal) this.onNode(raft, 'Replicate')
    else this.#onConfChange(raft, decodeConfChange(entry))
  }

  #onConfChange(raft: Raft, change: ConfChangeV2): void {
    const changes = change.changes
      .filter(({ type }) => ACTIONS[type] !== undefined)
      .map(({ type, nodeId }) => ({ nid: String(nodeId), action: ACTIONS[type] }))
    if (changes.length > 0) this.#write(raft, 'ChangeConf', undefined, { cc: { changes } })
  }

  /** The node is about to go by another membership. */
  onMembership(raft: Raft, { voters }: Membership): void {
    const cc = voters.length === 0 ? {} : { newconf: voters.map(String) }
    this.#write(raft, 'ApplyConfChange', undefined, { cc })
  }

  #write(raft: Raft, name: string, message: Message | undefined, prop: object | undefined): void {
    const { term, vote, log, membership } = raft
    // What is undefined is left out of the line.
    const event = {
      name,
      nid: String(raft.id),
      state: { term, vote: String(vote), commit: log.commit },
      role: describeRole(raft.role),
      log: log.lastIndex,
      conf: [membership.voters.map(String), membership.outgoing.map(String)],
      msg: message === undefined ? undefined : messageFields(message),
      prop,
    }
    this.#writer.write(JSON.stringify({ tag: 'trace', event }))
  }
}

function toItself(raft: Raft, type: MessageType): Message {
  const message = newMessage(type, raft.id)
  message.from = raft.id
  message.term = raft.term
  return message
}

function messageFields(message: Message): object {
  const { snapshot } = message
  return {
    type: messageName(message.type),
    term: message.term,
    from: String(message.from),
    to: String(message.to),
    entries: snapshot === undefined ? message.entries.length : snapshot.metadata.index,
    logTerm: message.logTerm,
    index: message.index,
    commit: message.commit,
    vote: '0',
    reject: message.reject,
    rejectHint: message.rejectHint,
  }
}
