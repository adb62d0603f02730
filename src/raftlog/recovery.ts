/**
 * Reads the segments of all streams at start-up and rebuilds regions and segment table.
 *
 * What may be wrong with a disk, and what is done about it:
 * - The newest segment of a stream ends in a block that was never acknowledged: cut. Blocks that
 *   were written in the same group may have reached the disk before it; they go with it.
 * - Anything else (damage in an older segment, damage below a block that says it was fsynced, a
 *   missing segment or block): Corruption, with file and offset. Nothing on disk is changed.
 *
 * INVARIANT: after recovery every segment left on disk is whole and ends with its last block.
 */
import { join } from 'node:path'
import { PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts'
import type { RegionLog } from './region-log.ts'
import { Replay } from './replay.ts'
import { Segment, SegmentTable } from './segment.ts'
import { anyBlockFrom, corruption, SegmentReader } from './segment-reader.ts'

export interface Recovered {
  readonly table: SegmentTable
  readonly regions: Map<number, RegionLog>
  readonly lastSequence: number
  /** Number of the last block, by stream. */
  readonly lastBlocks: readonly number[]
}

interface FoundSegment {
  readonly path: string
  readonly header: SegmentHeader
}

export function recover(fs: FileSystem, directory: string, logger: Logger): Recovered {
  const streams = findSegments(fs, directory, logger)
  const headers = streams.flat().map((found) => found.header)
  const newestRun = headers.reduce((run, header) => Math.max(run, header.run), 0)
  const table = new SegmentTable()
  const replay = new Replay()
  const cursors = streams.map((found) => new StreamCursor(fs, found, newestRun, table))
  let lastSequence = 0
  for (;;) {
    const cursor = earliest(cursors)
    if (cursor === undefined) break
    const sequence = cursor.sequence
    if (sequence <= lastSequence) {
      throw corruption(cursor.path, cursor.offset, `sequence ${sequence} is there twice`)
    }
    lastSequence = sequence
    replay.apply(cursor.items, cursor.segment)
    cursor.advance()
  }
  replay.finish()
  for (const cursor of cursors) cursor.cutTail(logger)
  if (cursors.length > 0) fs.syncDirectory(directory)
  table.beginRun(newestRun + 1)
  const lastBlocks = cursors.map((cursor) => cursor.lastBlock)
  return { table, regions: replay.regions, lastSequence, lastBlocks }
}

function earliest(cursors: readonly StreamCursor[]): StreamCursor | undefined {
  let best: StreamCursor | undefined
  for (const cursor of cursors) {
    if (cursor.done) continue
    if (best === undefined || cursor.sequence < best.sequence) best = cursor
  }
  return best
}

/** By stream, ascending ids without a hole, headers verified. */
function findSegments(fs: FileSystem, directory: string, logger: Logger): FoundSegment[][] {
  const streams: FoundSegment[][] = []
  const ids: number[][] = []
  for (const name of fs.list(directory)) {
    const parsed = parseSegmentName(name)
    if (parsed === undefined) continue
    while (ids.length <= parsed.stream) ids.push([])
    ids[parsed.stream]!.push(parsed.id)
  }
  for (let stream = 0; stream < ids.length; stream++) {
    streams.push(findStream(fs, directory, stream, ids[stream]!, logger))
  }
  return streams
}

function findStream(
  fs: FileSystem,
  directory: string,
  stream: number,
  ids: readonly number[],
  logger: Logger,
): FoundSegment[] {
  const found: FoundSegment[] = []
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    const path = join(directory, segmentName(stream, id))
    if (i > 0 && id !== ids[i - 1]! + 1) {
      throw corruption(path, 0, `segment ${ids[i - 1]! + 1} before it is missing`)
    }
    const header = readHeader(fs, path)
    if (header !== undefined) found.push({ path, header: mustBeOurs(path, header, stream, id) })
    else if (i === ids.length - 1) removeUnborn(fs, path, id, logger)
    else throw corruption(path, 0, 'the segment header is damaged')
  }
  return found
}

function readHeader(fs: FileSystem, path: string): SegmentHeader | undefined {
  const file = fs.open(path, 'read')
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    return decodeSegmentHeader(bytes.subarray(0, file.read(bytes, 0)))
  } finally {
    file.close()
  }
}

function mustBeOurs(
  path: string,
  header: SegmentHeader,
  stream: number,
  id: number,
): SegmentHeader {
  if (header.version !== FORMAT_VERSION) {
    throw new PolyraftError(
      'DataDirMismatch',
      `${path} has format ${header.version}, this program reads ${FORMAT_VERSION}: ` +
        'use the version that wrote it',
      { path, version: header.version },
    )
  }
  if (header.stream !== stream || header.id !== id) {
    throw corruption(path, 0, `it is segment ${segmentName(header.stream, header.id)}, renamed`)
  }
  return header
}

/** A segment whose creation did not end holds no block yet. */
function removeUnborn(fs: FileSystem, path: string, id: number, logger: Logger): void {
  const block = anyBlockFrom(readFile(fs, path), 0, id, 0)
  if (block !== undefined) throw corruption(path, 0, 'the segment header is damaged')
  logger.warn({ path }, 'raft log: removed a segment whose creation was interrupted')
  fs.remove(path)
}

/** Walks the blocks of one stream over its segments, one segment in memory at a time. */
class StreamCursor {
  readonly #fs: FileSystem
  readonly #found: readonly FoundSegment[]
  readonly #newestRun: number
  readonly #table: SegmentTable
  #position = -1
  #reader: SegmentReader | undefined = undefined
  #segment: Segment | undefined = undefined
  lastBlock = 0

  constructor(
    fs: FileSystem,
    found: readonly FoundSegment[],
    newestRun: number,
    table: SegmentTable,
  ) {
    this.#fs = fs
    this.#found = found
    this.#newestRun = newestRun
    this.#table = table
    this.advance()
  }

  get done(): boolean {
    return this.#position >= this.#found.length
  }

  get path(): string {
    return this.#found[this.#position]!.path
  }

  get offset(): number {
    return this.#reader!.offset
  }

  get sequence(): number {
    return this.#reader!.block.sequence
  }

  get items() {
    return this.#reader!.items
  }

  get segment(): Segment {
    return this.#segment!
  }

  /** To the next block of the stream. */
  advance(): void {
    while (!this.done) {
      if (this.#reader?.next() === true) {
        this.lastBlock = this.#reader.block.number
        this.#segment!.size = this.#reader.end
        return
      }
      this.#nextSegment()
    }
  }

  /** Makes the newest segment end with its last whole block, or go if it has none. */
  cutTail(logger: Logger): void {
    const reader = this.#reader
    const found = this.#found.at(-1)
    if (reader === undefined || found === undefined || reader.end === reader.size) return
    const { path } = found
    if (reader.tornBytes > 0) {
      const fields = { path, offset: reader.end, bytes: reader.tornBytes, why: reader.damage }
      logger.info(fields, 'raft log: cut what was never acknowledged off the newest segment')
    }
    const file = this.#fs.open(path, 'read-write')
    try {
      file.truncate(reader.end)
      file.sync()
    } finally {
      file.close()
    }
  }

  #nextSegment(): void {
    this.#position++
    const found = this.#found[this.#position]
    if (found === undefined) return
    const { header, path } = found
    if (this.#position > 0 && header.firstBlock !== this.lastBlock + 1) {
      throw corruption(path, 0, `blocks ${this.lastBlock + 1} to ${header.firstBlock - 1} are lost`)
    }
    if (this.#position === 0) this.lastBlock = header.firstBlock - 1
    const newest = this.#position === this.#found.length - 1 && header.run === this.#newestRun
    this.#reader = new SegmentReader(readFile(this.#fs, path), path, header, newest)
    this.#segment = new Segment(header.stream, header.id, header.run, SEGMENT_HEADER_BYTES)
    this.#table.add(this.#segment)
  }
}
