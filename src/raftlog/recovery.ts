/**
 * Reads the segments of all streams at start-up and rebuilds regions and segment table.
 *
 * What may be wrong with a disk, and what is done about it:
 * - The newest segment of a stream ends in a block that was never acknowledged: cut. Blocks that
 *   were written in the same group may have reached the disk before it; they go with it. Mode
 *   `absolute` refuses this too: there is to be nothing but zeros behind the last block.
 * - Anything else (damage in an older segment, damage below a block that says it was fsynced, a
 *   missing segment or block): Corruption, with file and offset. Nothing on disk is changed.
 *
 * INVARIANTS
 * - After recovery every segment left on disk is whole and ends with its last block.
 * - What recovery answers is durable: raft takes it for persisted. A process that was killed between
 *   write and fsync leaves blocks that only the page cache has.
 */
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type { FileSystem } from '../env/port.ts'
import { SEGMENT_HEADER_BYTES } from './format.ts'
import { RecoveryProgress } from './recovery-progress.ts'
import type { RegionLog } from './region-log.ts'
import { Replay } from './replay.ts'
import { Segment, SegmentTable } from './segment.ts'
import { corruption, refuseDamage } from './segment-reader.ts'
import { earliest, type FoundSegment, findSegments, StreamCursor } from './stream-cursor.ts'

export const RECOVERY_MODES = ['tolerate-tail', 'absolute'] as const
export type RecoveryMode = (typeof RECOVERY_MODES)[number]
export const RECOVERY_MODE_DEFAULT: RecoveryMode = 'tolerate-tail'

export interface Recovered {
  readonly table: SegmentTable
  readonly regions: Map<number, RegionLog>
  readonly lastSequence: number
  /** Number of the last block, by stream. */
  readonly lastBlocks: readonly number[]
}

export function recover(
  fs: FileSystem,
  directory: string,
  logger: Logger,
  mode: RecoveryMode,
): Recovered {
  const { streams, unborn, newestRun, bytes } = findSegments(fs, directory, refuseDamage)
  const progress = new RecoveryProgress(bytes, streams.flat().length, logger, () =>
    performance.now(),
  )
  const cursors = streams.map((found) => new StreamCursor(fs, found, newestRun, refuseDamage))
  const table = new SegmentTable()
  const replay = new Replay()
  const lastSequence = replayAll(cursors, replay, table, progress)
  replay.finish()
  if (mode === 'absolute') for (const cursor of cursors) mustBeWhole(cursor)
  for (const path of unborn) {
    logger.warn({ path }, 'raft log: removed a segment whose creation was interrupted')
    fs.remove(path)
  }
  for (const cursor of cursors) settleTail(fs, cursor, logger)
  if (cursors.length > 0) fs.syncDirectory(directory)
  progress.finish(replay.regions.size)
  table.beginRun(newestRun + 1)
  const lastBlocks = cursors.map((cursor) => cursor.lastBlock)
  return { table, regions: replay.regions, lastSequence, lastBlocks }
}

/** Applies all blocks in the order in which they were written; answers the last one's sequence. */
function replayAll(
  cursors: readonly StreamCursor[],
  replay: Replay,
  table: SegmentTable,
  progress: RecoveryProgress,
): number {
  const places = cursors.map((cursor) => new SegmentPlace(cursor, table, progress))
  let lastSequence = 0
  for (;;) {
    const cursor = earliest(cursors)
    if (cursor === undefined) break
    const { reader } = cursor
    const { sequence } = reader.block
    if (sequence <= lastSequence) {
      const why = `sequence ${sequence} is there twice`
      throw corruption(cursor.segment.path, reader.offset, why)
    }
    lastSequence = sequence
    const place = places[cursors.indexOf(cursor)]!
    replay.apply(reader.items, place.take())
    cursor.advance()
  }
  for (const place of places) place.finish()
  return lastSequence
}

/** Enters a stream's segments into the table while its cursor passes through them. */
class SegmentPlace {
  readonly #cursor: StreamCursor
  readonly #found: readonly FoundSegment[]
  readonly #table: SegmentTable
  readonly #progress: RecoveryProgress
  #position = -1
  #segment: Segment | undefined = undefined

  constructor(cursor: StreamCursor, table: SegmentTable, progress: RecoveryProgress) {
    this.#cursor = cursor
    this.#found = cursor.found
    this.#table = table
    this.#progress = progress
  }

  /** The segment of the cursor's block, of its size up to that. */
  take(): Segment {
    this.#goTo(this.#cursor.position)
    const segment = this.#segment!
    segment.size = this.#cursor.reader.end
    return segment
  }

  finish(): void {
    this.#goTo(this.#found.length - 1)
    const last = this.#found[this.#position]
    if (last !== undefined) this.#progress.segment(last.bytes)
  }

  #goTo(position: number): void {
    while (this.#position < position) {
      const before = this.#found[this.#position]
      if (before !== undefined) this.#progress.segment(before.bytes)
      this.#position++
      const { stream, id, run } = this.#found[this.#position]!.header
      this.#segment = new Segment(stream, id, run, SEGMENT_HEADER_BYTES)
      this.#table.add(this.#segment)
    }
  }
}

function mustBeWhole(cursor: StreamCursor): void {
  const tail = cursor.tail()
  if (tail === undefined || tail.torn === 0) return
  const { path, offset, torn, why } = tail
  const found = corruption(path, offset, `${torn} bytes that are no block: ${why}`)
  const advice = 'Recovery mode "absolute" refuses a torn tail, "tolerate-tail" would cut it off'
  throw new PolyraftError(found.code, `${errorMessage(found)}. ${advice}`, found.data)
}

/** Makes the newest segment end with its last whole block, and all of it durable. */
function settleTail(fs: FileSystem, cursor: StreamCursor, logger: Logger): void {
  const unproven = cursor.unproven()
  if (unproven === undefined) return
  const { path, start, bytes } = unproven
  const tail = cursor.tail()
  if (tail !== undefined && tail.torn > 0) {
    const { offset, torn, why } = tail
    const message = 'raft log: cut what was never acknowledged off the newest segment'
    logger.info({ path, offset, bytes: torn, why }, message)
  }
  const file = fs.open(path, 'read-write')
  try {
    // Not only fsynced: if an fsync failed before, Linux holds these for written, though they are not.
    file.write(bytes, start)
    file.truncate(start + bytes.length)
    file.sync()
  } finally {
    file.close()
  }
}
