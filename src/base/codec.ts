/** A growing little-endian writer and its reader: the base of the small on-disk and thread codecs. */

import { EMPTY_BYTES, readU64LE, writeU64LE } from './bytes.ts'
import { PolyraftError } from './errors.ts'

const CAPACITY_MIN = 64

export class ByteWriter {
  #bytes: Buffer
  #length = 0

  constructor(capacity = 256) {
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  get length(): number {
    return this.#length
  }

  u8(value: number): this {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
    return this
  }

  u16(value: number): this {
    this.#reserve(2)
    this.#length = this.#bytes.writeUInt16LE(value, this.#length)
    return this
  }

  u32(value: number): this {
    this.#reserve(4)
    this.#length = this.#bytes.writeUInt32LE(value, this.#length)
    return this
  }

  u64(value: number): this {
    this.#reserve(8)
    writeU64LE(this.#bytes, value, this.#length)
    this.#length += 8
    return this
  }

  /** The bytes alone, without their length. */
  raw(bytes: Uint8Array): this {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
    return this
  }

  /** u32 length, then the bytes. */
  bytes(bytes: Uint8Array): this {
    return this.u32(bytes.length).raw(bytes)
  }

  text(text: string): this {
    return this.bytes(Buffer.from(text))
  }

  /** Overwrites a u32 that was written before, such as a count. */
  patchU32(offset: number, value: number): void {
    this.#bytes.writeUInt32LE(value, offset)
  }

  /** What was written, without a copy; the writer starts anew on fresh memory. */
  take(): Buffer {
    const taken = this.#bytes.subarray(0, this.#length)
    this.#bytes = EMPTY_BYTES
    this.#length = 0
    return taken
  }

  /** What was written, without a copy; valid until the next write. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  reset(): void {
    this.#length = 0
  }

  #reserve(count: number): void {
    const wanted = this.#length + count
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#bytes.length * 2, CAPACITY_MIN))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what ByteWriter wrote; views, no copies. Reading past the end is corruption. */
export class ByteReader {
  readonly #bytes: Buffer
  #offset: number
  readonly #what: string

  constructor(bytes: Buffer, what: string, offset = 0) {
    this.#bytes = bytes
    this.#what = what
    this.#offset = offset
  }

  get offset(): number {
    return this.#offset
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!
  }

  u16(): number {
    return this.#bytes.readUInt16LE(this.#take(2))
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#take(4))
  }

  u64(): number {
    return readU64LE(this.#bytes, this.#take(8))
  }

  raw(length: number): Buffer {
    const start = this.#take(length)
    return this.#bytes.subarray(start, start + length)
  }

  bytes(): Buffer {
    return this.raw(this.u32())
  }

  text(): string {
    return this.bytes().toString('utf8')
  }

  #take(length: number): number {
    const start = this.#offset
    if (length > this.#bytes.length - start) {
      throw new PolyraftError(
        'Corruption',
        `${this.#what}: wanted ${length} bytes at ${start}, but it ends at ${this.#bytes.length}`,
      )
    }
    this.#offset = start + length
    return start
  }
}

/** A record that begins with its format's version: another one, or bytes behind its end, is refused. */
export function readRecord<T>(
  bytes: Buffer,
  version: number,
  what: string,
  read: (reader: ByteReader) => T,
): T {
  const reader = new ByteReader(bytes, what)
  const found = reader.u8()
  if (found !== version) {
    throw new PolyraftError(
      'DataDirMismatch',
      `${what} has format ${found}, this program reads ${version}: use the version that wrote it`,
    )
  }
  const value = read(reader)
  if (reader.remaining !== 0) {
    throw new PolyraftError('Corruption', `${what}: ${reader.remaining} bytes behind its end`)
  }
  return value
}
