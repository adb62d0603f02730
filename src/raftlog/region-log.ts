/**
 * What the log holds of one region: its state, where its entries are, and the newest of them in
 * memory.
 *
 * INVARIANTS
 * - truncatedIndex + 1 = first index ≤ last index + 1.
 * - The cached entries are a suffix of the log: their last one is the region's last entry.
 * - persistedIndex ≤ last index, and every entry above it is cached.
 */
import type { LogIndex, ReadyNumber, RegionId, Term } from '../base/ids.ts'
import type { Entry, HardState } from '../raft/types.ts'
import { EntryIndex } from './entry-index.ts'
import type { Segment } from './segment.ts'

const NO_ENTRIES: Entry[] = []

export class RegionLog {
  readonly id: RegionId
  readonly index: EntryIndex
  truncatedTerm: Term
  hardState: HardState
  /** Where the newest durable form of the state is; undefined until it was first placed. */
  stateSegment: Segment | undefined = undefined
  /** The next write must carry the state, because it is not in the log yet. */
  stateDirty = false
  /** What the log holds under this id until this region's first write is placed. */
  replaced: RegionLog | undefined = undefined
  removed = false
  persistedIndex: LogIndex
  /** Numbers begin at 0, which is the creation of the region; -1 = none. */
  lastReady: ReadyNumber = -1
  persistedReady: ReadyNumber = -1
  /** Ready of the newest write that replaced entries, and the lowest index it and others replaced. */
  overwriteReady: ReadyNumber = -1
  overwriteFirst: LogIndex = 0
  /** Changes when entries that were there are replaced or dropped: a fetch from before is stale. */
  generation = 0
  /** Rises when entries get another place on disk: a fetch from before may find their file gone. */
  placement = 0
  #cached: Entry[] = NO_ENTRIES
  #cachedHead = 0

  constructor(id: RegionId, truncatedIndex: LogIndex, truncatedTerm: Term, hardState: HardState) {
    this.id = id
    this.index = new EntryIndex(truncatedIndex + 1)
    this.truncatedTerm = truncatedTerm
    this.hardState = hardState
    this.persistedIndex = truncatedIndex
  }

  get first(): LogIndex {
    return this.index.first
  }

  get last(): LogIndex {
    return this.index.last
  }

  /** The form of this region that the log holds: itself, or what it will replace. */
  get placed(): RegionLog | undefined {
    return this.stateDirty ? this.replaced : this
  }

  get cachedCount(): number {
    return this.#cached.length - this.#cachedHead
  }

  /** Lowest index that is in memory; last + 1 when none is. */
  get cachedFirst(): LogIndex {
    return this.last + 1 - this.cachedCount
  }

  /** Everything up to `ready`, which ended at `last` (0: had no entries), is durable. */
  persisted(ready: ReadyNumber, last: LogIndex): void {
    if (ready > this.persistedReady) this.persistedReady = ready
    const valid = ready < this.overwriteReady ? Math.min(last, this.overwriteFirst - 1) : last
    if (valid > this.persistedIndex) this.persistedIndex = valid
  }

  /** The write of `ready` replaces everything from `first` on. */
  overwritten(ready: ReadyNumber, first: LogIndex): void {
    const pending = this.overwriteReady > this.persistedReady
    this.overwriteFirst = pending ? Math.min(first, this.overwriteFirst) : first
    this.overwriteReady = ready
    this.persistedIndex = Math.min(this.persistedIndex, first - 1)
    this.generation++
  }

  /** Takes the region off its segments: what replaces or removes it has a place in the log. */
  release(): void {
    this.index.restart(this.first)
    if (this.stateSegment !== undefined) this.stateSegment.liveStates--
    this.stateSegment = undefined
    this.replaced?.release()
    this.replaced = undefined
  }

  /** The newest form of the state is in `segment`. */
  placeState(segment: Segment): void {
    if (this.stateSegment !== undefined) this.stateSegment.liveStates--
    this.stateSegment = segment
    segment.liveStates++
  }

  term(index: LogIndex): Term {
    return index === this.first - 1 ? this.truncatedTerm : this.index.term(index)
  }

  cachedAt(index: LogIndex): Entry {
    return this.#cached[this.#cachedHead + index - this.cachedFirst]!
  }

  /** The entry must be the one that the index took last. */
  pushCached(entry: Entry): void {
    if (this.#cached === NO_ENTRIES) this.#cached = [entry]
    else this.#cached.push(entry)
  }

  popCached(): Entry {
    const entry = this.#cached.pop()!
    this.#tidy()
    return entry
  }

  shiftCached(): void {
    this.#cached[this.#cachedHead] = PLACEHOLDER
    this.#cachedHead++
    this.#tidy()
  }

  /** Lower cached entries leave in amortised constant time. */
  #tidy(): void {
    if (this.#cachedHead === this.#cached.length) {
      this.#cached = NO_ENTRIES
      this.#cachedHead = 0
    } else if (this.#cachedHead > 32 && this.#cachedHead * 2 > this.#cached.length) {
      this.#cached = this.#cached.slice(this.#cachedHead)
      this.#cachedHead = 0
    }
  }
}

const PLACEHOLDER: Entry = { index: 0, term: 0, type: 0, data: new Uint8Array(0) }
