/**
 * One replica's log: what storage holds and, behind it, what storage has not been given yet.
 *
 *   first … applied … handedOut … persisted … last
 *                     commit may lie anywhere between applied and last
 *
 * INVARIANTS
 * - applied ≤ handedOut ≤ min(commit, persisted); commit ≤ last; none of the four but persisted falls.
 * - Committed entries are never overwritten.
 * - persisted counts only what a crash cannot take away (see persist-records).
 */
import { AssertionError, assert } from '../base/assert.ts'
import type { LogIndex, PeerId, ReadyNumber, Term } from '../base/ids.ts'
import { NO_ENTRIES } from './message.ts'
import { type Persisted, PersistRecords } from './persist-records.ts'
import type { RaftStorage, Unavailable } from './storage.ts'
import type { Entry, Snapshot } from './types.ts'
import { Unstable } from './unstable.ts'

export class Log {
  readonly #storage: RaftStorage
  readonly unstable: Unstable
  readonly records = new PersistRecords()
  lastIndex: LogIndex
  lastTerm: Term
  commit: LogIndex
  applied: LogIndex
  persisted: LogIndex
  /** Committed entries up to here were given to the caller for applying. */
  handedOut: LogIndex
  /** Index of a received snapshot that is not durable yet; 0 = none. */
  pendingSnapshot: LogIndex = 0
  /** Committed entries for applying are being fetched from disk. */
  #fetchingCommitted = false

  constructor(storage: RaftStorage, commit: LogIndex, applied: LogIndex) {
    this.#storage = storage
    const before = storage.firstIndex() - 1
    this.lastIndex = storage.lastIndex()
    this.unstable = new Unstable(this.lastIndex + 1)
    this.lastTerm = mustBeKnown(storage.term(this.lastIndex), this.lastIndex)
    this.commit = Math.max(commit, before, applied)
    this.applied = Math.max(applied, before)
    this.persisted = this.lastIndex
    this.handedOut = this.applied
    assert(
      this.commit <= this.lastIndex,
      `commit ${this.commit} is behind the log's end ${this.lastIndex}: the log lost its tail`,
    )
  }

  get firstIndex(): LogIndex {
    const snapshot = this.unstable.snapshot
    return snapshot === undefined ? this.#storage.firstIndex() : snapshot.metadata.index + 1
  }

  term(index: LogIndex): Term | Unavailable {
    if (index === this.lastIndex) return this.lastTerm
    if (index > this.lastIndex) return 'unavailable'
    const term = this.unstable.term(index)
    if (term !== undefined) return term
    if (this.unstable.snapshot !== undefined) return 'compacted'
    return this.#storage.term(index)
  }

  matches(index: LogIndex, term: Term): boolean {
    return this.term(index) === term
  }

  /** A log that ends so is no older than this one. */
  isUpToDate(lastTerm: Term, lastIndex: LogIndex): boolean {
    return lastTerm > this.lastTerm || (lastTerm === this.lastTerm && lastIndex >= this.lastIndex)
  }

  /** Entries from `low` to the end within `bytesMax`, at least one, for peer `to`. @hot */
  entries(low: LogIndex, bytesMax: number, to: PeerId): readonly Entry[] | Unavailable {
    if (low > this.lastIndex) return NO_ENTRIES
    const offset = this.unstable.offset
    if (low >= offset) return this.unstable.from(low, bytesMax)
    if (this.unstable.snapshot !== undefined) return 'compacted'
    const stored = this.#storage.entries(low, offset, bytesMax, to)
    if (typeof stored === 'string' || low + stored.length < offset) return stored
    return this.unstable.length === 0 ? stored : this.#withUnstable(stored, bytesMax)
  }

  #withUnstable(stored: Entry[], bytesMax: number): readonly Entry[] {
    let bytes = 0
    for (const entry of stored) bytes += entry.data.length
    const together = stored.slice()
    for (const entry of this.unstable.entries) {
      bytes += entry.data.length
      if (bytes > bytesMax) break
      together.push(entry)
    }
    return together
  }

  /** One entry at the end: a leader's. */
  append(entry: Entry): void {
    assert(entry.index === this.lastIndex + 1, 'entries are appended without a gap')
    this.unstable.append(entry)
    this.lastIndex = entry.index
    this.lastTerm = entry.term
  }

  /** Entries of a leader from `position` on, which replace whatever is there. */
  overwrite(entries: readonly Entry[], position: number): void {
    const first = entries[position]!.index
    if (first <= this.commit) broken(`entry ${first} would overwrite committed ones`)
    if (first > this.lastIndex + 1) broken(`entry ${first} leaves a gap behind ${this.lastIndex}`)
    if (first <= this.lastIndex) this.#truncateFrom(first)
    for (let i = position; i < entries.length; i++) this.append(entries[i]!)
  }

  #truncateFrom(index: LogIndex): void {
    this.unstable.truncateFrom(index)
    this.records.truncateFrom(index)
    if (this.persisted >= index) this.persisted = index - 1
    this.lastIndex = index - 1
  }

  /** Position of the first entry that is not in this log as it is; entries.length if all are. */
  findConflict(entries: readonly Entry[]): number {
    let i = 0
    while (i < entries.length && this.matches(entries[i]!.index, entries[i]!.term)) i++
    return i
  }

  /** Highest index at or below `index` whose term is at most `term`: the logs cannot meet above. */
  findAtMost(term: Term, index: LogIndex): LogIndex {
    let at = index
    while (at > 0) {
      const found = this.term(at)
      if (typeof found === 'string' || found <= term) return at
      at--
    }
    return at
  }

  commitTo(index: LogIndex): void {
    if (index <= this.commit) return
    if (index > this.lastIndex) broken(`commit ${index} is behind the log's end ${this.lastIndex}`)
    this.commit = index
  }

  /** Everything is replaced by the snapshot, which storage gets with the next ready. */
  restore(snapshot: Snapshot): void {
    const { index, term } = snapshot.metadata
    assert(index >= this.commit, 'a snapshot never goes back')
    if (this.persisted > this.commit) this.persisted = this.commit
    this.records.voidAll()
    this.unstable.restore(snapshot)
    this.commit = index
    this.lastIndex = index
    this.lastTerm = term
    this.pendingSnapshot = index
    // What was being fetched is in the snapshot.
    this.#fetchingCommitted = false
  }

  get hasCommitted(): boolean {
    return (
      this.handedOut < this.commit &&
      this.handedOut < this.persisted &&
      this.pendingSnapshot === 0 &&
      !this.#fetchingCommitted
    )
  }

  /** Next page of entries to apply; empty when there is none or it must be fetched first. */
  takeCommitted(bytesMax: number): readonly Entry[] {
    if (!this.hasCommitted) return NO_ENTRIES
    const low = this.handedOut + 1
    const high = Math.min(this.commit, this.persisted) + 1
    const entries = this.#storage.entries(low, high, bytesMax, 0)
    if (entries === 'temporarily-unavailable') {
      this.#fetchingCommitted = true
      return NO_ENTRIES
    }
    if (typeof entries === 'string') return broken(`committed entry ${low} is ${entries}`)
    assert(
      entries.length > 0 && entries[0]!.index === low,
      'storage answers from the first entry on',
    )
    this.handedOut = low + entries.length - 1
    assert(this.handedOut < high, 'storage answers no more than asked')
    return entries
  }

  /** The entries that takeCommitted wanted are in memory now. */
  onCommittedFetched(): void {
    this.#fetchingCommitted = false
  }

  /** Storage was given everything; it becomes durable with ready `number`. */
  giveAway(number: ReadyNumber, term: Term, vote: PeerId): void {
    const snapshotIndex = this.unstable.snapshot?.metadata.index ?? 0
    const lastIndex = this.unstable.length > 0 ? this.lastIndex : 0
    if (snapshotIndex === 0 && lastIndex === 0 && term === 0) return
    if (snapshotIndex > 0) this.handedOut = snapshotIndex
    this.unstable.giveAway()
    if (lastIndex > 0) {
      const stored = this.#storage.lastIndex()
      if (stored !== lastIndex)
        broken(`storage ends at ${stored}, but ready ${number} at ${lastIndex}`)
    }
    this.records.push(number, lastIndex, snapshotIndex, term, vote)
  }

  /** Ready `number` and all lower ones are durable. Undefined: that is no news. */
  onPersisted(number: ReadyNumber): Persisted | undefined {
    const sum = this.records.takeUpTo(number)
    if (sum === undefined) return undefined
    if (sum.index > this.persisted) this.persisted = sum.index
    if (sum.snapshotIndex > 0 && sum.snapshotIndex === this.pendingSnapshot) {
      this.pendingSnapshot = 0
    }
    return sum
  }

  applyTo(index: LogIndex): void {
    if (index < this.applied) broken(`applied ${this.applied} never falls, not to ${index}`)
    if (index > this.handedOut) broken(`index ${index} was not handed out for applying`)
    this.applied = index
  }

  snapshot(requestIndex: LogIndex, to: PeerId): Snapshot | Unavailable {
    if (this.pendingSnapshot > 0) return 'temporarily-unavailable'
    return this.#storage.snapshot(requestIndex, to)
  }
}

/** An assertion whose text is built only when it fails. */
function broken(message: string): never {
  throw new AssertionError(message)
}

function mustBeKnown(term: Term | Unavailable, index: LogIndex): Term {
  assert(typeof term === 'number', `the term of the last entry ${index} is ${term}`)
  return term
}
