/**
 * Reads protobuf messages in place. Byte fields are views of the message, so they live as long as
 * its buffer does. Nothing is read beyond the message that was entered; whatever is malformed is a
 * PolyraftError 'InvalidArgument' that names the offset, and a message of too many elements is one
 * too. Numbers pass one gateway: a u64 above 2^53-1 is refused, unless its field is skipped or read as
 * the nearest number.
 *
 *   for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
 *     switch (tag) {
 *       case ID: id = reader.u64(); break
 *       case NESTED: { const outer = reader.enter(); …; reader.leave(outer); break }
 *       default: reader.skip(tag)
 *     }
 *   }
 *
 * Cases compare whole tags: a known field of an unexpected wire type is skipped like an unknown one.
 */
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { ELEMENTS_MAX } from '../base/limits.ts'
import { fieldOf, WireType } from './wire.ts'

const VARINT_BYTES_MAX = 10
const GROUP_DEPTH_MAX = 16
const EMPTY = Buffer.alloc(0)

export class ProtoReader {
  #bytes: Buffer
  #offset: number
  #end: number
  #elements = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.#offset = 0
    this.#end = bytes.length
  }

  /** Starts over on another message, to save an object per message. */
  open(bytes: Buffer): void {
    this.#bytes = bytes
    this.#offset = 0
    this.#end = bytes.length
    this.#elements = 0
  }

  /** Lets go of the message. */
  close(): void {
    this.open(EMPTY)
  }

  /** Where the entered message ends. */
  get end(): number {
    return this.#end
  }

  /** The tag of the next field, or 0 at the end of the message. @hot */
  tag(): number {
    if (this.#offset === this.#end) return 0
    const start = this.#offset
    const tag = this.u64()
    if (tag < 8 || tag > 0xffff_ffff) throw this.#malformed(start, `${tag} is no field tag`)
    return tag
  }

  /** @hot */
  u64(): number {
    const bytes = this.#bytes
    const start = this.#offset
    if (start < this.#end && bytes[start]! < 0x80) {
      this.#offset = start + 1
      return bytes[start]!
    }
    return this.#longVarint(start)
  }

  /** The nearest number: for what is compared, or is a limit of time, but is never an id of ours. */
  nearestU64(): number {
    return this.#longVarint(this.#offset, Number.POSITIVE_INFINITY)
  }

  #longVarint(start: number, max = Number.MAX_SAFE_INTEGER): number {
    const bytes = this.#bytes
    const end = Math.min(this.#end, start + VARINT_BYTES_MAX)
    let value = 0
    let scale = 1
    for (let at = start; at < end; at++) {
      const byte = bytes[at]!
      value += (byte & 0x7f) * scale
      scale *= 0x80
      if (byte < 0x80) {
        if (value > max) throw this.#malformed(start, 'a number above 2^53-1')
        this.#offset = at + 1
        return value
      }
    }
    throw this.#malformed(start, 'a number without an end')
  }

  /** The low 32 bits, as protobuf truncates: uint32, and enums that may be negative. */
  u32(): number {
    const start = this.#offset
    let value = 0
    let shift = 0
    for (let at = start; at < this.#end && at < start + VARINT_BYTES_MAX; at++) {
      const byte = this.#bytes[at]!
      if (shift < 32) value |= (byte & 0x7f) << shift
      shift += 7
      if (byte < 0x80) {
        this.#offset = at + 1
        return value >>> 0
      }
    }
    throw this.#malformed(start, 'a number without an end')
  }

  bool(): boolean {
    const start = this.#offset
    let bits = 0
    for (let at = start; at < this.#end && at < start + VARINT_BYTES_MAX; at++) {
      const byte = this.#bytes[at]!
      bits |= byte & 0x7f
      if (byte < 0x80) {
        this.#offset = at + 1
        return bits !== 0
      }
    }
    throw this.#malformed(start, 'a boolean without an end')
  }

  /** Before an element of a list: it may take two bytes here, and some hundred once decoded. */
  countElement(): void {
    if (++this.#elements <= ELEMENTS_MAX) return
    throw new PolyraftError(
      'InvalidArgument',
      `a message holds more than ${ELEMENTS_MAX} keys: send fewer at once`,
    )
  }

  /** A view. @hot */
  bytes(): Buffer {
    const start = this.#skipBytes()
    return start === this.#offset ? EMPTY : this.#bytes.subarray(start, this.#offset)
  }

  text(): string {
    const start = this.#skipBytes()
    return start === this.#offset ? '' : this.#bytes.toString('utf8', start, this.#offset)
  }

  /** Confines reading to the nested message that begins here; the result goes to `leave`. @hot */
  enter(): number {
    const outer = this.#end
    this.#end = this.#lengthEnd()
    return outer
  }

  /** @hot */
  leave(outer: number): void {
    assert(this.#offset === this.#end && outer >= this.#end, 'a nested message is left at its end')
    this.#end = outer
  }

  /** Leaves the nested message that ends at `end`, wherever reading it stopped. */
  abandon(end: number, outer: number): void {
    assert(this.#offset <= end && end <= outer, 'what was entered is left')
    this.#offset = end
    this.#end = outer
  }

  atEnd(): boolean {
    return this.#offset === this.#end
  }

  skip(tag: number): void {
    this.#skip(tag, 0)
  }

  #skip(tag: number, depth: number): void {
    const start = this.#offset
    switch (tag & 7) {
      case WireType.Varint:
        this.bool()
        return
      case WireType.Fixed64:
        this.#advance(8)
        return
      case WireType.Bytes:
        this.#skipBytes()
        return
      case WireType.Fixed32:
        this.#advance(4)
        return
      case WireType.StartGroup:
        this.#skipGroup(fieldOf(tag), depth)
        return
      default:
        throw this.#malformed(start, `field ${fieldOf(tag)} has the wire type ${tag & 7}`)
    }
  }

  #skipGroup(field: number, depth: number): void {
    const start = this.#offset
    if (depth === GROUP_DEPTH_MAX) throw this.#malformed(start, 'groups nest too deeply')
    for (let tag = this.tag(); tag !== 0; tag = this.tag()) {
      if ((tag & 7) !== WireType.EndGroup) this.#skip(tag, depth + 1)
      else if (fieldOf(tag) === field) return
      else break
    }
    throw this.#malformed(start, `group ${field} does not end`)
  }

  #skipBytes(): number {
    const end = this.#lengthEnd()
    const start = this.#offset
    this.#offset = end
    return start
  }

  /** Reads a length; the end of what it announces, which is inside the message. */
  #lengthEnd(): number {
    const start = this.#offset
    const length = this.u64()
    if (length > this.#end - this.#offset) {
      throw this.#malformed(start, `${length} bytes announced, ${this.#end - this.#offset} there`)
    }
    return this.#offset + length
  }

  #advance(count: number): void {
    if (count > this.#end - this.#offset) throw this.#malformed(this.#offset, 'a cut number')
    this.#offset += count
  }

  #malformed(offset: number, what: string): PolyraftError {
    return new PolyraftError('InvalidArgument', `malformed message at byte ${offset}: ${what}`, {
      offset,
    })
  }
}
