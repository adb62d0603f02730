/**
 * Finds the segments of all streams and walks their blocks, one segment of a stream in memory at a
 * time. Start-up and offline tools share it: what differs is who is told of damage.
 */
import { join } from 'node:path'
import { PolyraftError } from '../base/errors.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import {
  decodeSegmentHeader,
  FORMAT_VERSION,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
  segmentName,
} from './format.ts'
import { parseMarkName, readMark } from './newest-mark.ts'
import { anyBlockFrom, type Damage, type DamageReport, SegmentReader } from './segment-reader.ts'

export interface FoundSegment {
  readonly path: string
  readonly bytes: number
  readonly header: SegmentHeader
}

export interface FoundSegments {
  /** By stream, ascending ids, headers verified. */
  readonly streams: readonly (readonly FoundSegment[])[]
  /** Files whose creation was interrupted: no block was ever in them. */
  readonly unborn: readonly string[]
  readonly newestRun: number
  readonly bytes: number
}

export function findSegments(
  fs: FileSystem,
  directory: string,
  report: DamageReport,
): FoundSegments {
  const ids: number[][] = []
  const of = (stream: number): number[] => {
    while (ids.length <= stream) ids.push([])
    return ids[stream]!
  }
  for (const name of fs.list(directory)) {
    const parsed = parseSegmentName(name)
    if (parsed !== undefined) of(parsed.stream).push(parsed.id)
    // All segments of the stream may be missing.
    const marked = parseMarkName(name)
    if (marked !== undefined) of(marked)
  }
  const unborn: string[] = []
  const streams = ids.map((of, stream) => findStream(fs, directory, stream, of, unborn, report))
  const all = streams.flat()
  const newestRun = all.reduce((run, { header }) => Math.max(run, header.run), 0)
  const bytes = all.reduce((sum, found) => sum + found.bytes, 0)
  return { streams, unborn, newestRun, bytes }
}

function findStream(
  fs: FileSystem,
  directory: string,
  stream: number,
  ids: readonly number[],
  unborn: string[],
  report: DamageReport,
): FoundSegment[] {
  const found: FoundSegment[] = []
  const mark = readMark(fs, directory, stream) ?? 0
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!
    const path = join(directory, segmentName(stream, id))
    const expected = i === 0 ? id : ids[i - 1]! + 1
    if (id !== expected) {
      report({ path, offset: 0, why: `segment ${expected} before it is missing` })
    }
    const { header, bytes } = readHeader(fs, path)
    if (header !== undefined) {
      if (isOurs(path, header, stream, id, report)) found.push({ path, bytes, header })
    } else if (i === ids.length - 1 && id > mark && hasNoBlock(fs, path, id)) unborn.push(path)
    else report({ path, offset: 0, why: 'the segment header is damaged' })
  }
  const newest = ids.at(-1) ?? 0
  if (newest < mark) {
    const first = join(directory, segmentName(stream, Math.min(newest + 1, mark)))
    const why = `segments up to ${mark} were written, and those above ${newest} are missing`
    report({ path: first, offset: 0, why })
  }
  return found
}

function readHeader(fs: FileSystem, path: string) {
  const file = fs.open(path, 'read')
  try {
    const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
    const header = decodeSegmentHeader(bytes.subarray(0, file.read(bytes, 0)))
    return { header, bytes: file.size() }
  } finally {
    file.close()
  }
}

function isOurs(
  path: string,
  header: SegmentHeader,
  stream: number,
  id: number,
  report: DamageReport,
): boolean {
  if (header.version !== FORMAT_VERSION) {
    throw new PolyraftError(
      'DataDirMismatch',
      `${path} has format ${header.version}, this program reads ${FORMAT_VERSION}: ` +
        'use the version that wrote it',
      { path, version: header.version },
    )
  }
  if (header.stream === stream && header.id === id) return true
  const name = segmentName(header.stream, header.id)
  report({ path, offset: 0, why: `it is segment ${name}, renamed` })
  return false
}

function hasNoBlock(fs: FileSystem, path: string, id: number): boolean {
  return anyBlockFrom(readFile(fs, path), 0, id, 0) === undefined
}

export class StreamCursor {
  readonly #fs: FileSystem
  readonly found: readonly FoundSegment[]
  readonly #newestRun: number
  readonly #report: DamageReport
  #position = -1
  #reader: SegmentReader | undefined = undefined
  /** Of the segments before: reading into it again spares the kernel's clearing of new pages. */
  #scratch = Buffer.alloc(0)
  lastBlock = 0

  constructor(
    fs: FileSystem,
    found: readonly FoundSegment[],
    newestRun: number,
    report: DamageReport,
  ) {
    this.#fs = fs
    this.found = found
    this.#newestRun = newestRun
    this.#report = report
    this.advance()
  }

  get done(): boolean {
    return this.#position >= this.found.length
  }

  /** Of the current block. */
  get segment(): FoundSegment {
    return this.found[this.#position]!
  }

  get position(): number {
    return this.#position
  }

  get reader(): SegmentReader {
    return this.#reader!
  }

  /** To the next block of the stream. */
  advance(): void {
    while (!this.done) {
      if (this.#reader?.next() === true) {
        this.lastBlock = this.#reader.block.number
        return
      }
      this.#nextSegment()
    }
  }

  /** What of the newest segment may be in the page cache alone; undefined: there is no segment. */
  unproven():
    | { readonly path: string; readonly start: number; readonly bytes: Buffer }
    | undefined {
    const found = this.found.at(-1)
    if (this.#reader === undefined || found === undefined) return undefined
    return { path: found.path, ...this.#reader.unproven }
  }

  /** Where the newest segment's last block ends, and what is behind it; undefined: nothing is. */
  tail(): (Damage & { readonly torn: number }) | undefined {
    const reader = this.#reader
    const found = this.found.at(-1)
    if (reader === undefined || found === undefined || reader.end === reader.size) return undefined
    return { path: found.path, offset: reader.end, why: reader.damage, torn: reader.tornBytes }
  }

  #nextSegment(): void {
    this.#position++
    const found = this.found[this.#position]
    if (found === undefined) return
    const { header, path } = found
    if (this.#position === 0) this.lastBlock = header.firstBlock - 1
    if (header.firstBlock !== this.lastBlock + 1) {
      const why = `blocks ${this.lastBlock + 1} to ${header.firstBlock - 1} are lost`
      this.#report({ path, offset: 0, why })
    }
    const newest = this.#position === this.found.length - 1 && header.run === this.#newestRun
    this.#reader = new SegmentReader(this.#read(path), path, header, newest, this.#report)
  }

  #read(path: string): Buffer {
    const file = this.#fs.open(path, 'read')
    try {
      const size = file.size()
      if (size > this.#scratch.length) this.#scratch = Buffer.allocUnsafeSlow(size)
      return this.#scratch.subarray(0, file.read(this.#scratch.subarray(0, size), 0))
    } finally {
      file.close()
    }
  }
}

/** The cursor with the block that was written first; undefined when all are done. */
export function earliest(cursors: readonly StreamCursor[]): StreamCursor | undefined {
  let best: StreamCursor | undefined
  for (const cursor of cursors) {
    if (cursor.done) continue
    if (best === undefined || cursor.reader.block.sequence < best.reader.block.sequence) {
      best = cursor
    }
  }
  return best
}
