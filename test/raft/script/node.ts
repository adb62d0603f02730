/**
 * One node of a script: a raw node, the log that it was told to write, and what of that a crash
 * would leave. Its state machine keeps a snapshot of itself after every entry.
 */
import { seededRandom } from '../../../src/base/clock.ts'
import { decodeConfChange } from '../../../src/raft/conf-change-codec.ts'
import type { RaftConfig } from '../../../src/raft/config.ts'
import { RawNode } from '../../../src/raft/raw-node.ts'
import type { Ready } from '../../../src/raft/ready.ts'
import { type Entry, EntryType, type Message, type Snapshot } from '../../../src/raft/types.ts'
import type { MemoryStorage } from './storage.ts'

export type ConfigOf = (id: number, applied: number) => RaftConfig

export class ScriptNode {
  readonly id: number
  readonly #configOf: ConfigOf
  node: RawNode
  /** As the node sees it. */
  storage: MemoryStorage
  /** As a crash leaves it. */
  disk: MemoryStorage
  /** Taken, not yet durable. */
  #unsynced: Ready[] = []
  /** Durable, but the node does not know yet. */
  #untold: Ready[] = []
  /** What a restart at each applied index comes back with. */
  readonly #history = new Map<number, Snapshot>()

  constructor(id: number, configOf: ConfigOf, storage: MemoryStorage) {
    this.id = id
    this.#configOf = configOf
    this.storage = storage
    this.disk = storage.clone()
    const { index } = storage.latest.metadata
    this.#history.set(index, storage.latest)
    this.node = new RawNode(configOf(id, index), storage, seededRandom(1))
  }

  get hasUnsynced(): boolean {
    return this.#unsynced.length + this.#untold.length > 0
  }

  /** Takes a ready, writes it and applies what is committed; it is durable only after sync(). */
  take(): Ready {
    const ready = this.node.ready()
    write(this.storage, ready)
    this.node.advanceAppendAsync(ready)
    this.#unsynced.push(ready)
    this.#apply(ready.committedEntries)
    return ready
  }

  /** The oldest `count` readies become durable; answers the messages that waited for it. */
  sync(count: number): Message[] {
    const synced = this.#unsynced.splice(0, count)
    for (const ready of synced) write(this.disk, ready)
    this.#untold.push(...synced)
    return synced.flatMap((ready) => ready.persistedMessages)
  }

  /** The node hears that the oldest `count` durable readies are durable. */
  tell(count: number): void {
    const told = this.#untold.splice(0, count)
    const last = told.at(-1)
    if (last === undefined) return
    this.node.onPersistReady(last.number)
    const snapshot = told.findLast((ready) => ready.snapshot !== undefined)?.snapshot
    if (snapshot !== undefined && snapshot.metadata.index > this.node.appliedIndex) {
      this.#history.clear()
      this.#history.set(snapshot.metadata.index, snapshot)
      this.node.advanceApplyTo(snapshot.metadata.index)
    }
  }

  #apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const before = this.storage.latest
      let { confState } = before.metadata
      if (entry.type !== EntryType.Normal) {
        confState = this.node.applyConfChange(decodeConfChange(entry))
      }
      const metadata = { index: entry.index, term: entry.term, confState }
      this.storage.latest = { metadata, data: Buffer.concat([before.data, entry.data]) }
      this.#history.set(entry.index, this.storage.latest)
    }
    const last = entries.at(-1)
    if (last !== undefined) this.node.advanceApplyTo(last.index)
  }

  compact(index: number): void {
    this.storage.compact(index)
    this.disk.compact(index)
  }

  /** Comes back with what is durable, and with the state machine as it was at `applied`. */
  restart(applied = this.node.appliedIndex): void {
    const installed = this.disk.latest
    const state = installed.metadata.index === applied ? installed : this.#history.get(applied)
    if (state === undefined) throw new Error(`node ${this.id} has no state at ${applied}`)
    this.#unsynced = []
    this.#untold = []
    this.storage = this.disk.clone()
    this.storage.latest = state
    this.storage.confState = state.metadata.confState
    this.node = new RawNode(this.#configOf(this.id, applied), this.storage, seededRandom(1))
  }
}

function write(storage: MemoryStorage, ready: Ready): void {
  if (ready.hardState !== undefined) storage.hardState = ready.hardState
  if (ready.snapshot !== undefined) storage.install(ready.snapshot)
  storage.append(ready.entries)
}
