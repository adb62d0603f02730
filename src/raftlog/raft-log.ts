/**
 * The raft log of a store: the port's methods over regions, cache, streams, segments and fetcher.
 *
 *   write ──▶ RoundBuilder of the region's stream ──flush──▶ StreamSink ──▶ disk
 *     │            index and cache know it at once               │
 *     └──────────◀── persistedIndex, onPersisted ◀── onDurable ◀─┘
 *
 * A region's stream is its id modulo the number of writers. That keeps its rounds in order without
 * remembering anything per region; what it gives up is moving a hot region to an idle writer.
 */
import { assert } from '../base/assert.ts'
import type { RoundScheduler } from '../base/clock.ts'
import type { LogIndex, ReadyNumber, RegionId, Term } from '../base/ids.ts'
import type { Ring } from '../base/ring.ts'
import type { DirectoryLock } from '../env/port.ts'
import type { Entry, HardState } from '../raft/types.ts'
import type { EntryCache } from './entry-cache.ts'
import type { Fetcher } from './fetcher.ts'
import type { CompactionWish, LogWrite, RaftLog, RaftLogEvents, RegionLogState } from './port.ts'
import { Purge } from './purge.ts'
import { RegionLog } from './region-log.ts'
import { Rewriter } from './rewriter.ts'
import type { Round, RoundBuilder, SequenceCounter } from './round-builder.ts'
import type { SegmentTable } from './segment.ts'
import type { SinkEvents, StreamSink } from './stream-sink.ts'

export interface LogStream {
  readonly builder: RoundBuilder
  readonly sink: StreamSink
  /** Handed to the sink and not durable yet, in order. */
  readonly posted: Ring<Round>
}

/** What openRaftLog put together. */
export interface LogParts {
  readonly regions: Map<RegionId, RegionLog>
  readonly table: SegmentTable
  readonly sequences: SequenceCounter
  readonly cache: EntryCache
  readonly fetcher: Fetcher
  readonly events: RaftLogEvents
  readonly lock: DirectoryLock
  readonly later: RoundScheduler
  /** Disk use from which on old segments are emptied. */
  readonly purgeBytes: number
  /** Makes the streams; their sinks report to `events`. */
  readonly openStreams: (events: SinkEvents) => LogStream[]
}

const NO_ENTRIES: readonly Entry[] = []

export class SegmentedRaftLog implements RaftLog {
  readonly #regions: Map<RegionId, RegionLog>
  /** Removed in this round; their removal marks are written by flush(), unless they are created anew. */
  readonly #removed = new Map<RegionId, RegionLog>()
  readonly #table: SegmentTable
  readonly #sequences: SequenceCounter
  readonly #cache: EntryCache
  readonly #fetcher: Fetcher
  readonly #events: RaftLogEvents
  readonly #lock: DirectoryLock
  readonly #later: RoundScheduler
  readonly #streams: readonly LogStream[]
  readonly #purge: Purge
  readonly #rewriter: Rewriter
  #failed = false
  #closed = false
  #whenIdle: (() => void) | undefined = undefined
  #rounds = 0
  #groups = 0
  #bytesWritten = 0

  constructor(parts: LogParts) {
    this.#regions = parts.regions
    this.#table = parts.table
    this.#sequences = parts.sequences
    this.#cache = parts.cache
    this.#fetcher = parts.fetcher
    this.#events = parts.events
    this.#lock = parts.lock
    this.#later = parts.later
    this.#purge = new Purge(parts.table)
    this.#streams = parts.openStreams({
      onDurable: (stream, sequence) => this.#onDurable(stream, sequence),
      onFailed: (error) => this.#onFailed(error),
    })
    this.#rewriter = new Rewriter({
      table: parts.table,
      regions: parts.regions,
      fetcher: parts.fetcher,
      purgeBytes: parts.purgeBytes,
      builderOf: (region) => this.#streamOf(region).builder,
      onFailed: (error) => this.#onFailed(error),
    })
  }

  regions(): RegionId[] {
    return [...this.#regions.keys()]
  }

  state(regionId: RegionId): RegionLogState | undefined {
    const region = this.#regions.get(regionId)
    if (region === undefined) return undefined
    return { hardState: region.hardState, firstIndex: region.first, lastIndex: region.last }
  }

  create(
    regionId: RegionId,
    truncatedIndex: LogIndex,
    truncatedTerm: Term,
    hardState: HardState,
  ): void {
    const old = this.#regions.get(regionId) ?? this.#removed.get(regionId)
    this.#removed.delete(regionId)
    const region = new RegionLog(regionId, truncatedIndex, truncatedTerm, hardState)
    region.stateDirty = true
    region.replaced = old?.placed
    if (old !== undefined) this.#retire(old)
    this.#regions.set(regionId, region)
  }

  term(regionId: RegionId, index: LogIndex): Term | 'compacted' | 'unavailable' {
    const region = this.#regions.get(regionId)
    if (region === undefined || index > region.last) return 'unavailable'
    return index < region.first - 1 ? 'compacted' : region.term(index)
  }

  entries(
    regionId: RegionId,
    low: LogIndex,
    high: LogIndex,
    maxBytes: number,
  ): Entry[] | 'compacted' | 'unavailable' | 'temporarily-unavailable' {
    assert(low <= high, 'a range does not end before it begins')
    const region = this.#regions.get(regionId)
    if (region === undefined) return 'unavailable'
    if (low < region.first) return 'compacted'
    if (high > region.last + 1) return 'unavailable'
    if (low >= region.cachedFirst || low === high) {
      return collect(region, NO_ENTRIES, low, high, maxBytes)
    }
    const fetched = this.#fetcher.take(region, low)
    if (fetched === undefined) return 'temporarily-unavailable'
    return collect(region, fetched, low, high, maxBytes)
  }

  fetch(
    regionId: RegionId,
    low: LogIndex,
    high: LogIndex,
    maxBytes: number,
    done: (error: Error | undefined) => void,
  ): void {
    const region = this.#must(regionId)
    assert(low >= region.first && low < high && high <= region.last + 1, 'fetched entries exist')
    const end = Math.min(cutToSize(region, low, high, maxBytes), region.cachedFirst)
    // All of it came back into memory since the caller asked: a later turn finds it there.
    if (end <= low) this.#later.schedule(() => done(undefined))
    else this.#fetcher.fetch(region, low, end, done)
  }

  // @hot bench/raftlog
  write(write: LogWrite): void {
    const region = this.#must(write.regionId)
    const { entries, hardState, readyNumber } = write
    const hasEntries = entries.length > 0
    assert(hasEntries || hardState !== undefined, 'a write has something to write')
    assert(readyNumber > region.lastReady, 'ready numbers of a region rise')
    mustContinue(region, entries)
    const { builder } = this.#streamOf(region)
    builder.reserve(entries)
    if (hardState !== undefined) region.hardState = hardState
    const withState = hardState !== undefined || region.stateDirty
    builder.item(region.id, withState, hasEntries, region.stateDirty)
    if (withState) this.#placeState(region, builder)
    if (hasEntries) this.#placeEntries(region, readyNumber, entries, builder)
    builder.note(region, readyNumber, hasEntries ? region.last : 0)
    region.lastReady = readyNumber
  }

  compact(regionId: RegionId, index: LogIndex): void {
    const region = this.#must(regionId)
    if (index < region.first) return
    assert(index <= region.last, 'only entries that exist are compacted')
    region.truncatedTerm = region.term(index)
    region.persistedIndex = Math.max(region.persistedIndex, index)
    this.#cache.evict(region, index)
    region.index.compact(index)
    // A region whose state is not in the log yet gets it, with this mark, by its first write.
    if (!region.stateDirty) this.#writeState(region)
  }

  remove(regionId: RegionId): void {
    const region = this.#must(regionId)
    this.#regions.delete(regionId)
    this.#retire(region)
    this.#removed.set(regionId, region)
  }

  flush(): void {
    if (this.#failed) return
    this.#writeRemovals()
    this.#rewriteStates()
    this.#rewriter.run()
    this.#purge.mark(this.#sequences.last)
    for (const stream of this.#streams) this.#post(stream)
    this.#deleteDead()
  }

  evict(regionId: RegionId, index: LogIndex): void {
    const region = this.#regions.get(regionId)
    if (region !== undefined) this.#cache.evict(region, index)
  }

  regionsToCompact(): CompactionWish[] {
    return this.#rewriter.regionsToCompact()
  }

  stats(): Record<string, number> {
    let indexBytes = 0
    let entries = 0
    for (const region of this.#regions.values()) {
      indexBytes += region.index.bytes
      entries += region.index.count
    }
    return {
      raftlog_regions: this.#regions.size,
      raftlog_entries: entries,
      raftlog_index_bytes: indexBytes,
      raftlog_cache_entries: this.#cache.entries,
      raftlog_cache_bytes: this.#cache.bytes,
      raftlog_segments: this.#table.count,
      raftlog_disk_bytes: this.#table.bytes,
      raftlog_live_bytes: this.#table.liveBytes,
      raftlog_rewritten_bytes: this.#rewriter.rewrittenBytes,
      raftlog_segments_purged: this.#purge.purged,
      raftlog_rounds: this.#rounds,
      raftlog_groups: this.#groups,
      raftlog_written_bytes: this.#bytesWritten,
      raftlog_fetches: this.#fetcher.fetches,
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.flush()
    this.#closed = true
    if (!this.#failed && !this.#idle()) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    try {
      await Promise.all(this.#streams.map((stream) => stream.sink.close()))
      await this.#fetcher.close()
    } finally {
      await this.#lock.release()
    }
  }

  #must(regionId: RegionId): RegionLog {
    assert(!this.#closed, 'the raft log is open')
    const region = this.#regions.get(regionId)
    assert(region !== undefined, () => `region ${regionId} is in the raft log`)
    return region
  }

  #streamOf(region: RegionLog): LogStream {
    return this.#streams[region.id % this.#streams.length]!
  }

  /** Takes a region out of memory; its segments are released when that has a place in the log. */
  #retire(region: RegionLog): void {
    region.removed = true
    region.generation++
    this.#cache.clear(region)
  }

  #placeState(region: RegionLog, builder: RoundBuilder): void {
    builder.state(region)
    region.placeState(builder.segment)
    region.stateDirty = false
    if (region.replaced === undefined) return
    region.replaced.release()
    region.replaced = undefined
  }

  #placeEntries(
    region: RegionLog,
    ready: ReadyNumber,
    entries: readonly Entry[],
    builder: RoundBuilder,
  ): void {
    const first = entries[0]!.index
    if (first <= region.last) {
      this.#cache.truncate(region, first)
      region.index.truncate(first)
      region.overwritten(ready, first)
    }
    builder.entriesHead(entries)
    const { segment } = builder
    for (let i = 0; i < entries.length; i++) {
      const entry = entries[i]!
      const offset = builder.frame(region.id, entry.term, entry)
      region.index.append(entry.term, segment, offset, entry.data.length)
      this.#cache.add(region, entry)
    }
    this.#cache.commit(region, region.last)
  }

  #writeState(region: RegionLog): void {
    const { builder } = this.#streamOf(region)
    builder.reserve(NO_ENTRIES)
    builder.item(region.id, true, false, false)
    this.#placeState(region, builder)
  }

  #writeRemovals(): void {
    for (const region of this.#removed.values()) {
      const { builder } = this.#streamOf(region)
      builder.reserve(NO_ENTRIES)
      builder.item(region.id, false, false, true)
      region.release()
    }
    this.#removed.clear()
  }

  /** Moves states of idle regions out of segments that nothing else keeps. */
  #rewriteStates(): void {
    const held = this.#purge.heldByStates()
    if (held.length === 0) return
    for (const region of this.#regions.values()) {
      const placed = region.placed
      if (placed?.stateSegment === undefined || !held.includes(placed.stateSegment)) continue
      this.#writeState(placed)
    }
  }

  #post(stream: LogStream): void {
    const taken = stream.builder.take()
    if (taken === undefined) return
    const { round, bytes } = taken
    this.#rounds++
    this.#bytesWritten += bytes.length
    stream.posted.push(round)
    stream.sink.append(bytes, round.placements, round.lastSequence)
  }

  #onDurable(stream: number, sequence: number): void {
    if (this.#failed) return
    this.#groups++
    const { posted } = this.#streams[stream]!
    const rounds: Round[] = []
    while (posted.length > 0 && posted.peek()!.lastSequence <= sequence) {
      rounds.push(posted.shift()!)
    }
    for (const round of rounds) this.#rewriter.onDurable(round.relocations)
    for (let i = rounds.length - 1; i >= 0; i--) this.#tellPersisted(rounds[i]!)
    this.#cache.enforce()
    this.#deleteDead()
    if (this.#whenIdle !== undefined && this.#idle()) this.#whenIdle()
  }

  /** Newest first, so that a region hears its highest number and nothing after it. */
  #tellPersisted(round: Round): void {
    for (let i = round.regions.length - 1; i >= 0; i--) {
      const region = round.regions[i]!
      const ready = round.readyNumbers[i]!
      const told = ready <= region.persistedReady
      region.persisted(ready, round.lastIndexes[i]!)
      if (!told && !region.removed) this.#events.onPersisted(region.id, ready)
    }
  }

  #onFailed(error: Error): void {
    if (this.#failed) return
    this.#failed = true
    this.#events.onFailed(error)
    this.#whenIdle?.()
  }

  #deleteDead(): void {
    if (this.#failed) return
    let durable = Number.POSITIVE_INFINITY
    for (const { posted } of this.#streams) {
      if (posted.length > 0) durable = Math.min(durable, posted.peek()!.firstSequence - 1)
    }
    const names = this.#purge.takeDeletable(durable)
    if (names.length > 0) this.#streams[0]!.sink.remove(names)
  }

  #idle(): boolean {
    return this.#streams.every((stream) => stream.posted.length === 0)
  }
}

function mustContinue(region: RegionLog, entries: readonly Entry[]): void {
  if (entries.length === 0) return
  const first = entries[0]!.index
  assert(first >= region.first && first <= region.last + 1, 'entries follow the log or replace it')
  for (let i = 1; i < entries.length; i++) {
    assert(entries[i]!.index === first + i, 'entries are contiguous')
  }
}

/** End of the range [low, …) whose entries are at most maxBytes, or one entry. */
function cutToSize(region: RegionLog, low: LogIndex, high: LogIndex, maxBytes: number): LogIndex {
  let bytes = 0
  for (let index = low; index < high; index++) {
    bytes += region.index.dataBytes(index)
    if (bytes > maxBytes && index > low) return index
  }
  return high
}

/** Entries from `low`: first those fetched, then those in memory, as far as they are contiguous. */
function collect(
  region: RegionLog,
  fetched: readonly Entry[],
  low: LogIndex,
  high: LogIndex,
  maxBytes: number,
): Entry[] {
  const end = cutToSize(region, low, high, maxBytes)
  const entries: Entry[] = []
  for (let index = low; index < end; index++) {
    const entry = fetched[index - low]
    if (entry !== undefined) entries.push(entry)
    else if (index >= region.cachedFirst) entries.push(region.cachedAt(index))
    else break
  }
  return entries
}
