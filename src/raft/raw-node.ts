/**
 * One raft replica as its owner drives it: messages, ticks and proposals in, readies out.
 *
 *   step / tick / propose … ─▶ hasReady ─▶ ready() ─▶ write it to storage ─▶ advanceAppendAsync(ready)
 *                                                          │ durable            └─▶ next ready …
 *                                                          └─▶ onPersistReady(number)
 *
 * RULES
 * - Between ready() and advanceAppend…(ready) nothing else is called, and storage already answers
 *   with the ready's entries, hard state and snapshot when it is advanced, durable or not.
 * - Nothing blocks. Refusals are returned; what throws is a broken invariant.
 */
import { assert } from '../base/assert.ts'
import type { Random } from '../base/clock.ts'
import type { LogIndex, PeerId, ReadyNumber, Term } from '../base/ids.ts'
import { encodeConfChangeV1, encodeConfChangeV2 } from './conf-change-codec.ts'
import { toConfState } from './confchange/membership.ts'
import type { RaftConfig } from './config.ts'
import { maybeCampaign, onVotePersisted } from './election.ts'
import { requestSnapshot } from './follower.ts'
import {
  type ConfChangeRefusal,
  maybeAutoLeave,
  onCommittedTaken,
  onTransferLeader,
  type ProposeRefusal,
  propose,
  refuseConfChange,
} from './leader.ts'
import { applyConfChange } from './membership.ts'
import { NO_ENTRIES, newMessage } from './message.ts'
import { Raft } from './raft.ts'
import { inLease, maybeStartRound, requestRead } from './reads.ts'
import type { LightReady, Ready } from './ready.ts'
import {
  onEntriesFetched,
  onOwnEntriesPersisted,
  onSnapshotStatus,
  onUnreachable,
} from './replication.ts'
import { type Status, statusOf } from './status.ts'
import { forgetLeader, type StepResult, step, tick } from './step.ts'
import type { RaftStorage, Unavailable } from './storage.ts'
import type { RaftLogger, TraceWriter } from './trace.ts'
import type { Progress } from './tracker/progress.ts'
import {
  type ConfChangeV2,
  type ConfState,
  type Entry,
  EntryType,
  type HardState,
  type Message,
  MessageType,
  ReadOnlyOption,
  type ReadState,
  type SoftState,
  StateRole,
} from './types.ts'

export type { StepResult } from './step.ts'

export type ProposeResult =
  | 'ok'
  | 'no-leader'
  /** There is a leader, but proposals are not forwarded to it. */
  | 'not-leader'
  | ProposeRefusal
export type ConfChangeResult = ProposeResult | ConfChangeRefusal

const NO_MESSAGES: readonly Message[] = Object.freeze([])
const NO_READS: readonly ReadState[] = Object.freeze([])
const UNLIMITED = Number.MAX_SAFE_INTEGER

export class RawNode {
  readonly #raft: Raft
  #readyNumber: ReadyNumber = 0
  /** A ready was taken and not advanced over. */
  #readyIsOut = false
  // What the last ready told.
  #leaderId: PeerId
  #role: StateRole
  #term: Term
  #vote: PeerId
  #commit: LogIndex

  constructor(
    config: RaftConfig,
    storage: RaftStorage,
    random: Random,
    trace?: RaftLogger,
    writer?: TraceWriter,
  ) {
    const raft = new Raft(config, storage, random, trace, writer)
    const { hardState } = storage.initialState()
    this.#raft = raft
    this.#leaderId = raft.leaderId
    this.#role = raft.role
    this.#term = hardState.term
    this.#vote = hardState.vote
    // What applying or a snapshot proved committed beyond the stored hard state is no news to tell.
    this.#commit = raft.log.commit
  }

  /** True when there may be a ready. */
  tick(): boolean {
    this.#mustBeAdvanced()
    return tick(this.#raft)
  }

  /**
   * Campaigns out of turn. Not while this node owes a leader the lease that lease-based reads rest
   * on: its own vote would break the promise. With safe reads that is up to the caller, should it
   * keep a lease by a clock of its own.
   */
  campaign(): 'ok' | 'lease' {
    this.#mustBeAdvanced()
    const raft = this.#raft
    if (raft.config.readOnlyOption === ReadOnlyOption.LeaseBased && raft.isVoteLocked)
      return 'lease'
    maybeCampaign(raft, false)
    return 'ok'
  }

  propose(data: Uint8Array): ProposeResult {
    return this.#propose(EntryType.Normal, data)
  }

  /** A refusal of the local leader is told; one of a leader elsewhere becomes an empty entry. */
  proposeConfChange(change: ConfChangeV2, v1 = false): ConfChangeResult {
    const raft = this.#raft
    if (raft.role === StateRole.Leader) {
      const refusal = refuseConfChange(raft, change)
      if (refusal !== undefined) return refusal
    }
    return v1
      ? this.#propose(EntryType.ConfChange, encodeConfChangeV1(change))
      : this.#propose(EntryType.ConfChangeV2, encodeConfChangeV2(change))
  }

  #propose(type: EntryType, data: Uint8Array): ProposeResult {
    this.#mustBeAdvanced()
    const raft = this.#raft
    if (raft.role === StateRole.Leader) return propose(raft, type, data)
    if (raft.leaderId === 0) return 'no-leader'
    if (raft.config.disableProposalForwarding) return 'not-leader'
    const message = newMessage(MessageType.Propose, raft.leaderId)
    message.entries = [{ index: 0, term: 0, type, data }]
    raft.send(message)
    return 'ok'
  }

  /**
   * To be called for each membership change among the applied entries, in their order; but not for
   * one below `firstIndex`, which a snapshot has overtaken meanwhile and its membership contains.
   */
  applyConfChange(change: ConfChangeV2): ConfState {
    this.#mustBeAdvanced()
    return applyConfChange(this.#raft, change)
  }

  step(message: Message): StepResult {
    this.#mustBeAdvanced()
    return step(this.#raft, message)
  }

  /** The answer comes as a read state with the same context, or never when leadership changes. */
  readIndex(context: Uint8Array): 'ok' | 'no-leader' {
    this.#mustBeAdvanced()
    return requestRead(this.#raft, context) ? 'ok' : 'no-leader'
  }

  transferLeader(to: PeerId): void {
    this.#mustBeAdvanced()
    const raft = this.#raft
    const progress = raft.tracker?.get(to)
    if (progress !== undefined) onTransferLeader(raft, progress)
    else if (raft.role !== StateRole.Leader && raft.leaderId !== 0) {
      const message = newMessage(MessageType.TransferLeader, raft.leaderId)
      message.from = to
      raft.send(message)
    }
  }

  forgetLeader(): void {
    this.#mustBeAdvanced()
    forgetLeader(this.#raft)
  }

  reportUnreachable(id: PeerId): void {
    const progress = this.#raft.tracker?.get(id)
    if (progress !== undefined) onUnreachable(progress)
  }

  reportSnapshot(id: PeerId, ok: boolean): void {
    const progress = this.#raft.tracker?.get(id)
    if (progress !== undefined) onSnapshotStatus(progress, !ok)
  }

  /** Asks the leader for a snapshot though the log would do. */
  requestSnapshot(): 'ok' | 'dropped' {
    this.#mustBeAdvanced()
    return requestSnapshot(this.#raft) ? 'ok' : 'dropped'
  }

  /** @hot */
  hasReady(): boolean {
    const raft = this.#raft
    const { log } = raft
    return (
      raft.messages !== undefined ||
      raft.persistedMessages !== undefined ||
      log.unstable.length > 0 ||
      log.hasCommitted ||
      log.commit !== this.#commit ||
      raft.readStates !== undefined ||
      raft.term !== this.#term ||
      raft.vote !== this.#vote ||
      raft.role !== this.#role ||
      raft.leaderId !== this.#leaderId ||
      log.unstable.snapshot !== undefined ||
      raft.reads?.roundWanted === true
    )
  }

  /** Takes everything there is to do. @hot */
  ready(): Ready {
    this.#mustBeAdvanced()
    const raft = this.#raft
    maybeStartRound(raft)
    raft.events?.onNode(raft, 'Ready')
    this.#readyIsOut = true
    const { unstable } = raft.log
    const votes = raft.term !== this.#term || raft.vote !== this.#vote
    const commits = raft.log.commit !== this.#commit
    return {
      number: ++this.#readyNumber,
      softState: this.#takeSoftState(),
      hardState: votes || commits ? this.#takeHardState() : undefined,
      readStates: this.#takeReadStates(),
      entries: unstable.entries,
      snapshot: unstable.snapshot,
      committedEntries: this.#takeCommitted(),
      commitIndex: commits ? raft.log.commit : undefined,
      messages: this.#takeMessages(),
      persistedMessages: this.#takePersistedMessages(),
      mustSync: votes || unstable.length > 0 || unstable.snapshot !== undefined,
    }
  }

  /** The ready is durable already. */
  advanceAppend(ready: Ready): LightReady {
    this.advanceAppendAsync(ready)
    this.onPersistReady(ready.number)
    const commits = this.#raft.log.commit !== this.#commit
    if (commits) this.#commit = this.#raft.log.commit
    return {
      commitIndex: commits ? this.#commit : undefined,
      committedEntries: this.#takeCommitted(),
      messages: this.#takeMessages(),
    }
  }

  /** Storage has the ready, but it may not be durable yet: that is told by onPersistReady. */
  advanceAppendAsync(ready: Ready): void {
    assert(
      this.#readyIsOut && ready.number === this.#readyNumber,
      'the last ready is advanced over',
    )
    this.#readyIsOut = false
    const { hardState } = ready
    // Only a new term or vote matters here, and both are in `mustSync`'s hard state.
    const term = hardState !== undefined && ready.mustSync ? hardState.term : 0
    this.#raft.log.giveAway(ready.number, term, hardState?.vote ?? 0)
  }

  /** Ready `number` and all before it are durable. */
  onPersistReady(number: ReadyNumber): void {
    this.#mustBeAdvanced()
    assert(number <= this.#readyNumber, () => `ready ${number} was never taken`)
    const raft = this.#raft
    const persisted = raft.log.onPersisted(number)
    if (persisted === undefined) return
    if (persisted.term > 0) raft.durableTerm = persisted.term
    if (raft.role === StateRole.Leader) onOwnEntriesPersisted(raft, raft.log.persisted)
    else if (persisted.vote === raft.id) onVotePersisted(raft, persisted.term)
  }

  /** Everything up to `index`, or a snapshot at it, is applied. */
  advanceApplyTo(index: LogIndex): void {
    this.#mustBeAdvanced()
    const raft = this.#raft
    raft.log.applyTo(index)
    if (raft.role === StateRole.Leader) maybeAutoLeave(raft)
  }

  /** Entries that storage had called temporarily unavailable are in memory; `to` 0 = own apply. */
  onEntriesFetched(to: PeerId): void {
    this.#mustBeAdvanced()
    const raft = this.#raft
    if (to === 0) {
      raft.log.onCommittedFetched()
      return
    }
    const progress = raft.tracker?.get(to)
    if (progress?.fetching === true) onEntriesFetched(raft, progress)
  }

  /** Followers learn the commit index with the next append or heartbeat only: half the messages. */
  skipCommitBroadcast(skip: boolean): void {
    this.#raft.skipCommitBroadcast = skip
  }

  /** Ticks after which this node campaigns next, instead of the random number. */
  setElectionTimeout(ticks: number): void {
    this.#raft.electionTimeout = ticks
  }

  /**
   * This replica was made just now, by a split say, and never ran before: unlike a restarted one it
   * promised nobody not to vote, and need not wait an election time-out before it does.
   */
  assumeNoPromises(): void {
    this.#raft.voteLockTicks = 0
  }

  status(): Status {
    return statusOf(this.#raft)
  }

  get id(): PeerId {
    return this.#raft.id
  }

  get term(): Term {
    return this.#raft.term
  }

  get vote(): PeerId {
    return this.#raft.vote
  }

  /** 0 = unknown. */
  get leaderId(): PeerId {
    return this.#raft.leaderId
  }

  get role(): StateRole {
    return this.#raft.role
  }

  get commitIndex(): LogIndex {
    return this.#raft.log.commit
  }

  get persistedIndex(): LogIndex {
    return this.#raft.log.persisted
  }

  get appliedIndex(): LogIndex {
    return this.#raft.log.applied
  }

  get lastIndex(): LogIndex {
    return this.#raft.log.lastIndex
  }

  get firstIndex(): LogIndex {
    return this.#raft.log.firstIndex
  }

  /** 0 = no transfer under way. */
  get leadTransferee(): PeerId {
    return this.#raft.leadTransferee
  }

  get isPromotable(): boolean {
    return this.#raft.isPromotable
  }

  /** A leader proposes no membership change before this index is applied. */
  get pendingConfIndex(): LogIndex {
    return this.#raft.pendingConfIndex
  }

  get electionElapsed(): number {
    return this.#raft.electionElapsed
  }

  get confState(): ConfState {
    return toConfState(this.#raft.membership)
  }

  termAt(index: LogIndex): Term | Unavailable {
    return this.#raft.log.term(index)
  }

  /** The leader may rely on its followers' promise not to vote. */
  inLease(): boolean {
    return inLease(this.#raft)
  }

  /** A leader that committed in its own term, so that it knows all that was ever committed. */
  committedToCurrentTerm(): boolean {
    return this.#raft.committedToCurrentTerm
  }

  /** What the leader knows of a peer; undefined elsewhere. Not to be changed. */
  progressOf(id: PeerId): Readonly<Progress> | undefined {
    return this.#raft.tracker?.get(id)
  }

  #mustBeAdvanced(): void {
    assert(!this.#readyIsOut, 'the ready that was taken is advanced over first')
  }

  #takeSoftState(): SoftState | undefined {
    const { leaderId, role } = this.#raft
    if (leaderId === this.#leaderId && role === this.#role) return undefined
    this.#leaderId = leaderId
    this.#role = role
    return { leaderId, role }
  }

  #takeHardState(): HardState {
    const { term, vote, log } = this.#raft
    this.#term = term
    this.#vote = vote
    this.#commit = log.commit
    return { term, vote, commit: log.commit }
  }

  #takeReadStates(): readonly ReadState[] {
    const taken = this.#raft.readStates
    if (taken === undefined) return NO_READS
    this.#raft.readStates = undefined
    return taken
  }

  #takeCommitted(): readonly Entry[] {
    const raft = this.#raft
    const limit = raft.config.maxCommittedSizePerReady
    const entries = raft.log.takeCommitted(limit === 0 ? UNLIMITED : limit)
    if (entries !== NO_ENTRIES && raft.role === StateRole.Leader) onCommittedTaken(raft, entries)
    return entries
  }

  #takeMessages(): readonly Message[] {
    const taken = this.#raft.messages
    if (taken === undefined) return NO_MESSAGES
    this.#raft.messages = undefined
    return taken
  }

  #takePersistedMessages(): readonly Message[] {
    const taken = this.#raft.persistedMessages
    if (taken === undefined) return NO_MESSAGES
    this.#raft.persistedMessages = undefined
    return taken
  }
}
