/**
 * Segment files, as they are on disk. A stream (one per store writer) is a chain of segments
 * `<stream>-<id>.log`, ids rising by one. All integers little-endian.
 *
 *   segment  header, block, block, …, then nothing; behind the last block of the newest segment
 *            there may be a torn block, zeros written ahead, or what a recycled file held before
 *   header   8 bytes "polyraft" | u32 version | u32 stream | u64 segment id | u64 run
 *            | u64 number of its first block | u32 crc of all before
 *   block    u32 magic | u32 header crc | u32 meta crc | u32 data bytes | u32 meta bytes
 *            | u64 sequence | u64 number | u64 durable number | data | meta
 *   data     frames:  u32 crc of the rest | u8 entry type | entry bytes
 *   meta     items, in block-codec.ts: regions, their states, where their frames are
 *
 * - `sequence` rises over all streams: replay merges streams by it, so the order within a region
 *   holds even when the number of streams changed between runs.
 * - `number` rises by one within a stream, across segments: a lost block cannot go unnoticed.
 * - `durable number` is the newest block of the stream known to be fsynced when this one was
 *   written. A damaged block below it was acknowledged: that is corruption and not a torn tail.
 * - The header crc is seeded with segment and offset, a frame's crc with region, index and term:
 *   a block or frame in the wrong place does not verify.
 * - `run` counts openings of the log. Every opening begins new segments, so those of earlier runs
 *   are complete.
 */
import { assert } from '../base/assert.ts'
import { readU64LE, writeU64LE } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import type { LogIndex, RegionId, Term } from '../base/ids.ts'

export const FORMAT_VERSION = 1
const SEGMENT_MAGIC = Buffer.from('polyraft')
export const SEGMENT_HEADER_BYTES = 44
const SEGMENT_CRC_OFFSET = 40
/** Upper word of 2^53 - 1. */
const U64_HIGH_WORD_MAX = 0x1f_ffff

export const BLOCK_MAGIC = 0xb10c_5afe
export const BLOCK_HEADER_BYTES = 44
export const FRAME_HEADER_BYTES = 5

export interface SegmentHeader {
  readonly version: number
  readonly stream: number
  readonly id: number
  readonly run: number
  readonly firstBlock: number
}

export interface BlockHeader {
  readonly metaCrc: number
  readonly dataBytes: number
  readonly metaBytes: number
  readonly sequence: number
  readonly number: number
  readonly durable: number
}

export function segmentName(stream: number, id: number): string {
  return `${String(stream).padStart(3, '0')}-${String(id).padStart(12, '0')}.log`
}

/** Stream and id of a segment file's name; undefined for any other file. */
export function parseSegmentName(name: string): { stream: number; id: number } | undefined {
  const match = /^(\d{3})-(\d{12})\.log$/.exec(name)
  return match === null ? undefined : { stream: Number(match[1]), id: Number(match[2]) }
}

export function encodeSegmentHeader(header: SegmentHeader): Buffer {
  const bytes = Buffer.alloc(SEGMENT_HEADER_BYTES)
  SEGMENT_MAGIC.copy(bytes)
  bytes.writeUInt32LE(header.version, 8)
  bytes.writeUInt32LE(header.stream, 12)
  writeU64LE(bytes, header.id, 16)
  writeU64LE(bytes, header.run, 24)
  writeU64LE(bytes, header.firstBlock, 32)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, SEGMENT_CRC_OFFSET)), SEGMENT_CRC_OFFSET)
  return bytes
}

/** Undefined when it is torn or damaged. Later versions must keep this header's layout. */
export function decodeSegmentHeader(bytes: Buffer): SegmentHeader | undefined {
  if (bytes.length < SEGMENT_HEADER_BYTES) return undefined
  if (SEGMENT_MAGIC.compare(bytes, 0, SEGMENT_MAGIC.length) !== 0) return undefined
  const crc = crc32c(bytes.subarray(0, SEGMENT_CRC_OFFSET))
  if (crc !== bytes.readUInt32LE(SEGMENT_CRC_OFFSET)) return undefined
  if (!isSafeU64(bytes, 16) || !isSafeU64(bytes, 24) || !isSafeU64(bytes, 32)) return undefined
  return {
    version: bytes.readUInt32LE(8),
    stream: bytes.readUInt32LE(12),
    id: readU64LE(bytes, 16),
    run: readU64LE(bytes, 24),
    firstBlock: readU64LE(bytes, 32),
  }
}

/** All of a block's header that its encoder knows; the writer stamps the rest. */
export function writeBlockHeader(bytes: Buffer, start: number, header: BlockHeader): void {
  bytes.writeUInt32LE(BLOCK_MAGIC, start)
  bytes.writeUInt32LE(header.metaCrc, start + 8)
  bytes.writeUInt32LE(header.dataBytes, start + 12)
  bytes.writeUInt32LE(header.metaBytes, start + 16)
  writeU64LE(bytes, header.sequence, start + 20)
  writeU64LE(bytes, header.number, start + 28)
}

/** Done by whoever writes the file, who alone knows what was fsynced before. */
export function stampBlock(
  bytes: Buffer,
  start: number,
  segmentId: number,
  fileOffset: number,
  durable: number,
): void {
  writeU64LE(bytes, durable, start + 36)
  bytes.writeUInt32LE(blockHeaderCrc(bytes, start, segmentId, fileOffset), start + 4)
}

/** Undefined when `bytes` at `start` is no block header written for this place. */
export function decodeBlockHeader(
  bytes: Buffer,
  start: number,
  segmentId: number,
): BlockHeader | undefined {
  if (bytes.length - start < BLOCK_HEADER_BYTES) return undefined
  if (bytes.readUInt32LE(start) !== BLOCK_MAGIC) return undefined
  const crc = blockHeaderCrc(bytes, start, segmentId, start)
  if (bytes.readUInt32LE(start + 4) !== crc) return undefined
  for (let at = start + 20; at < start + BLOCK_HEADER_BYTES; at += 8) {
    if (!isSafeU64(bytes, at)) return undefined
  }
  return {
    metaCrc: bytes.readUInt32LE(start + 8),
    dataBytes: bytes.readUInt32LE(start + 12),
    metaBytes: bytes.readUInt32LE(start + 16),
    sequence: readU64LE(bytes, start + 20),
    number: readU64LE(bytes, start + 28),
    durable: readU64LE(bytes, start + 36),
  }
}

export function blockNumberAt(bytes: Buffer, start: number): number {
  return readU64LE(bytes, start + 28)
}

/** No encoder of ours writes more, so more is damage that a checksum happens to fit. */
function isSafeU64(bytes: Buffer, offset: number): boolean {
  return bytes.readUInt32LE(offset + 4) <= U64_HIGH_WORD_MAX
}

function blockHeaderCrc(bytes: Buffer, start: number, segmentId: number, offset: number): number {
  const seed = (Math.imul(segmentId >>> 0, 0x9e3779b1) ^ offset) >>> 0
  return crc32c(bytes.subarray(start + 8, start + BLOCK_HEADER_BYTES), seed)
}

/** Writes one entry's frame; answers the offset behind it. */
export function writeFrame(
  target: Buffer,
  start: number,
  seed: number,
  type: number,
  data: Uint8Array,
): number {
  const end = start + FRAME_HEADER_BYTES + data.length
  assert(end <= target.length, 'a frame fits where it is written')
  target[start + 4] = type
  target.set(data, start + FRAME_HEADER_BYTES)
  target.writeUInt32LE(crc32c(target.subarray(start + 4, end), seed), start)
  return end
}

export function verifyFrame(
  bytes: Buffer,
  start: number,
  dataBytes: number,
  seed: number,
): boolean {
  const end = start + FRAME_HEADER_BYTES + dataBytes
  if (end > bytes.length) return false
  return bytes.readUInt32LE(start) === crc32c(bytes.subarray(start + 4, end), seed)
}

export function frameSeed(regionId: RegionId, index: LogIndex, term: Term): number {
  const mixed =
    Math.imul(regionId >>> 0, 0x9e3779b1) ^ Math.imul(index >>> 0, 0x85ebca6b) ^ (term >>> 0)
  return mixed >>> 0
}
