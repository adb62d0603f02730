/**
 * Reads entries' frames from segments and verifies each one. Every frame has a checksum of its own,
 * seeded with region, index and term: a block holds entries of many regions, and reading all of it
 * to verify one region's would multiply the bytes by the number of active regions.
 */
import { join } from 'node:path'
import type { ErrorCode } from '../base/errors.ts'
import { PolyraftError } from '../base/errors.ts'
import type { FileSystem } from '../env/port.ts'
import { diskError } from './disk-error.ts'
import { FRAME_HEADER_BYTES, verifyFrame } from './format.ts'
import { corruption } from './segment-reader.ts'

/** Frames that are adjacent in one file. */
export interface FetchRange {
  readonly name: string
  readonly offset: number
  readonly dataBytes: number[]
  readonly seeds: number[]
}

export interface FetchPlan {
  readonly directory: string
  readonly ranges: readonly FetchRange[]
  readonly totalBytes: number
}

/** All frames one behind the other, or why not. */
export type FetchReply = Uint8Array | { code: ErrorCode; message: string }

export function readFrames(fs: FileSystem, plan: FetchPlan): FetchReply {
  try {
    const bytes = Buffer.allocUnsafeSlow(plan.totalBytes)
    let position = 0
    for (const range of plan.ranges) {
      const path = join(plan.directory, range.name)
      position = readRange(fs, path, range, bytes, position)
    }
    return bytes
  } catch (error) {
    const reported = diskError(error)
    if (!(reported instanceof PolyraftError)) throw error
    return { code: reported.code, message: reported.message }
  }
}

function readRange(
  fs: FileSystem,
  path: string,
  range: FetchRange,
  bytes: Buffer,
  start: number,
): number {
  const end = range.dataBytes.reduce((sum, length) => sum + length + FRAME_HEADER_BYTES, start)
  const file = fs.open(path, 'read')
  try {
    if (file.read(bytes.subarray(start, end), range.offset) !== end - start) {
      throw corruption(path, range.offset, 'the file ends within an entry')
    }
  } finally {
    file.close()
  }
  let position = start
  for (let i = 0; i < range.seeds.length; i++) {
    if (!verifyFrame(bytes, position, range.dataBytes[i]!, range.seeds[i]!)) {
      const offset = range.offset + position - start
      throw corruption(path, offset, 'the checksum of an entry is wrong')
    }
    position += FRAME_HEADER_BYTES + range.dataBytes[i]!
  }
  return end
}
