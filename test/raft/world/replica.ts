/**
 * One replica of the random world: a raw node, the log it was told to write, the part of that which
 * is on disk, and a state machine. Persistence and crashes are events of their own.
 */
import { assert } from '../../../src/base/assert.ts'
import type { Random } from '../../../src/base/clock.ts'
import { decodeConfChange } from '../../../src/raft/conf-change-codec.ts'
import type { RaftConfig } from '../../../src/raft/config.ts'
import { RawNode } from '../../../src/raft/raw-node.ts'
import type { Ready } from '../../../src/raft/ready.ts'
import {
  type ConfState,
  type Entry,
  EntryType,
  type Message,
  type ReadState,
  type Snapshot,
} from '../../../src/raft/types.ts'
import { MemoryStorage } from '../script/storage.ts'

export interface ReplicaEvents {
  onMessages(from: Replica, messages: readonly Message[]): void
  onApplied(replica: Replica, index: number, term: number, state: number): void
  onReadState(replica: Replica, read: ReadState): void
  onDurable(replica: Replica): void
}

/** The state machine is a running hash, so that equal states mean equal histories. */
function mix(state: number, entry: Entry): number {
  let hash = state
  for (const byte of entry.data) hash = Math.imul(hash ^ byte, 16777619) >>> 0
  return Math.imul(hash ^ entry.index, 16777619) >>> 0
}

interface Applied {
  readonly state: number
  readonly confState: ConfState
}

export class Replica {
  readonly id: number
  readonly #config: (applied: number) => RaftConfig
  readonly #random: Random
  readonly #events: ReplicaEvents
  readonly #skipCommitBroadcast: boolean
  node: RawNode
  /** As the node sees it. */
  storage: MemoryStorage
  /** As a crash leaves it. */
  disk: MemoryStorage
  #unsynced: Ready[] = []
  /** State after each applied index that a restart may fall back to. */
  #history = new Map<number, Applied>()
  up = true
  /** Memberships that it went by since they were last looked at. */
  memberships: ConfState[]

  constructor(
    id: number,
    config: (applied: number) => RaftConfig,
    start: Snapshot,
    random: Random,
    skipCommitBroadcast: boolean,
    events: ReplicaEvents,
  ) {
    this.id = id
    this.#config = config
    this.#random = random
    this.#events = events
    this.#skipCommitBroadcast = skipCommitBroadcast
    this.storage = new MemoryStorage(start)
    this.storage.hardState = { term: start.metadata.term, vote: 0, commit: start.metadata.index }
    this.disk = this.storage.clone()
    const { index, confState } = start.metadata
    this.#history.set(index, { state: start.data.length === 0 ? 0 : stateOf(start), confState })
    this.node = this.#newNode(index)
    this.memberships = [confState]
  }

  #newNode(applied: number): RawNode {
    const node = new RawNode(this.#config(applied), this.storage, this.#random)
    node.skipCommitBroadcast(this.#skipCommitBroadcast)
    return node
  }

  /** What is read for `to`, 0 = itself, must be fetched first. */
  delayFetch(to: number): void {
    this.storage.unavailableTo.add(to)
  }

  /** Everything that was asked for is in memory. */
  finishFetches(): void {
    const { unavailableTo } = this.storage
    const waiting = [...unavailableTo]
    unavailableTo.clear()
    for (const to of waiting) this.node.onEntriesFetched(to)
  }

  get unsyncedCount(): number {
    return this.#unsynced.length
  }

  get applied(): number {
    return this.node.appliedIndex
  }

  stateAt(index: number): number | undefined {
    return this.#history.get(index)?.state
  }

  /** Takes all readies; sends and applies what may be, and leaves the rest to sync(). */
  pump(): void {
    for (let rounds = 0; this.node.hasReady(); rounds++) {
      assert(rounds < 1000, 'readies come to an end')
      const ready = this.node.ready()
      this.#write(ready)
      this.node.advanceAppendAsync(ready)
      this.#unsynced.push(ready)
      this.#send(ready.messages)
      this.#apply(ready.committedEntries)
      for (const read of ready.readStates) this.#events.onReadState(this, read)
    }
  }

  #write(ready: Ready): void {
    if (ready.hardState !== undefined) this.storage.hardState = ready.hardState
    if (ready.snapshot !== undefined) this.storage.install(ready.snapshot)
    this.storage.append(ready.entries)
  }

  /** The oldest `count` readies reach the disk; the node is told of the last alone. */
  sync(count: number): void {
    const synced = this.#unsynced.splice(0, count)
    if (synced.length === 0) return
    for (const ready of synced) {
      if (ready.hardState !== undefined) this.disk.hardState = ready.hardState
      if (ready.snapshot !== undefined) this.disk.install(ready.snapshot)
      this.disk.append(ready.entries)
    }
    this.#events.onDurable(this)
    for (const ready of synced) this.#send(ready.persistedMessages)
    this.node.onPersistReady(synced.at(-1)!.number)
    const snapshot = synced.findLast((ready) => ready.snapshot !== undefined)?.snapshot
    if (snapshot !== undefined && snapshot.metadata.index > this.applied) this.#install(snapshot)
    this.pump()
  }

  #install(snapshot: Snapshot): void {
    const { index, term, confState } = snapshot.metadata
    const state = stateOf(snapshot)
    this.#history = new Map([[index, { state, confState }]])
    this.memberships.push(confState)
    this.node.advanceApplyTo(index)
    this.#events.onApplied(this, index, term, state)
  }

  #send(messages: readonly Message[]): void {
    for (const message of messages) Object.freeze(message.entries)
    this.#events.onMessages(this, messages)
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const before = this.#history.get(entry.index - 1)
      assert(before !== undefined, `entry ${entry.index} follows the applied ones`)
      let { confState } = before
      if (entry.type !== EntryType.Normal) {
        confState = this.node.applyConfChange(decodeConfChange(entry))
        this.memberships.push(confState)
      }
      const state = mix(before.state, entry)
      this.#history.set(entry.index, { state, confState })
      this.#events.onApplied(this, entry.index, entry.term, state)
      this.storage.latest = snapshotAt(entry, state, confState)
    }
    const last = entries.at(-1)
    if (last !== undefined) this.node.advanceApplyTo(last.index)
  }

  /** Log below the applied index is dropped, on disk at once. */
  compact(): void {
    const to = Math.min(this.applied, this.disk.lastIndex())
    if (to < this.storage.firstIndex() || to < this.disk.firstIndex()) return
    this.storage.compact(to)
    this.disk.compact(to)
    for (const index of this.#history.keys()) if (index < to) this.#history.delete(index)
  }

  /** Everything that was not synced is lost, and some of what was applied. */
  crash(): void {
    this.up = false
    this.#unsynced = []
  }

  restart(): void {
    this.up = true
    this.storage = this.disk.clone()
    const floor = this.disk.firstIndex() - 1
    const candidates = [...this.#history.keys()].filter((index) => index >= floor)
    const applied = candidates[this.#random.below(candidates.length)]!
    for (const index of candidates) if (index > applied) this.#history.delete(index)
    const { state, confState } = this.#history.get(applied)!
    this.storage.confState = confState
    this.storage.latest = {
      metadata: { index: applied, term: this.storage.term(applied) as number, confState },
      data: Buffer.from(String(state)),
    }
    this.node = this.#newNode(applied)
    this.memberships = [confState]
  }
}

function snapshotAt(entry: Entry, state: number, confState: ConfState): Snapshot {
  const metadata = { index: entry.index, term: entry.term, confState }
  return { metadata, data: Buffer.from(String(state)) }
}

function stateOf(snapshot: Snapshot): number {
  return Number(Buffer.from(snapshot.data).toString())
}
