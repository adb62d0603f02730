/**
 * Writes protobuf messages into one growing buffer. Fields with their default value are left out,
 * as proto3 does. A nested message is opened with a guess of its size, which decides how many bytes
 * its length gets; only a guess on the wrong side of 127, 16383, … moves the body. So lengths stay
 * canonical and a good guess costs nothing.
 *
 *   … tag [length: varintSize(hint) bytes] body …       begin → Mark, end(mark) writes the length
 */
import { assert } from '../base/assert.ts'
import { varintSize } from './wire.ts'

/** Below this, a loop copies faster than a call into the engine. */
const SMALL_COPY_BYTES = 24
/** A writer that grew beyond this for one large message gives the memory back. */
const KEPT_BYTES_MAX = 1024 * 1024
const MARK_SIZES = 8

/** Where a nested message began, and how many bytes its length has: body × 8 + bytes. */
export type Mark = number

export class ProtoWriter {
  #bytes: Buffer
  #length = 0
  readonly #startCapacity: number

  constructor(capacity = 4096) {
    this.#startCapacity = capacity
    this.#bytes = Buffer.allocUnsafeSlow(capacity)
  }

  get length(): number {
    return this.#length
  }

  /** What was written; valid until the writer is used again. */
  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  /** A copy of what was written, after which the writer starts anew. */
  takeCopy(): Buffer {
    const copy = Buffer.allocUnsafe(this.#length)
    this.#bytes.copy(copy, 0, 0, this.#length)
    this.reset()
    return copy
  }

  reset(): void {
    this.#length = 0
    if (this.#bytes.length > KEPT_BYTES_MAX) {
      this.#bytes = Buffer.allocUnsafeSlow(this.#startCapacity)
    }
  }

  /** @hot */
  varint(value: number): void {
    assert(value >= 0 && value <= Number.MAX_SAFE_INTEGER, 'a varint holds a safe unsigned integer')
    this.#reserve(8)
    this.#length = this.#putVarint(value, this.#length)
  }

  #putVarint(value: number, at: number): number {
    const bytes = this.#bytes
    while (value > 0x7fff_ffff) {
      bytes[at++] = (value % 0x80) | 0x80
      value = Math.floor(value / 0x80)
    }
    while (value >= 0x80) {
      bytes[at++] = (value & 0x7f) | 0x80
      value >>>= 7
    }
    bytes[at] = value
    return at + 1
  }

  /** An unsigned integer field; 0 is left out. @hot */
  uintField(tag: number, value: number): void {
    if (value === 0) return
    this.varint(tag)
    this.varint(value)
  }

  boolField(tag: number, value: boolean): void {
    if (value) this.uintField(tag, 1)
  }

  /** A bytes field; an empty one is left out. @hot */
  bytesField(tag: number, bytes: Uint8Array): void {
    if (bytes.length > 0) this.bytesElement(tag, bytes)
  }

  /** One element of a repeated bytes field, written even when it is empty. @hot */
  bytesElement(tag: number, bytes: Uint8Array): void {
    this.varint(tag)
    this.varint(bytes.length)
    this.raw(bytes)
  }

  /** @hot */
  raw(bytes: Uint8Array): void {
    const length = bytes.length
    this.#reserve(length)
    const target = this.#bytes
    const at = this.#length
    if (length <= SMALL_COPY_BYTES) {
      for (let i = 0; i < length; i++) target[at + i] = bytes[i]!
    } else {
      target.set(bytes, at)
    }
    this.#length = at + length
  }

  textField(tag: number, text: string): void {
    if (text.length === 0) return
    const size = Buffer.byteLength(text)
    this.varint(tag)
    this.varint(size)
    this.#reserve(size)
    this.#length += this.#bytes.write(text, this.#length, size, 'utf8')
  }

  /** @hot */
  begin(tag: number, sizeHint: number): Mark {
    this.varint(tag)
    const reserved = varintSize(sizeHint)
    assert(reserved < MARK_SIZES, 'a message is smaller than 2^49 bytes')
    this.#reserve(reserved)
    this.#length += reserved
    return this.#length * MARK_SIZES + reserved
  }

  /** @hot */
  end(mark: Mark): void {
    const reserved = mark % MARK_SIZES
    const body = (mark - reserved) / MARK_SIZES
    const size = this.#length - body
    assert(size >= 0, 'a nested message ends behind its beginning')
    const needed = varintSize(size)
    if (needed !== reserved) this.#moveBody(body, needed - reserved)
    this.#putVarint(size, body - reserved)
  }

  #moveBody(body: number, by: number): void {
    if (by > 0) this.#reserve(by)
    this.#bytes.copyWithin(body + by, body, this.#length)
    this.#length += by
  }

  #reserve(count: number): void {
    const wanted = this.#length + count
    if (wanted <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(wanted, this.#bytes.length * 2))
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}
