/** Walks the blocks of one segment and tells a torn tail from corruption. */
import { PolyraftError } from '../base/errors.ts'
import { REJOIN } from '../base/rejoin.ts'
import { type BlockItem, decodeBlock } from './block-items.ts'
import {
  BLOCK_HEADER_BYTES,
  BLOCK_MAGIC,
  type BlockHeader,
  decodeBlockHeader,
  SEGMENT_HEADER_BYTES,
  type SegmentHeader,
} from './format.ts'

const MAGIC_BYTES = Buffer.alloc(4)
MAGIC_BYTES.writeUInt32LE(BLOCK_MAGIC)

/** Something on disk that is not as it was written. */
export interface Damage {
  readonly path: string
  readonly offset: number
  readonly why: string
}

/** Told of each damage: a start throws, a tool notes it and the walk goes on behind it. */
export type DamageReport = (damage: Damage) => void

export const refuseDamage: DamageReport = ({ path, offset, why }) => {
  throw corruption(path, offset, why)
}

export class SegmentReader {
  readonly #bytes: Buffer
  readonly #path: string
  readonly #header: SegmentHeader
  /** Its tail may be torn. */
  readonly #newest: boolean
  readonly #report: DamageReport
  #nextNumber: number
  /** Blocks, in order, that no later one says were fsynced; the first stands for the header too. */
  #unproven: { readonly number: number; readonly start: number }[]
  /** Start of the current block. */
  offset = SEGMENT_HEADER_BYTES
  /** Behind the current block. */
  end = SEGMENT_HEADER_BYTES
  items: readonly BlockItem[] = []
  damage = ''
  #block: BlockHeader | undefined = undefined

  constructor(
    bytes: Buffer,
    path: string,
    header: SegmentHeader,
    newest: boolean,
    report: DamageReport,
  ) {
    this.#bytes = bytes
    this.#path = path
    this.#header = header
    this.#newest = newest
    this.#report = report
    this.#nextNumber = header.firstBlock
    this.#unproven = [{ number: header.firstBlock, start: 0 }]
  }

  get size(): number {
    return this.#bytes.length
  }

  get block(): BlockHeader {
    return this.#block!
  }

  /** Bytes behind the last block: a torn write, or what a recycled file held before. */
  get tornBytes(): number {
    let last = this.#bytes.length
    while (last > this.end && this.#bytes[last - 1] === 0) last--
    return last - this.end
  }

  /** From `start` to the last block's end: what may be in the page cache alone. */
  get unproven(): { readonly start: number; readonly bytes: Buffer } {
    const start = this.#unproven[0]?.start ?? this.end
    return { start, bytes: this.#bytes.subarray(start, this.end) }
  }

  /** To the next block; false at the end. */
  next(): boolean {
    const start = this.end
    if (start >= this.#bytes.length) return false
    const problem = this.#read(start)
    if (problem === undefined) return true
    if (this.#newest && this.#isTorn(start, problem)) return false
    if (!this.#newest) this.#report({ path: this.#path, offset: start, why: problem })
    return this.#resume(start)
  }

  /** Takes the block at `start`, or answers what is wrong with it. */
  #read(start: number): string | undefined {
    const header = decodeBlockHeader(this.#bytes, start, this.#header.id)
    if (header === undefined) return 'no block begins here'
    if (header.number !== this.#nextNumber) {
      const why = `block ${header.number} stands where ${this.#nextNumber} belongs`
      this.#report({ path: this.#path, offset: start, why })
    }
    const items = this.#decode(start, header)
    if (typeof items === 'string') return items
    this.offset = start
    this.end = start + BLOCK_HEADER_BYTES + header.dataBytes + header.metaBytes
    this.#block = header
    this.items = items
    this.#nextNumber = header.number + 1
    this.#noteProof(header, start)
    return undefined
  }

  #noteProof({ number, durable }: BlockHeader, start: number): void {
    const unproven = this.#unproven
    if (start > SEGMENT_HEADER_BYTES) unproven.push({ number, start })
    while (unproven.length > 0 && unproven[0]!.number <= durable) unproven.shift()
  }

  #decode(start: number, header: BlockHeader): readonly BlockItem[] | string {
    try {
      return decodeBlock(this.#bytes, start, header)
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      this.#report({ path: this.#path, offset: start, why: error.message })
      return error.message
    }
  }

  /** A torn tail, unless anything says that this place was durable: that is reported. */
  #isTorn(start: number, why: string): boolean {
    const witness = anyBlockFrom(this.#bytes, start, this.#header.id, this.#nextNumber)
    this.damage = why
    if (witness === undefined) return true
    const more = `${why}, but the block at ${witness} is newer and whole`
    this.#report({ path: this.#path, offset: start, why: more })
    return false
  }

  /** To the first whole block behind damage at `start`. */
  #resume(start: number): boolean {
    let at = this.#bytes.indexOf(MAGIC_BYTES, start + 1)
    while (at >= 0) {
      const header = decodeBlockHeader(this.#bytes, at, this.#header.id)
      if (header !== undefined && header.number >= this.#nextNumber) {
        this.#nextNumber = header.number
        if (this.#read(at) === undefined) return true
      }
      at = this.#bytes.indexOf(MAGIC_BYTES, at + 1)
    }
    // Nothing more can be read: the walk ends, and the tail is not to be taken for torn.
    this.end = this.#bytes.length
    return false
  }
}

/** Offset of a block written when block `durable` was on disk already, at `from` or behind it. */
export function anyBlockFrom(
  bytes: Buffer,
  from: number,
  segmentId: number,
  durable: number,
): number | undefined {
  let at = bytes.indexOf(MAGIC_BYTES, from)
  while (at >= 0) {
    const header = decodeBlockHeader(bytes, at, segmentId)
    if (header !== undefined && header.durable >= durable) return at
    at = bytes.indexOf(MAGIC_BYTES, at + 1)
  }
  return undefined
}

export function corruption(path: string, offset: number, why: string): PolyraftError {
  return new PolyraftError(
    'Corruption',
    `${path} is damaged at offset ${offset}: ${why}. Check the disk; then bring the file back, or, ` +
      REJOIN,
    { path, offset },
  )
}
