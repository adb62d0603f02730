/**
 * One stream as its producer sees it: encodes a round in the form it has on disk, and places every
 * frame in a segment before anything is written.
 *
 *   round buffer   [ block ][ block ] …      almost always one; two when a segment ends within
 *   open block     [ header | frames … ]  +  meta (apart until the block is sealed)
 *
 * INVARIANTS
 * - A block never crosses a segment's size, except one that is alone in its segment.
 * - Sequences rise over all streams, block numbers by one within a stream.
 */
import { assert } from '../base/assert.ts'
import { crc32c } from '../base/crc32c.ts'
import type { LogIndex, ReadyNumber, RegionId, Term } from '../base/ids.ts'
import type { Entry } from '../raft/types.ts'
import {
  ENTRY_META_BYTES_MAX,
  ITEM_ENTRIES,
  ITEM_META_BYTES_MAX,
  ITEM_RESET,
  ITEM_STATE,
  MetaWriter,
} from './block-codec.ts'
import {
  BLOCK_HEADER_BYTES,
  FRAME_HEADER_BYTES,
  frameSeed,
  SEGMENT_HEADER_BYTES,
  writeBlockHeader,
  writeFrame,
} from './format.ts'
import type { RegionLog } from './region-log.ts'
import { Segment, type SegmentTable } from './segment.ts'

const BUFFER_BYTES_MIN = 4096

/** Entries [first, …) of a region were written again, to let go of their old place. */
export interface Relocation {
  readonly region: RegionLog
  readonly generation: number
  readonly first: LogIndex
  readonly segment: Segment
  readonly offsets: readonly number[]
}

/** What was handed to a writer and is not durable yet; the arrays run in parallel. */
export class Round {
  readonly firstSequence: number
  lastSequence = 0
  readonly placements: number[] = []
  readonly regions: RegionLog[] = []
  readonly readyNumbers: ReadyNumber[] = []
  /** Last entry of the write; 0 when it had none. */
  readonly lastIndexes: LogIndex[] = []
  readonly relocations: Relocation[] = []

  constructor(firstSequence: number) {
    this.firstSequence = firstSequence
  }
}

/** Gives out block sequences to all streams. */
export class SequenceCounter {
  last: number

  constructor(last: number) {
    this.last = last
  }
}

export class RoundBuilder {
  readonly #stream: number
  readonly #table: SegmentTable
  readonly #segmentBytes: number
  readonly #sequences: SequenceCounter
  #nextSegmentId: number
  #lastBlock: number
  #segment: Segment | undefined = undefined
  #bytes = Buffer.allocUnsafeSlow(BUFFER_BYTES_MIN)
  #length = 0
  /** Start of the open block in the buffer; -1 when none is open. */
  #blockStart = -1
  #sequence = 0
  readonly #meta = new MetaWriter()
  #round: Round | undefined = undefined

  constructor(
    stream: number,
    table: SegmentTable,
    segmentBytes: number,
    sequences: SequenceCounter,
    lastBlock: number,
  ) {
    this.#stream = stream
    this.#table = table
    this.#segmentBytes = segmentBytes
    this.#sequences = sequences
    this.#nextSegmentId = (table.newest(stream)?.id ?? 0) + 1
    this.#lastBlock = lastBlock
  }

  get empty(): boolean {
    return this.#round === undefined
  }

  /** Segment of the open block. */
  get segment(): Segment {
    assert(this.#segment !== undefined && this.#blockStart >= 0, 'a block is open')
    return this.#segment
  }

  /** Sequence of the open block. */
  get sequence(): number {
    return this.#sequence
  }

  /** Makes sure that an item of these entries fits the open block, opening another if it must. */
  reserve(entries: readonly Entry[]): void {
    let bytes = ITEM_META_BYTES_MAX
    for (let i = 0; i < entries.length; i++) {
      bytes += FRAME_HEADER_BYTES + entries[i]!.data.length + ENTRY_META_BYTES_MAX
    }
    if (this.#blockStart >= 0 && this.#overflows(bytes)) this.#sealBlock()
    if (this.#blockStart < 0) this.#openBlock(bytes)
    this.#grow(bytes)
  }

  note(region: RegionLog, readyNumber: ReadyNumber, lastIndex: LogIndex): void {
    const round = this.#round!
    round.regions.push(region)
    round.readyNumbers.push(readyNumber)
    round.lastIndexes.push(lastIndex)
  }

  noteRelocation(relocation: Relocation): void {
    this.#round!.relocations.push(relocation)
  }

  item(regionId: RegionId, state: boolean, entries: boolean, reset: boolean): void {
    const flags = (state ? ITEM_STATE : 0) | (entries ? ITEM_ENTRIES : 0) | (reset ? ITEM_RESET : 0)
    assert(flags !== 0, 'an item says something')
    this.#meta.varint(regionId)
    this.#meta.u8(flags)
  }

  state(region: RegionLog): void {
    const { hardState } = region
    this.#meta.varint(hardState.term)
    this.#meta.varint(hardState.vote)
    this.#meta.varint(hardState.commit)
    this.#meta.varint(region.first - 1)
    this.#meta.varint(region.truncatedTerm)
  }

  /** Writes what precedes the frames of an item: indexes, terms, sizes. */
  entriesHead(entries: readonly Entry[]): void {
    this.#meta.varint(entries[0]!.index)
    this.#meta.varint(entries.length)
    let from = 0
    for (let i = 1; i <= entries.length; i++) {
      if (i < entries.length && entries[i]!.term === entries[from]!.term) continue
      this.#meta.varint(entries[from]!.term)
      this.#meta.varint(i - from)
      from = i
    }
    for (let i = 0; i < entries.length; i++) this.#meta.varint(entries[i]!.data.length)
  }

  /** Writes one entry; answers the frame's offset in the segment's file. @hot bench/raftlog */
  frame(regionId: RegionId, term: Term, entry: Entry): number {
    const start = this.#length
    const seed = frameSeed(regionId, entry.index, term)
    this.#length = writeFrame(this.#bytes, start, seed, entry.type, entry.data)
    return this.#segment!.size + start - this.#blockStart
  }

  /** Ends the round: its buffer, which is the caller's from now on, and what was noted. */
  take(): { round: Round; bytes: Buffer } | undefined {
    const round = this.#round
    if (round === undefined) return undefined
    this.#sealBlock()
    round.lastSequence = this.#sequence
    const bytes = this.#bytes.subarray(0, this.#length)
    this.#bytes = Buffer.allocUnsafeSlow(Math.max(BUFFER_BYTES_MIN, roundUp(this.#length)))
    this.#length = 0
    this.#round = undefined
    return { round, bytes }
  }

  #overflows(more: number): boolean {
    const block = this.#length - this.#blockStart + this.#meta.length
    return this.#segment!.size + block + more > this.#segmentBytes
  }

  #openBlock(itemBytes: number): void {
    const wanted = BLOCK_HEADER_BYTES + itemBytes
    const segment = this.#segment
    const full =
      segment === undefined ||
      (segment.size > SEGMENT_HEADER_BYTES && segment.size + wanted > this.#segmentBytes)
    if (full) this.#beginSegment()
    this.#sequence = ++this.#sequences.last
    this.#round ??= new Round(this.#sequence)
    this.#grow(BLOCK_HEADER_BYTES)
    this.#blockStart = this.#length
    this.#length += BLOCK_HEADER_BYTES
  }

  #beginSegment(): void {
    const id = this.#nextSegmentId++
    this.#segment = new Segment(this.#stream, id, this.#table.run, SEGMENT_HEADER_BYTES)
    this.#table.add(this.#segment)
  }

  #sealBlock(): void {
    const meta = this.#meta.view()
    const start = this.#blockStart
    const dataBytes = this.#length - start - BLOCK_HEADER_BYTES
    this.#grow(meta.length)
    meta.copy(this.#bytes, this.#length)
    this.#length += meta.length
    writeBlockHeader(this.#bytes, start, {
      metaCrc: crc32c(meta),
      dataBytes,
      metaBytes: meta.length,
      sequence: this.#sequence,
      number: ++this.#lastBlock,
      durable: 0,
    })
    const segment = this.#segment!
    this.#round!.placements.push(segment.id, segment.size, start, this.#length - start)
    segment.size += this.#length - start
    this.#blockStart = -1
    this.#meta.reset()
  }

  #grow(more: number): void {
    const wanted = this.#length + more
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** The next round will be about as large as this one. */
function roundUp(length: number): number {
  return Math.ceil(length / BUFFER_BYTES_MIN) * BUFFER_BYTES_MIN
}
