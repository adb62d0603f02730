/**
 * What crosses the thread border: a round of calls to an apply worker as one ArrayBuffer that is
 * moved, and results as one Float64Array. No object graph is cloned on the way.
 *
 *   round     section*                                       little-endian
 *   section   apply     u8 1 | u64 region | u32 n | n × entry
 *             register  u8 2 | u32 length | region | u32 length | apply state
 *             destroy   u8 3 | u64 region
 *             snapshot  u8 4 | u64 region | u64 id
 *             cancel    u8 5 | u64 region
 *   entry     u64 index | u64 term | u8 type | u32 length | data
 *
 *   results   result*                                        float64
 *   result    region, applied index, applied term, keys, bytes, truncated index (0 = none),
 *             removed (0 or 1), r, r × (index, code)
 *
 * The data of decoded entries are views of the round's memory: it is copied once, on encoding,
 * because entries go on to live in the log cache of the sender.
 */
import { assert } from '../base/assert.ts'
import { unboxed, writeU64LE } from '../base/bytes.ts'
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { Entry, EntryType } from '../raft/types.ts'
import type { Region } from '../region/region.ts'
import {
  type ApplyState,
  decodeApplyState,
  encodeApplyState,
  readRegion,
  writeRegion,
} from '../region/state.ts'
import type { ApplyRejection, ApplyResult, ApplyTask } from './port.ts'

const Section = { Apply: 1, Register: 2, Destroy: 3, Snapshot: 4, Cancel: 5 } as const
const TASK_HEADER_BYTES = 13
const ENTRY_HEADER_BYTES = 21

const RESULT_NUMBERS = 8
const REJECTION_NUMBERS = 2
const REJECTION_CODES = ['EpochNotMatch', 'InvalidChange'] as const

/** Where the calls of a round end up. */
export interface RoundTarget {
  register(region: Region, state: ApplyState): void
  apply(task: ApplyTask): void
  destroy(regionId: RegionId): void
  snapshot(regionId: RegionId, id: number): void
  cancelSnapshot(regionId: RegionId): void
}

/**
 * Collects the calls of one round. Tasks are kept as they are until take(), so that the round is
 * encoded into memory of exactly its size.
 */
export class RoundEncoder {
  /** Tasks, and sections that are encoded already (registrations and destructions are rare). */
  readonly #items: (ApplyTask | Buffer)[] = []
  #bytes = 0

  get empty(): boolean {
    return this.#items.length === 0
  }

  /** Of the round so far. */
  get bytes(): number {
    return this.#bytes
  }

  register(region: Region, state: ApplyState): void {
    const encodedRegion = new ByteWriter(128)
    writeRegion(encodedRegion, region)
    const section = new ByteWriter(256).u8(Section.Register).bytes(encodedRegion.view())
    this.#addEncoded(section.bytes(encodeApplyState(state)).take())
  }

  destroy(regionId: RegionId): void {
    this.#addEncoded(new ByteWriter(9).u8(Section.Destroy).u64(regionId).take())
  }

  snapshot(regionId: RegionId, id: number): void {
    this.#addEncoded(new ByteWriter(17).u8(Section.Snapshot).u64(regionId).u64(id).take())
  }

  cancelSnapshot(regionId: RegionId): void {
    this.#addEncoded(new ByteWriter(9).u8(Section.Cancel).u64(regionId).take())
  }

  // @hot
  apply(task: ApplyTask): void {
    const { entries } = task
    assert(entries.length > 0, 'a task has entries')
    let bytes = TASK_HEADER_BYTES + entries.length * ENTRY_HEADER_BYTES
    for (let i = 0; i < entries.length; i++) bytes += entries[i]!.data.length
    this.#items.push(task)
    this.#bytes += bytes
  }

  /** The round in memory of its own, ready to be moved; the encoder is empty afterwards. */
  take(): ArrayBuffer {
    const round = Buffer.allocUnsafeSlow(this.#bytes)
    let at = 0
    for (const item of this.#items) {
      if (Buffer.isBuffer(item)) {
        round.set(item, at)
        at += item.length
      } else {
        at = writeTask(round, at, item)
      }
    }
    assert(at === this.#bytes, 'the round has the size that was counted')
    this.#items.length = 0
    this.#bytes = 0
    return round.buffer as ArrayBuffer
  }

  #addEncoded(section: Buffer): void {
    this.#items.push(section)
    this.#bytes += section.length
  }
}

function writeTask(round: Buffer, at: number, { regionId, entries }: ApplyTask): number {
  round[at] = Section.Apply
  writeU64LE(round, regionId, at + 1)
  round.writeUInt32LE(entries.length, at + 9)
  at += TASK_HEADER_BYTES
  for (let i = 0; i < entries.length; i++) at = writeEntry(round, at, entries[i]!)
  return at
}

function writeEntry(round: Buffer, at: number, { index, term, type, data }: Entry): number {
  writeU64LE(round, index, at)
  writeU64LE(round, term, at + 8)
  round[at + 16] = type
  round.writeUInt32LE(data.length, at + 17)
  round.set(data, at + ENTRY_HEADER_BYTES)
  return at + ENTRY_HEADER_BYTES + data.length
}

/** Makes the calls of a round on `target`, in their order. */
export function decodeRound(round: ArrayBuffer, target: RoundTarget): void {
  const reader = new ByteReader(Buffer.from(round), 'apply round')
  while (reader.remaining > 0) {
    const section = reader.u8()
    if (section === Section.Apply) target.apply(readTask(reader))
    else if (section === Section.Register) readRegistration(reader, target)
    else if (section === Section.Destroy) target.destroy(reader.u64())
    else if (section === Section.Snapshot) target.snapshot(reader.u64(), reader.u64())
    else if (section === Section.Cancel) target.cancelSnapshot(reader.u64())
    else throw new PolyraftError('Corruption', `apply round: section ${section}`)
  }
}

function readTask(reader: ByteReader): ApplyTask {
  const regionId = reader.u64()
  const entries: Entry[] = []
  for (let left = reader.u32(); left > 0; left--) {
    const index = reader.u64()
    const term = reader.u64()
    const type = reader.u8() as EntryType
    entries.push({ index, term, type, data: reader.bytes() })
  }
  return { regionId, entries }
}

function readRegistration(reader: ByteReader, target: RoundTarget): void {
  const region = readRegion(new ByteReader(reader.bytes(), 'apply round: region'))
  target.register(region, decodeApplyState(reader.bytes()))
}

export function encodeResults(results: readonly ApplyResult[]): Float64Array<ArrayBuffer> {
  let length = results.length * RESULT_NUMBERS
  for (const result of results) length += result.rejections.length * REJECTION_NUMBERS
  const numbers = new Float64Array(length)
  let at = 0
  for (const result of results) at = writeResult(numbers, at, result)
  return numbers
}

function writeResult(numbers: Float64Array, at: number, result: ApplyResult): number {
  numbers[at] = result.regionId
  numbers[at + 1] = result.appliedIndex
  numbers[at + 2] = result.appliedTerm
  numbers[at + 3] = result.writtenKeys
  numbers[at + 4] = result.writtenBytes
  numbers[at + 5] = result.truncatedIndex ?? 0
  numbers[at + 6] = result.removed === true ? 1 : 0
  numbers[at + 7] = result.rejections.length
  at += RESULT_NUMBERS
  for (const { index, code } of result.rejections) {
    numbers[at++] = index
    numbers[at++] = REJECTION_CODES.indexOf(code)
  }
  return at
}

export function decodeResults(numbers: Float64Array): ApplyResult[] {
  const results: ApplyResult[] = []
  for (let at = 0; at < numbers.length; ) {
    const rejectionsAt = at + RESULT_NUMBERS
    const end = rejectionsAt + numbers[at + 7]! * REJECTION_NUMBERS
    const truncatedIndex = unboxed(numbers[at + 5]!)
    results.push({
      regionId: unboxed(numbers[at]!),
      appliedIndex: unboxed(numbers[at + 1]!),
      appliedTerm: unboxed(numbers[at + 2]!),
      rejections: readRejections(numbers, rejectionsAt, end),
      writtenKeys: unboxed(numbers[at + 3]!),
      writtenBytes: unboxed(numbers[at + 4]!),
      truncatedIndex: truncatedIndex === 0 ? undefined : truncatedIndex,
      removed: numbers[at + 6] === 1 ? true : undefined,
    })
    at = end
  }
  return results
}

const NO_REJECTIONS: readonly ApplyRejection[] = []

function readRejections(
  numbers: Float64Array,
  start: number,
  end: number,
): readonly ApplyRejection[] {
  if (start === end) return NO_REJECTIONS
  const rejections: ApplyRejection[] = []
  for (let at = start; at < end; at += REJECTION_NUMBERS) {
    const code = REJECTION_CODES[numbers[at + 1]!]
    assert(code !== undefined, `rejection code ${numbers[at + 1]} is known`)
    rejections.push({ index: numbers[at]!, code })
  }
  return rejections
}
