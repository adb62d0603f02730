/**
 * Keeps the log's use of disk steady though some regions lag. One entry of a region at rest would
 * keep its segment for ever, and with it every later one of the stream.
 *
 *   segment begins, or the store asks ─▶ disk use above purgeBytes? ─▶ the oldest segments are to go
 *     large logs in them   regionsToCompact(): the store asks raft to compact them
 *     small ones           read, written again as a whole ─▶ durable ─▶ old place let go;
 *                          not before half of the disk use is waste: else it would never end
 *
 * A log is written again as one ordinary write of all its entries, which on replay replaces them by
 * themselves. So the format needs nothing new, and a crash at any moment leaves one copy or both.
 *
 * INVARIANTS
 * - The index points to the old place until the new one is durable: a fetch never meets bytes that
 *   are not written yet.
 * - A round carries at most about STEP_BYTES_MAX of it.
 */
import type { RegionId } from '../base/ids.ts'
import { KIB, MIB } from '../base/limits.ts'
import type { Entry } from '../raft/types.ts'
import type { Fetcher } from './fetcher.ts'
import type { CompactionWish } from './port.ts'
import type { RegionLog } from './region-log.ts'
import type { Relocation, RoundBuilder } from './round-builder.ts'
import type { Segment, SegmentTable } from './segment.ts'

/**
 * A log up to this size is cheaper to write again than to make its followers take a snapshot; with
 * so many regions that all of them together are too much, their fair share of the disk use.
 */
const REWRITE_BYTES_MAX = 256 * KIB
/** In memory at a time, and added to one round: writes of clients wait behind it. */
const STEP_BYTES_MAX = MIB
/** Live entries may fill half of the disk use: emptying earlier would write them again too often. */
const LIVE_SHARE = 2
/** What an entry costs besides its frame, roughly: its share of block headers, items and states. */
const ENTRY_OVERHEAD_BYTES = 64

const NO_SEGMENTS: ReadonlySet<Segment> = new Set()
const NO_ENTRIES: readonly Entry[] = []

export interface RewriterParts {
  readonly table: SegmentTable
  readonly regions: ReadonlyMap<RegionId, RegionLog>
  readonly fetcher: Fetcher
  readonly purgeBytes: number
  readonly builderOf: (region: RegionLog) => RoundBuilder
  readonly onFailed: (error: Error) => void
}

export class Rewriter {
  readonly #parts: RewriterParts
  #begunSeen = 0
  /** Segments to be emptied by compaction, and those of them to be emptied by writing again. */
  #old: ReadonlySet<Segment> = NO_SEGMENTS
  #wasteful: ReadonlySet<Segment> = NO_SEGMENTS
  #queue: RegionLog[] = []
  #large: RegionLog[] = []
  /** Being read, or written and not durable yet. */
  readonly #busy = new Set<RegionLog>()
  #readingBytes = 0
  #rewrittenBytes = 0

  constructor(parts: RewriterParts) {
    this.#parts = parts
  }

  get rewrittenBytes(): number {
    return this.#rewrittenBytes
  }

  /** Also looks again what is to be written anew: compactions since the last look changed that. */
  regionsToCompact(): CompactionWish[] {
    const { table, purgeBytes } = this.#parts
    if (table.bytes > purgeBytes) this.#choose()
    const wishes: CompactionWish[] = []
    for (const region of this.#large) {
      const index = region.removed ? undefined : region.index.lastIn(this.#old)
      if (index !== undefined) wishes.push({ regionId: region.id, index })
    }
    return wishes
  }

  /** At the end of a round, before it is handed to the writers. */
  run(): void {
    const { begun } = this.#parts.table
    if (begun !== this.#begunSeen) {
      this.#begunSeen = begun
      this.#choose()
    }
    const end = this.#rewrittenBytes + STEP_BYTES_MAX
    while (this.#queue.length > 0 && this.#rewrittenBytes + this.#readingBytes < end) {
      this.#begin(this.#queue.pop()!)
    }
  }

  onDurable(relocations: readonly Relocation[]): void {
    for (const { region, generation, first, segment, offsets } of relocations) {
      this.#busy.delete(region)
      const compacted = region.first - first
      if (region.generation !== generation || compacted >= offsets.length) continue
      region.index.relocate(segment, offsets.slice(compacted))
      region.placement++
    }
  }

  /** Which segments are to go, and who is in them. The only thing here that walks all regions. */
  #choose(): void {
    const { table, regions, purgeBytes } = this.#parts
    this.#queue = []
    this.#large = []
    const live = table.liveBytes + table.liveEntries * ENTRY_OVERHEAD_BYTES
    this.#old = table.oldestAbove(purgeBytes)
    this.#wasteful = table.oldestAbove(Math.max(purgeBytes, LIVE_SHARE * live))
    if (this.#old.size === 0) return
    const share = purgeBytes / LIVE_SHARE / regions.size
    const smallBytesMax = live > purgeBytes ? Math.min(REWRITE_BYTES_MAX, share) : REWRITE_BYTES_MAX
    for (const region of regions.values()) {
      if (region.index.liveBytes > smallBytesMax) {
        if (isIn(region, this.#old)) this.#large.push(region)
      } else if (isIn(region, this.#wasteful)) this.#queue.push(region)
    }
  }

  #begin(region: RegionLog): void {
    if (this.#busy.has(region) || !isIn(region, this.#wasteful)) return
    this.#busy.add(region)
    const low = region.first
    const high = region.cachedFirst
    if (low >= high) {
      this.#write(region, NO_ENTRIES)
      return
    }
    const bytes = region.index.liveBytes
    this.#readingBytes += bytes
    this.#parts.fetcher.load(region, low, high, (loaded) => {
      this.#readingBytes -= bytes
      if (Array.isArray(loaded)) this.#write(region, loaded)
      else this.#give(region, loaded)
    })
  }

  /** Not now: the next segment that begins brings the region up again. A bad disk is not passed over. */
  #give(region: RegionLog, error: Error | undefined): void {
    this.#busy.delete(region)
    if (error !== undefined && !isClosed(error)) this.#parts.onFailed(error)
  }

  /** Writes all entries again: `loaded` ones from disk, the others from memory. */
  #write(region: RegionLog, loaded: readonly Entry[]): void {
    const entries = wholeLog(region, loaded)
    if (entries === undefined || !isIn(region, this.#wasteful)) {
      this.#busy.delete(region)
      return
    }
    const builder = this.#parts.builderOf(region)
    builder.reserve(entries)
    builder.item(region.id, true, true, false)
    builder.state(region)
    region.placeState(builder.segment)
    builder.entriesHead(entries)
    const offsets = entries.map((entry) => builder.frame(region.id, entry.term, entry))
    const { generation, first } = region
    builder.noteRelocation({ region, generation, first, segment: builder.segment, offsets })
    this.#rewrittenBytes += region.index.liveBytes
  }
}

/** Entries of a region lie in the order of their indexes, so the first one tells. */
function isIn(region: RegionLog, segments: ReadonlySet<Segment>): boolean {
  if (region.removed || region.index.count === 0) return false
  return segments.has(region.index.segment(region.first))
}

/** Undefined when memory does not continue what was loaded: more left it meanwhile. */
function wholeLog(region: RegionLog, loaded: readonly Entry[]): Entry[] | undefined {
  const entries = loaded.filter(({ index }) => index >= region.first && index < region.cachedFirst)
  const next = region.first + entries.length
  if (next < region.cachedFirst) return undefined
  for (let index = next; index <= region.last; index++) entries.push(region.cachedAt(index))
  return entries
}

function isClosed(error: Error): boolean {
  return (error as { code?: unknown }).code === 'Closed'
}
