/**
 * Reads a log that nobody writes, for the offline tools: the same walk as a start's, but damage is
 * noted instead of refused, and the walk goes on behind it. Changes nothing on disk.
 */
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { FileSystem } from '../env/port.ts'
import type { BlockItem } from './block-items.ts'
import { type BlockHeader, SEGMENT_HEADER_BYTES } from './format.ts'
import type { RegionLog } from './region-log.ts'
import { Replay } from './replay.ts'
import { Segment } from './segment.ts'
import type { Damage } from './segment-reader.ts'
import { earliest, type FoundSegment, findSegments, StreamCursor } from './stream-cursor.ts'

export interface ScannedBlock {
  readonly found: FoundSegment
  readonly offset: number
  readonly end: number
  readonly header: BlockHeader
  readonly items: readonly BlockItem[]
}

export interface ScannedSegment extends FoundSegment {
  blocks: number
  firstSequence: number
  lastSequence: number
  /** Behind the last whole block. */
  end: number
}

/** Behind the last block of a stream; a start cuts it off. */
export interface TornTail extends Damage {
  readonly torn: number
}

export interface LogScan {
  readonly segments: readonly ScannedSegment[]
  /** In the order of the walk; empty for a log that a start accepts. */
  readonly damages: readonly Damage[]
  readonly tails: readonly TornTail[]
  readonly unborn: readonly string[]
  readonly blocks: number
  /** As they are after the last block; with damage, as far as what is left tells. */
  readonly regions: ReadonlyMap<RegionId, RegionLog>
  /** Regions of which the log does not hold all that it must. */
  readonly brokenRegions: readonly RegionId[]
}

export interface ScanOptions {
  /** Blocks that it refuses are left out, as if they were not there. */
  readonly accept?: (block: ScannedBlock) => boolean
  readonly onBlock?: (block: ScannedBlock) => void
}

export function scanLog(fs: FileSystem, directory: string, options: ScanOptions = {}): LogScan {
  const damages = new DamageList()
  const found = findSegments(fs, directory, damages.report)
  const cursors = found.streams.map(
    (segments) => new StreamCursor(fs, segments, found.newestRun, damages.report),
  )
  const { segments, blocks, replay } = walk(cursors, damages, options)
  const tails = cursors.map((cursor) => cursor.tail()).filter((tail) => tail !== undefined)
  const regions = [...replay.regions.values()]
  return {
    segments: [...segments.values()],
    damages: damages.list,
    tails: tails.filter((tail) => tail.torn > 0),
    unborn: found.unborn,
    blocks,
    regions: replay.regions,
    brokenRegions: regions.filter((each) => !replay.isWhole(each)).map((each) => each.id),
  }
}

function walk(cursors: readonly StreamCursor[], damages: DamageList, options: ScanOptions) {
  const segments = new Map<string, ScannedSegment>()
  for (const { found } of cursors) for (const each of found) segments.set(each.path, fresh(each))
  const places = new Map<string, Segment>()
  const replay = new Replay()
  let blocks = 0
  let last = 0
  for (;;) {
    const cursor = earliest(cursors)
    if (cursor === undefined) break
    const { reader, segment: found } = cursor
    const { block: header, offset, end, items } = reader
    if (header.sequence <= last) {
      const why = `sequence ${header.sequence} is there twice`
      damages.report({ path: found.path, offset, why })
    }
    last = header.sequence
    const block = { found, offset, end, header, items }
    if (options.accept?.(block) ?? true) {
      blocks++
      count(segments.get(found.path)!, block)
      options.onBlock?.(block)
      replayItems(replay, block, places, damages)
    }
    cursor.advance()
  }
  return { segments, blocks, replay }
}

/** Items that contradict one another are damage too. */
function replayItems(
  replay: Replay,
  block: ScannedBlock,
  places: Map<string, Segment>,
  damages: DamageList,
): void {
  const { path, header } = block.found
  let place = places.get(path)
  if (place === undefined) {
    place = new Segment(header.stream, header.id, header.run, SEGMENT_HEADER_BYTES)
    places.set(path, place)
  }
  try {
    replay.apply(block.items, place)
  } catch (error) {
    if (!(error instanceof PolyraftError)) throw error
    damages.report({ path, offset: block.offset, why: error.message })
  }
}

function fresh(found: FoundSegment): ScannedSegment {
  return { ...found, blocks: 0, firstSequence: 0, lastSequence: 0, end: SEGMENT_HEADER_BYTES }
}

function count(segment: ScannedSegment, block: ScannedBlock): void {
  if (segment.blocks === 0) segment.firstSequence = block.header.sequence
  segment.blocks++
  segment.lastSequence = block.header.sequence
  segment.end = block.end
}

/** A place may be told of twice: by what is there, and by what refers to it. */
class DamageList {
  readonly list: Damage[] = []

  readonly report = (damage: Damage): void => {
    const same = (each: Damage) => each.path === damage.path && each.offset === damage.offset
    if (!this.list.some(same)) this.list.push(damage)
  }
}
