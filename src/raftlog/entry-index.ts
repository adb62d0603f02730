/**
 * Where a region's entries are on disk: for each entry (file offset, data bytes) in one typed array,
 * and runs of entries that share segment and term.
 *
 *   table   ring of u32 pairs:  [ … | off len | off len | off len | … ]
 *                                     first ▲                  ▲ last
 *   runs    [ first index, term, segment ], ascending
 *
 * INVARIANTS
 * - first … last is contiguous; every index in it lies in exactly one run.
 * - A segment's liveEntries and liveBytes count its entries over all indexes.
 * - Without entries there is no table and no run array: an idle region costs little.
 */
import { assert } from '../base/assert.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { FRAME_HEADER_BYTES } from './format.ts'
import type { Segment } from './segment.ts'

interface Run {
  readonly first: LogIndex
  readonly term: Term
  readonly segment: Segment
}

const NO_TABLE = new Uint32Array(0)
const NO_RUNS: readonly Run[] = Object.freeze([])
/** Pairs; eight bytes each, so that the smallest table stays on the heap beside its object. */
const TABLE_MIN = 8

export class EntryIndex {
  #first: LogIndex
  #count = 0
  #table: Uint32Array = NO_TABLE
  /** Position of the first entry's pair, in pairs. */
  #head = 0
  #runs: readonly Run[] = NO_RUNS
  #liveBytes = 0

  constructor(first: LogIndex) {
    this.#first = first
  }

  get first(): LogIndex {
    return this.#first
  }

  get last(): LogIndex {
    return this.#first + this.#count - 1
  }

  get count(): number {
    return this.#count
  }

  /** Of the table and the runs, without object headers. */
  get bytes(): number {
    return this.#table.byteLength + this.#runs.length * 24
  }

  /** Of all frames on disk. */
  get liveBytes(): number {
    return this.#liveBytes
  }

  offset(index: LogIndex): number {
    return this.#table[this.#slot(index) * 2]!
  }

  dataBytes(index: LogIndex): number {
    return this.#table[this.#slot(index) * 2 + 1]!
  }

  term(index: LogIndex): Term {
    return this.#runAt(index).term
  }

  segment(index: LogIndex): Segment {
    return this.#runAt(index).segment
  }

  // @hot bench/raftlog
  append(term: Term, segment: Segment, offset: number, dataBytes: number): void {
    assert(offset <= 0xffff_ffff, 'an offset in a segment fits 32 bits')
    const capacity = this.#table.length / 2
    if (this.#count === capacity) this.#resize(Math.max(TABLE_MIN, capacity * 2))
    const index = this.#first + this.#count
    this.#count++
    const slot = this.#slot(index) * 2
    this.#table[slot] = offset
    this.#table[slot + 1] = dataBytes
    this.#occupy(segment, 1, FRAME_HEADER_BYTES + dataBytes)
    const run = this.#runs.at(-1)
    if (run === undefined || run.term !== term || run.segment !== segment) {
      this.#addRun({ first: index, term, segment })
    }
  }

  /** Highest index that lies in one of `segments`, which are older than all others; else undefined. */
  lastIn(segments: ReadonlySet<Segment>): LogIndex | undefined {
    let found: LogIndex | undefined
    for (let i = 0; i < this.#runs.length && segments.has(this.#runs[i]!.segment); i++) {
      found = this.#runEnd(i) - 1
    }
    return found
  }

  /** Entries [first, …) have copies in `segment` at `offsets`, and count as there from now on. */
  relocate(segment: Segment, offsets: readonly number[]): void {
    const end = this.#first + offsets.length
    assert(end <= this.last + 1, 'relocated entries are in the index')
    const runs: Run[] = []
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i]!
      const first = Math.max(run.first, end)
      const isMoved = run.first < end
      if (isMoved) runs.push({ first: run.first, term: run.term, segment })
      if (first < this.#runEnd(i)) runs.push(isMoved ? { ...run, first } : run)
    }
    const bytes = this.#release(this.#first, end - 1)
    this.#occupy(segment, offsets.length, bytes)
    for (let i = 0; i < offsets.length; i++) {
      this.#table[this.#slot(this.#first + i) * 2] = offsets[i]!
    }
    this.#runs = runs
  }

  /** Drops `from` and everything above it. */
  truncate(from: LogIndex): void {
    assert(from >= this.#first, 'entries below the first one are gone already')
    if (from > this.last) return
    this.#release(from, this.last)
    this.#count = from - this.#first
    this.#runs = this.#runs.filter((run) => run.first < from)
    this.#shrink()
  }

  /** Drops `through` and everything below it. `through` may lie above the last entry. */
  compact(through: LogIndex): void {
    if (through < this.#first) return
    const dropped = Math.min(through, this.last)
    this.#release(this.#first, dropped)
    const runs = this.#runs.filter((_, i) => this.#runEnd(i) > through + 1)
    this.#head = this.#count === 0 ? 0 : (this.#head + dropped - this.#first + 1) & this.#mask
    this.#count -= dropped - this.#first + 1
    this.#first = through + 1
    this.#runs = runs
    this.#shrink()
  }

  /** Drops all entries; the next one will be `first`. */
  restart(first: LogIndex): void {
    this.truncate(this.#first)
    this.#first = first
  }

  get #mask(): number {
    return this.#table.length / 2 - 1
  }

  #slot(index: LogIndex): number {
    const position = index - this.#first
    assert(position >= 0 && position < this.#count, () => `entry ${index} is in the index`)
    return (this.#head + position) & this.#mask
  }

  /** Index behind the run at position `i`. */
  #runEnd(i: number): LogIndex {
    return this.#runs[i + 1]?.first ?? this.last + 1
  }

  #runAt(index: LogIndex): Run {
    assert(index >= this.#first && index <= this.last, () => `entry ${index} is in the index`)
    let low = 0
    let high = this.#runs.length - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#runs[middle]!.first <= index) low = middle
      else high = middle - 1
    }
    return this.#runs[low]!
  }

  #addRun(run: Run): void {
    if (this.#runs === NO_RUNS) this.#runs = [run]
    else (this.#runs as Run[]).push(run)
  }

  #occupy(segment: Segment, entries: number, bytes: number): void {
    segment.liveEntries += entries
    segment.liveBytes += bytes
    this.#liveBytes += bytes
  }

  /** Takes [from, to] off their segments' counts; answers their bytes. */
  #release(from: LogIndex, to: LogIndex): number {
    let released = 0
    for (let i = 0; i < this.#runs.length; i++) {
      const run = this.#runs[i]!
      const low = Math.max(run.first, from)
      const high = Math.min(this.#runEnd(i) - 1, to)
      if (low > high) continue
      let bytes = (high - low + 1) * FRAME_HEADER_BYTES
      for (let index = low; index <= high; index++) bytes += this.dataBytes(index)
      this.#occupy(run.segment, low - high - 1, -bytes)
      released += bytes
    }
    return released
  }

  #shrink(): void {
    if (this.#count === 0) {
      this.#table = NO_TABLE
      this.#runs = NO_RUNS
      this.#head = 0
      return
    }
    const capacity = this.#table.length / 2
    let wanted = capacity
    while (wanted > TABLE_MIN && this.#count < wanted / 4) wanted /= 2
    if (wanted < capacity) this.#resize(wanted)
  }

  #resize(capacity: number): void {
    const table = new Uint32Array(capacity * 2)
    for (let i = 0; i < this.#count; i++) {
      const slot = ((this.#head + i) & this.#mask) * 2
      table[i * 2] = this.#table[slot]!
      table[i * 2 + 1] = this.#table[slot + 1]!
    }
    this.#table = table
    this.#head = 0
  }
}
