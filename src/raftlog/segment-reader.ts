/** Walks the blocks of one segment and tells a torn tail from corruption. */
import { PolyraftError } from '../base/errors.ts'
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

export class SegmentReader {
  readonly #bytes: Buffer
  readonly #path: string
  readonly #header: SegmentHeader
  /** Its tail may be torn. */
  readonly #newest: boolean
  #nextNumber: number
  /** Start of the current block. */
  offset = SEGMENT_HEADER_BYTES
  /** Behind the current block. */
  end = SEGMENT_HEADER_BYTES
  items: readonly BlockItem[] = []
  damage = ''
  #block: BlockHeader | undefined = undefined

  constructor(bytes: Buffer, path: string, header: SegmentHeader, newest: boolean) {
    this.#bytes = bytes
    this.#path = path
    this.#header = header
    this.#newest = newest
    this.#nextNumber = header.firstBlock
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

  /** To the next block; false at the end. Throws Corruption. */
  next(): boolean {
    const start = this.end
    if (start === this.#bytes.length) return false
    const header = decodeBlockHeader(this.#bytes, start, this.#header.id)
    if (header === undefined) return this.#stop(start, 'no block begins here')
    if (header.number !== this.#nextNumber) {
      const why = `block ${header.number} stands where ${this.#nextNumber} belongs`
      throw corruption(this.#path, start, why)
    }
    const items = decodeBlock(this.#bytes, start, header)
    if (typeof items === 'string') return this.#stop(start, items)
    this.offset = start
    this.end = start + BLOCK_HEADER_BYTES + header.dataBytes + header.metaBytes
    this.#block = header
    this.items = items
    this.#nextNumber++
    return true
  }

  /** The end of a torn tail, or corruption when anything says that this place was durable. */
  #stop(start: number, why: string): false {
    if (!this.#newest) throw corruption(this.#path, start, why)
    const witness = anyBlockFrom(this.#bytes, start, this.#header.id, this.#nextNumber)
    if (witness !== undefined) {
      throw corruption(this.#path, start, `${why}, but the block at ${witness} is newer and whole`)
    }
    this.damage = why
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
    `${path} is damaged at offset ${offset}: ${why}. Check the disk; then remove this store from ` +
      'the cluster and add it anew with an empty data directory, or restore the file from a backup',
    { path, offset },
  )
}
