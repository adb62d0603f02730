/**
 * The meta part of a block: what it says about each region, in order. Integers are varints (7 bits
 * a byte, low first), because a round over a thousand regions consists mostly of these.
 *
 *   meta     item*
 *   item     varint region | u8 flags | [state] | [entries]
 *   flags    1 = state, 2 = entries, 4 = reset: forget everything older of this region first
 *            (a reset without state is a removal)
 *   state    varint term | varint vote | varint commit | varint truncated index | … its term
 *   entries  varint first index | varint count | run+ (varint term | varint n, n summing to count)
 *            | varint data bytes of each
 */
import { PolyraftError } from '../base/errors.ts'

export const ITEM_STATE = 1
export const ITEM_ENTRIES = 2
export const ITEM_RESET = 4
const ITEM_FLAGS_ALL = ITEM_STATE | ITEM_ENTRIES | ITEM_RESET

const VARINT_BYTES_MAX = 8
/** Upper bounds of what an item adds to meta, for deciding whether it fits a segment. */
export const ITEM_META_BYTES_MAX = 10 * VARINT_BYTES_MAX
export const ENTRY_META_BYTES_MAX = 3 * VARINT_BYTES_MAX

export class MetaWriter {
  #bytes = Buffer.allocUnsafeSlow(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  u8(value: number): void {
    this.#reserve(1)
    this.#bytes[this.#length++] = value
  }

  varint(value: number): void {
    this.#reserve(VARINT_BYTES_MAX)
    let rest = value
    while (rest > 0x7fff_ffff) {
      this.#bytes[this.#length++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      this.#bytes[this.#length++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#length++] = rest
  }

  view(): Buffer {
    return this.#bytes.subarray(0, this.#length)
  }

  reset(): void {
    this.#length = 0
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return
    const larger = Buffer.allocUnsafeSlow(this.#bytes.length * 2)
    this.#bytes.copy(larger, 0, 0, this.#length)
    this.#bytes = larger
  }
}

/** Reads what MetaWriter wrote. The crc was verified, so a nonsense value is a bug or an attack. */
export class MetaReader {
  readonly #bytes: Buffer
  readonly #what: string
  #offset = 0

  constructor(bytes: Buffer, what: string) {
    this.#bytes = bytes
    this.#what = what
  }

  get done(): boolean {
    return this.#offset === this.#bytes.length
  }

  /** Bytes not read yet. */
  get left(): number {
    return this.#bytes.length - this.#offset
  }

  flags(): number {
    const flags = this.#byte()
    if (flags === 0 || flags > ITEM_FLAGS_ALL) throw this.corrupt(`item flags ${flags}`)
    return flags
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < VARINT_BYTES_MAX; i++) {
      const byte = this.#byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) {
        if (!Number.isSafeInteger(value)) throw this.corrupt('an integer above 2^53-1')
        return value
      }
      scale *= 128
    }
    throw this.corrupt('an integer that does not end')
  }

  #byte(): number {
    const byte = this.#bytes[this.#offset++]
    if (byte === undefined) throw this.corrupt('it ends too early')
    return byte
  }

  corrupt(why: string): PolyraftError {
    return new PolyraftError('Corruption', `${this.#what}: ${why}`)
  }
}
