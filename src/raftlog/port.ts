/**
 * The raft log of all regions of a store. The main thread is its only producer: it encodes entries
 * once, in their form on disk, places them (so it knows file and offset before they are written),
 * and hands whole buffers to writer threads, which append and fsync.
 *
 * INVARIANTS
 * - onPersisted(region, n) is told only after everything of ready n and below is fsynced.
 * - An entry that is not persisted yet is always in the cache; entries() answers it from memory.
 * - write() of entries [i, …) replaces everything the region had at i and above.
 * - A failed write or fsync is reported once through onFailed and nothing is persisted after it.
 */
import type { LogIndex, ReadyNumber, RegionId, Term } from '../base/ids.ts'
import type { Entry, HardState } from '../raft/types.ts'

/** What one ready of one region wants on disk. */
export interface LogWrite {
  readonly regionId: RegionId
  readonly readyNumber: ReadyNumber
  /** Contiguous, first index ≤ lastIndex + 1. */
  readonly entries: readonly Entry[]
  /** New hard state, or undefined when it has not changed. */
  readonly hardState: HardState | undefined
}

export interface RaftLogEvents {
  /** Everything of this region up to this ready is durable. */
  onPersisted(regionId: RegionId, readyNumber: ReadyNumber): void
  /** The disk failed. Fatal to the store. */
  onFailed(error: Error): void
}

export interface RegionLogState {
  readonly hardState: HardState
  /** Entries below this are gone; `truncatedTerm` is the term at firstIndex - 1. */
  readonly firstIndex: LogIndex
  readonly lastIndex: LogIndex
}

/** A region that keeps old segments on disk and is too large to be written again. */
export interface CompactionWish {
  readonly regionId: RegionId
  /** compact() up to here sets the segments free. */
  readonly index: LogIndex
}

export interface RaftLog {
  /** Regions that the log holds anything of. */
  regions(): RegionId[]
  state(regionId: RegionId): RegionLogState | undefined
  /**
   * Starts a region whose log begins behind (truncatedIndex, truncatedTerm). Durable with its first
   * write; a region of this id that is there already, or was removed in this round, is on disk until
   * that write replaces it as a whole.
   */
  create(
    regionId: RegionId,
    truncatedIndex: LogIndex,
    truncatedTerm: Term,
    hardState: HardState,
  ): void
  term(regionId: RegionId, index: LogIndex): Term | 'compacted' | 'unavailable'
  /**
   * Entries [low, high) within maxBytes, at least one, from the cache; or 'temporarily-unavailable'
   * when any of them has to come from disk: then call fetch() and ask again.
   */
  entries(
    regionId: RegionId,
    low: LogIndex,
    high: LogIndex,
    maxBytes: number,
  ): Entry[] | 'compacted' | 'unavailable' | 'temporarily-unavailable'
  /** Brings entries from disk; `done` runs on a later turn, after which entries() of the same range answers once. */
  fetch(
    regionId: RegionId,
    low: LogIndex,
    high: LogIndex,
    maxBytes: number,
    done: (error: Error | undefined) => void,
  ): void
  /** Queues into the current round. */
  write(write: LogWrite): void
  /** Entries up to and including `index` are no longer needed (queued into the round). */
  compact(regionId: RegionId, index: LogIndex): void
  /** Forgets the region altogether (queued into the round). */
  remove(regionId: RegionId): void
  /** Ends the round: at most one message to each writer. */
  flush(): void
  /** Lets the cache drop persisted entries up to and including `index`. */
  evict(regionId: RegionId, index: LogIndex): void
  /**
   * Regions without whose compaction the log would outgrow its space. Followers that still need the
   * entries then need a snapshot. Cheap when there are none; ask now and then.
   */
  regionsToCompact(): CompactionWish[]
  stats(): Record<string, number>
  /** Writes what is queued, waits for it, stops the writers, releases the lock. */
  close(): Promise<void>
}
