/**
 * A log in memory with the history of a state machine, as script nodes and tests use it. A snapshot
 * is always taken at the applied index.
 */
import type { LogIndex, PeerId, Term } from '../../../src/base/ids.ts'
import type { RaftStorage, Unavailable } from '../../../src/raft/storage.ts'
import type { ConfState, Entry, HardState, Snapshot } from '../../../src/raft/types.ts'

export const EMPTY_CONF_STATE: ConfState = {
  voters: [],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

export function confStateOf(
  voters: readonly PeerId[],
  learners: readonly PeerId[] = [],
): ConfState {
  return { ...EMPTY_CONF_STATE, voters, learners }
}

export class MemoryStorage implements RaftStorage {
  hardState: HardState = { term: 0, vote: 0, commit: 0 }
  confState: ConfState
  /** What a snapshot taken now would be. */
  latest: Snapshot
  #truncatedIndex: LogIndex
  #truncatedTerm: Term
  #entries: Entry[] = []
  /** Peers whose reads are answered temporarily-unavailable. */
  readonly unavailableTo = new Set<PeerId>()
  readonly asked: { low: LogIndex; high: LogIndex; to: PeerId }[] = []

  constructor(snapshot?: Snapshot) {
    this.latest = snapshot ?? {
      metadata: { index: 0, term: 0, confState: EMPTY_CONF_STATE },
      data: Buffer.alloc(0),
    }
    this.confState = this.latest.metadata.confState
    this.#truncatedIndex = this.latest.metadata.index
    this.#truncatedTerm = this.latest.metadata.term
  }

  initialState(): { hardState: HardState; confState: ConfState } {
    return { hardState: this.hardState, confState: this.confState }
  }

  firstIndex(): LogIndex {
    return this.#truncatedIndex + 1
  }

  lastIndex(): LogIndex {
    return this.#truncatedIndex + this.#entries.length
  }

  term(index: LogIndex): Term | Unavailable {
    if (index === this.#truncatedIndex) return this.#truncatedTerm
    if (index < this.#truncatedIndex) return 'compacted'
    return this.#entries[index - this.#truncatedIndex - 1]?.term ?? 'unavailable'
  }

  entries(low: LogIndex, high: LogIndex, maxBytes: number, to: PeerId): Entry[] | Unavailable {
    if (low <= this.#truncatedIndex) return 'compacted'
    if (high > this.lastIndex() + 1) return 'unavailable'
    this.asked.push({ low, high, to })
    if (this.unavailableTo.has(to)) return 'temporarily-unavailable'
    const found: Entry[] = []
    let bytes = 0
    for (let index = low; index < high; index++) {
      const entry = this.#entries[index - this.#truncatedIndex - 1]!
      bytes += entry.data.length
      if (bytes > maxBytes && found.length > 0) break
      found.push(entry)
    }
    return found
  }

  snapshot(requestIndex: LogIndex, _to: PeerId): Snapshot | Unavailable {
    return this.latest.metadata.index < requestIndex ? 'temporarily-unavailable' : this.latest
  }

  append(entries: readonly Entry[]): void {
    if (entries.length === 0) return
    const keep = entries[0]!.index - this.#truncatedIndex - 1
    if (keep < 0 || keep > this.#entries.length) throw new Error(`gap before ${entries[0]!.index}`)
    this.#entries = [...this.#entries.slice(0, keep), ...entries]
  }

  install(snapshot: Snapshot): void {
    this.latest = snapshot
    this.confState = snapshot.metadata.confState
    this.#truncatedIndex = snapshot.metadata.index
    this.#truncatedTerm = snapshot.metadata.term
    this.#entries = []
  }

  /** Entries up to `index` are dropped. */
  compact(index: LogIndex): void {
    const term = this.term(index)
    if (typeof term !== 'number') throw new Error(`cannot compact to ${index}: ${term}`)
    this.#entries = this.#entries.slice(index - this.#truncatedIndex)
    this.#truncatedIndex = index
    this.#truncatedTerm = term
  }

  all(): readonly Entry[] {
    return this.#entries
  }

  /** A copy that shares nothing, as a crash leaves it. */
  clone(): MemoryStorage {
    const copy = new MemoryStorage(this.latest)
    copy.hardState = this.hardState
    copy.confState = this.confState
    copy.#truncatedIndex = this.#truncatedIndex
    copy.#truncatedTerm = this.#truncatedTerm
    copy.#entries = this.#entries.slice()
    return copy
  }
}
