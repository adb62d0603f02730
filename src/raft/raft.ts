/**
 * The state of one raft replica and the transitions that all roles share. What each role does with
 * a message lives beside it: election, follower, leader, replication, membership; step dispatches.
 *
 * INVARIANTS
 * - The term never falls; at most one vote is given in a term.
 * - Only a leader holds a tracker and pending reads; only a candidate counts votes.
 * - Messages leave through `messages` (at once) or `persistedMessages` (once all is durable).
 */
import { assert } from '../base/assert.ts'
import type { Random } from '../base/clock.ts'
import { type LogIndex, NO_ID, type PeerId, type Term } from '../base/ids.ts'
import { withItem } from '../base/lazy-list.ts'
import { isVoter, type Membership } from './confchange/membership.ts'
import { restoreMembership } from './confchange/restore.ts'
import type { RaftConfig } from './config.ts'
import { Log } from './log.ts'
import { mustFollowPersistence } from './message.ts'
import { ReadIndex } from './read-index.ts'
import { StateTrace } from './state-trace.ts'
import type { RaftStorage } from './storage.ts'
import type { RaftLogger, TraceWriter } from './trace.ts'
import { Tracker } from './tracker/tracker.ts'
import { type Message, MessageType, ReadOnlyOption, type ReadState, StateRole } from './types.ts'

export class Raft {
  readonly config: RaftConfig
  readonly id: PeerId
  readonly log: Log
  readonly random: Random
  readonly trace: RaftLogger | undefined
  readonly events: StateTrace | undefined

  term: Term
  /** Latest term that a crash cannot take away. */
  durableTerm: Term
  vote: PeerId
  role: StateRole = StateRole.Follower
  leaderId: PeerId = NO_ID
  membership: Membership

  /** Ticks since this node started: the time base of lease-based reads. */
  ticks = 0
  /** Follower, candidate: since the leader was heard or a vote given. Leader: since the last quorum check. */
  electionElapsed = 0
  heartbeatElapsed = 0
  electionTimeout: number
  /**
   * Ticks for which no vote is given because, before a restart, a leader may have been promised so.
   * A leader's lease must survive the restart of its followers.
   */
  voteLockTicks: number

  /** Candidate: who answered what. */
  votes: Map<PeerId, boolean> | undefined = undefined
  /** Follower: it wants a snapshot though the log would do. */
  wantsSnapshot = false

  // The leader's state.
  tracker: Tracker | undefined = undefined
  reads: ReadIndex | undefined = undefined
  /** First index of this leader's term. */
  termStartIndex: LogIndex = 0
  /** No further membership change is proposed before this index is applied. */
  pendingConfIndex: LogIndex = 0
  uncommittedBytes = 0
  leadTransferee: PeerId = NO_ID
  /** A vote that ignores leases may be under way for the rest of this term. */
  timeoutNowSent = false
  /** Followers learn the commit index with later messages only. */
  skipCommitBroadcast = false

  // Undefined while empty: thousands of groups have nothing to say, or say one thing at a time.
  messages: Message[] | undefined = undefined
  persistedMessages: Message[] | undefined = undefined
  readStates: ReadState[] | undefined = undefined

  constructor(
    config: RaftConfig,
    storage: RaftStorage,
    random: Random,
    trace: RaftLogger | undefined,
    writer: TraceWriter | undefined,
  ) {
    mustBeSound(config)
    const { hardState, confState } = storage.initialState()
    this.config = config
    this.id = config.id
    this.random = random
    this.trace = trace
    this.events = writer === undefined ? undefined : new StateTrace(writer)
    this.log = new Log(storage, hardState.commit, config.applied)
    // A log may start one term ahead of its node (a bootstrap image); a candidate catches up with it.
    assert(
      hardState.term >= this.log.lastTerm - 1,
      `term ${hardState.term} is behind the log's last term ${this.log.lastTerm}`,
    )
    this.term = hardState.term
    this.durableTerm = hardState.term
    this.vote = hardState.vote
    this.membership = restoreMembership(confState)
    this.electionTimeout = config.electionTick + random.below(config.electionTick)
    this.voteLockTicks = config.checkQuorum && hardState.term > 0 ? config.electionTick : 0
    this.events?.onNode(this, 'InitState')
    this.events?.onNode(this, 'BecomeFollower')
  }

  /** It may campaign: a voter whose log is not about to be replaced. */
  get isPromotable(): boolean {
    return this.log.pendingSnapshot === 0 && isVoter(this.membership, this.id)
  }

  /** It promised a leader, perhaps before a restart, not to vote now. */
  get isVoteLocked(): boolean {
    if (this.voteLockTicks > 0) return true
    return (
      this.config.checkQuorum &&
      this.leaderId !== NO_ID &&
      this.electionElapsed < this.config.electionTick
    )
  }

  /** A leader that knows all that its predecessors committed. */
  get committedToCurrentTerm(): boolean {
    return this.role === StateRole.Leader && this.log.commit >= this.termStartIndex
  }

  becomeFollower(term: Term, leaderId: PeerId): void {
    const { wantsSnapshot } = this
    this.#reset(term)
    this.wantsSnapshot = wantsSnapshot
    this.role = StateRole.Follower
    this.leaderId = leaderId
    this.trace?.info({ id: this.id, term, leaderId }, 'became follower')
    this.events?.onNode(this, 'BecomeFollower')
  }

  /** The term stays: a pre-vote changes nothing that must be durable. */
  becomePreCandidate(): void {
    assert(this.role !== StateRole.Leader, 'a leader does not campaign')
    this.role = StateRole.PreCandidate
    this.leaderId = NO_ID
    this.votes = new Map()
    this.trace?.info({ id: this.id, term: this.term }, 'became pre-candidate')
  }

  becomeCandidate(): void {
    assert(this.role !== StateRole.Leader, 'a leader does not campaign')
    this.#reset(this.term + 1)
    this.vote = this.id
    this.role = StateRole.Candidate
    this.votes = new Map()
    this.trace?.info({ id: this.id, term: this.term }, 'became candidate')
    this.events?.onNode(this, 'BecomeCandidate')
  }

  /** The part of taking office that concerns state; `leader` appends the first entry. */
  becomeLeader(): void {
    assert(this.role === StateRole.Candidate, 'only a candidate is elected')
    this.#reset(this.term)
    this.role = StateRole.Leader
    this.leaderId = this.id
    this.tracker = new Tracker(this.config.maxInflightMsgs, this.config.maxInflightBytes)
    this.tracker.reconcile(this.membership, this.log.lastIndex + 1, false)
    this.reads = new ReadIndex()
    this.pendingConfIndex = this.log.lastIndex
    this.termStartIndex = this.log.lastIndex + 1
    this.trace?.info({ id: this.id, term: this.term }, 'became leader')
    this.events?.onNode(this, 'BecomeLeader')
  }

  #reset(term: Term): void {
    assert(term >= this.term, `the term ${this.term} never falls, not to ${term}`)
    if (this.term !== term) {
      this.term = term
      this.vote = NO_ID
    }
    this.leaderId = NO_ID
    this.electionElapsed = 0
    this.heartbeatElapsed = 0
    this.electionTimeout = this.config.electionTick + this.random.below(this.config.electionTick)
    this.votes = undefined
    this.wantsSnapshot = false
    this.tracker = undefined
    this.reads = undefined
    this.termStartIndex = 0
    this.pendingConfIndex = 0
    this.uncommittedBytes = 0
    this.leadTransferee = NO_ID
    this.timeoutNowSent = false
  }

  /**
   * Queues a message. Votes carry the term that their sender chose; what is forwarded to a leader
   * carries none, so that it counts as the leader's own request; all else carries the current term.
   */
  send(message: Message): void {
    if (message.from === NO_ID) message.from = this.id
    assert(message.to !== this.id && message.to !== NO_ID, 'a message goes to another peer')
    const { type } = message
    if (message.term === 0 && type !== MessageType.Propose && type !== MessageType.ReadIndex) {
      message.term = this.term
    }
    this.events?.onSend(this, message)
    if (this.#waitsForDisk(type)) {
      this.persistedMessages = withItem(this.persistedMessages, message)
    } else this.messages = withItem(this.messages, message)
  }

  addReadState(state: ReadState): void {
    this.readStates = withItem(this.readStates, state)
  }

  /**
   * A heartbeat's answer also promises not to vote against this leader for a while, which after a
   * restart only a node remembers that knows the term.
   */
  #waitsForDisk(type: MessageType): boolean {
    if (type === MessageType.HeartbeatResponse) return this.term !== this.durableTerm
    return mustFollowPersistence(type)
  }
}

function mustBeSound(config: RaftConfig): void {
  assert(config.id !== NO_ID, 'a peer has an id')
  assert(config.heartbeatTick > 0, 'heartbeats come every so many ticks')
  assert(config.electionTick > config.heartbeatTick, 'heartbeats come more often than elections')
  assert(
    config.readOnlyOption === ReadOnlyOption.Safe || config.checkQuorum,
    'lease-based reads rest on checkQuorum',
  )
}
