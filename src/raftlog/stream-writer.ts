/**
 * The half of a stream that touches the disk: appends blocks where the main thread placed them and
 * makes them durable. Runs in a writer thread, or in the poller when there are no writers.
 *
 * INVARIANTS
 * - A segment is complete and fsynced before its successor exists.
 * - A segment's header and name, and the mark that it exists, are fsynced before its first block is
 *   written.
 * - What a spare held before is never taken for blocks of the segment that it becomes.
 * - After an error the writer is broken: what the disk holds is not known, so it does nothing more.
 */
import { join } from 'node:path'
import { assert } from '../base/assert.ts'
import { asBuffer } from '../base/bytes.ts'
import { KIB } from '../base/limits.ts'
import type { FileHandle, FileSystem } from '../env/port.ts'
import {
  blockNumberAt,
  encodeSegmentHeader,
  FORMAT_VERSION,
  parseSegmentName,
  SEGMENT_HEADER_BYTES,
  segmentName,
  stampBlock,
} from './format.ts'
import { dropMarksOf, writeMark } from './newest-mark.ts'

/** Numbers of a placed block: segment id, offset in the file, start in the round's buffer, length. */
export const PLACEMENT_LENGTH = 4

/**
 * Dead segments that are kept to be written over: no space to allocate and no size to update makes
 * an fdatasync of 64 KiB take 0.09 instead of 0.16 ms (ext4).
 */
const SPARES_MAX = 2
/**
 * Without a spare, zeros are written this far ahead of small appends: 0.09 against 0.13 ms at 4 KiB.
 * From FILL_APPEND_BYTES_MAX on, zeros cost more than they save (64 KiB: 0.26 against 0.16 ms).
 */
const FILL_BYTES = 256 * KIB
const FILL_APPEND_BYTES_MAX = 16 * KIB
const ZEROS = new Uint8Array(FILL_BYTES)

export interface StreamLocation {
  readonly directory: string
  readonly stream: number
  readonly run: number
  /** False: nothing old is ever behind the newest block, so that anything but zeros is damage. */
  readonly recycle: boolean
}

export class StreamWriter {
  readonly #fs: FileSystem
  readonly #at: StreamLocation
  #file: FileHandle | undefined = undefined
  #segmentId = 0
  /** Bytes of blocks and header in the open segment, and of what was in the file before them. */
  #end = 0
  #filled = 0
  #written = 0
  #durable = 0
  #broken = false
  readonly #spares: string[]

  constructor(fs: FileSystem, at: StreamLocation) {
    this.#fs = fs
    this.#at = at
    const prefix = spareName(at.stream, '')
    this.#spares = fs.list(at.directory).filter((name) => name.startsWith(prefix))
    if (!at.recycle) this.#dropSpares()
  }

  /** Writes the blocks of one round; they are durable after the next sync(). */
  append(bytes: Uint8Array, placements: readonly number[]): void {
    this.#mustWork()
    this.#broken = true
    const buffer = asBuffer(bytes)
    for (let i = 0; i < placements.length; i += PLACEMENT_LENGTH) {
      this.#appendBlock(
        buffer,
        placements[i]!,
        placements[i + 1]!,
        placements[i + 2]!,
        placements[i + 3]!,
      )
    }
    this.#broken = false
  }

  sync(): void {
    this.#mustWork()
    this.#broken = true
    this.#file?.datasync()
    this.#durable = this.#written
    this.#broken = false
  }

  /** Takes dead segments out of the log in the given order, each for certain before the next. */
  remove(names: readonly string[]): void {
    this.#mustWork()
    this.#broken = true
    const { directory, stream } = this.#at
    dropMarksOf(this.#fs, directory, names)
    for (const name of names) {
      if (this.#at.recycle && this.#spares.length < SPARES_MAX) {
        const spare = spareName(stream, name)
        this.#fs.rename(join(directory, name), join(directory, spare))
        this.#spares.push(spare)
      } else {
        this.#fs.remove(join(directory, name))
      }
      this.#fs.syncDirectory(directory)
    }
    this.#broken = false
  }

  close(): void {
    if (!this.#broken) this.#finishSegment()
    else this.#file?.close()
    this.#broken = true
  }

  #appendBlock(
    buffer: Buffer,
    segmentId: number,
    offset: number,
    start: number,
    length: number,
  ): void {
    const number = blockNumberAt(buffer, start)
    if (segmentId !== this.#segmentId) this.#beginSegment(segmentId, number)
    assert(this.#file !== undefined && offset === this.#end, 'blocks follow one another')
    stampBlock(buffer, start, segmentId, offset, this.#durable)
    this.#fillAhead(offset + length, length)
    this.#file.write(buffer.subarray(start, start + length), offset)
    this.#end = offset + length
    this.#written = number
  }

  #fillAhead(end: number, length: number): void {
    if (length > FILL_APPEND_BYTES_MAX || end <= this.#filled) return
    const from = Math.max(this.#filled, this.#end)
    this.#file!.write(ZEROS, from)
    this.#filled = from + FILL_BYTES
  }

  #beginSegment(id: number, firstBlock: number): void {
    this.#finishSegment()
    this.#durable = firstBlock - 1
    const { directory, stream, run } = this.#at
    const path = join(directory, segmentName(stream, id))
    const spare = this.#takeSpare(id)
    const sparePath = spare === undefined ? undefined : join(directory, spare)
    const file =
      sparePath === undefined
        ? this.#fs.open(path, 'create')
        : this.#fs.open(sparePath, 'read-write')
    this.#file = file
    file.write(encodeSegmentHeader({ version: FORMAT_VERSION, stream, id, run, firstBlock }), 0)
    file.sync()
    // A spare takes its new name only with its new header on disk.
    if (sparePath !== undefined) this.#fs.rename(sparePath, path)
    this.#fs.syncDirectory(directory)
    writeMark(this.#fs, directory, stream, id)
    this.#segmentId = id
    this.#end = SEGMENT_HEADER_BYTES
    this.#filled = file.size()
  }

  /**
   * A block's checksum holds its segment's id, but no stream or run: what a spare held verifies where
   * the new segment has the same id, as that of another stream may. A power loss would bring it back.
   */
  #takeSpare(id: number): string | undefined {
    const at = this.#spares.findIndex((name) => formerId(name) !== id)
    return at < 0 ? undefined : this.#spares.splice(at, 1)[0]
  }

  /** Cuts off what is behind the last block, so that a complete segment ends with its last block. */
  #finishSegment(): void {
    if (this.#file === undefined) return
    this.#file.truncate(this.#end)
    this.#file.sync()
    this.#file.close()
    this.#file = undefined
  }

  #dropSpares(): void {
    for (const name of this.#spares) this.#fs.remove(join(this.#at.directory, name))
    this.#spares.length = 0
  }

  #mustWork(): void {
    assert(!this.#broken, 'a writer does nothing after its disk failed')
  }
}

const SPARE_PREFIX = 'spare-'

/** Never mistaken for a segment. */
function spareName(stream: number, segment: string): string {
  return `${SPARE_PREFIX}${stream}-${segment}`
}

/** Of the segment that a spare was. */
function formerId(spare: string): number | undefined {
  return parseSegmentName(spare.slice(spare.indexOf('-', SPARE_PREFIX.length) + 1))?.id
}
