/**
 * How far the chain of a stream's segments went: without it a start could not tell that the newest
 * ones are missing, since what is left ends as it should. Written once a segment, between the moment
 * at which its name is durable and its first block: so a write costs nothing for it.
 *
 *   file   newest-<stream>: two slots of a sector each, written in turns
 *   slot   8 bytes "newest\0\0" | u64 id of the newest segment | u32 crc of both and the stream
 *
 * INVARIANTS
 * - Nothing is acknowledged in a segment above the mark; a segment at the mark was there whole.
 * - The mark of a stream goes before its newest segment does, which happens to streams that are no
 *   longer written.
 * A log of before, or a mark that is not to be read, is taken on trust.
 */
import { join } from 'node:path'
import { readU64LE, writeU64LE } from '../base/bytes.ts'
import { crc32c } from '../base/crc32c.ts'
import { type FileSystem, readFile } from '../env/port.ts'
import { parseSegmentName } from './format.ts'

const SLOT_BYTES = 512
const MAGIC = Buffer.from('newest\0\0')
const CRC_OFFSET = 16
const RECORD_BYTES = 20

function markName(stream: number): string {
  return `newest-${String(stream).padStart(3, '0')}`
}

/** Stream of a mark's file; undefined for any other file. */
export function parseMarkName(name: string): number | undefined {
  const match = /^newest-(\d{3})$/.exec(name)
  return match === null ? undefined : Number(match[1])
}

/** Durable when it returns. */
export function writeMark(fs: FileSystem, directory: string, stream: number, id: number): void {
  const path = join(directory, markName(stream))
  const isNew = !fs.exists(path)
  const file = fs.open(path, isNew ? 'create' : 'read-write')
  try {
    file.write(encode(stream, id), (id % 2) * SLOT_BYTES)
    file.sync()
  } finally {
    file.close()
  }
  if (isNew) fs.syncDirectory(directory)
}

/** Undefined: nothing is known. */
export function readMark(fs: FileSystem, directory: string, stream: number): number | undefined {
  const path = join(directory, markName(stream))
  if (!fs.exists(path)) return undefined
  const bytes = readFile(fs, path)
  const ids = [0, SLOT_BYTES].map((start) => decode(bytes.subarray(start), stream))
  return Math.max(...ids) || undefined
}

/** Before these segments go: a mark that names one of them goes first, durably. */
export function dropMarksOf(fs: FileSystem, directory: string, segments: readonly string[]): void {
  for (const name of segments) {
    const { stream, id } = parseSegmentName(name)!
    if (readMark(fs, directory, stream) === id) dropMark(fs, directory, stream)
  }
}

export function dropMark(fs: FileSystem, directory: string, stream: number): void {
  const path = join(directory, markName(stream))
  if (!fs.exists(path)) return
  fs.remove(path)
  fs.syncDirectory(directory)
}

function encode(stream: number, id: number): Buffer {
  const bytes = Buffer.alloc(RECORD_BYTES)
  MAGIC.copy(bytes)
  writeU64LE(bytes, id, 8)
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, CRC_OFFSET), stream), CRC_OFFSET)
  return bytes
}

/** 0 when it is none of this stream. */
function decode(bytes: Buffer, stream: number): number {
  if (bytes.length < RECORD_BYTES || MAGIC.compare(bytes, 0, MAGIC.length) !== 0) return 0
  const crc = crc32c(bytes.subarray(0, CRC_OFFSET), stream)
  return crc === bytes.readUInt32LE(CRC_OFFSET) ? readU64LE(bytes, 8) : 0
}
