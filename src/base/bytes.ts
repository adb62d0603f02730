/**
 * Byte strings: comparison, and the one gateway through which 64-bit integers become numbers.
 * Everything in memory is a number, so a value above 2^53-1 is refused at the border.
 */
import { AssertionError } from './assert.ts'

export const EMPTY_BYTES: Buffer = Buffer.alloc(0)

const TWO_32 = 0x1_0000_0000
/** Highest upper word of a u64 that is still a safe integer. */
const MAX_HIGH_WORD = 0x1f_ffff

/** Bytes that are compared here; the way out to the native comparison costs as much as some eighty. */
const INLINE_COMPARED_MAX = 64

/** Keys mostly differ early: a third of what the native comparison takes. */
// @hot
export function compareBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  const shared = Math.min(a.length, b.length)
  const end = Math.min(shared, INLINE_COMPARED_MAX)
  for (let i = 0; i < end; i++) {
    const difference = a[i]! - b[i]!
    if (difference !== 0) return difference < 0 ? -1 : 1
  }
  if (end < shared) return Buffer.compare(a, b)
  if (a.length === b.length) return 0
  return a.length < b.length ? -1 : 1
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0
}

/** A Buffer over the same memory: no copy. */
export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/**
 * The same number, without a box if V8 can do without one: below 2^31. Sums of products and elements
 * of a Float64Array have one, even a 1, until V8 optimizes what makes them, and keep it wherever they
 * are stored. Ids, terms and indexes live long and are asked for all the time.
 */
export function unboxed(value: number): number {
  const small = value | 0
  return small === value ? small : value
}

/** The gateway: two 32-bit words to a number, or an error where it would lose precision. */
export function wordsToU64(high: number, low: number): number {
  if (high > MAX_HIGH_WORD) {
    throw new RangeError(`u64 0x${high.toString(16)}_${low.toString(16)} is above 2^53-1`)
  }
  return unboxed(high * TWO_32 + low)
}

export function readU64BE(bytes: Buffer, offset: number): number {
  return wordsToU64(bytes.readUInt32BE(offset), bytes.readUInt32BE(offset + 4))
}

export function readU64LE(bytes: Buffer, offset: number): number {
  return wordsToU64(bytes.readUInt32LE(offset + 4), bytes.readUInt32LE(offset))
}

export function writeU64BE(bytes: Buffer, value: number, offset: number): void {
  mustBeSafe(value)
  const low = value >>> 0
  bytes.writeUInt32BE((value - low) / TWO_32, offset)
  bytes.writeUInt32BE(low, offset + 4)
}

export function writeU64LE(bytes: Buffer, value: number, offset: number): void {
  mustBeSafe(value)
  const low = value >>> 0
  bytes.writeUInt32LE(low, offset)
  bytes.writeUInt32LE((value - low) / TWO_32, offset + 4)
}

function mustBeSafe(value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new AssertionError(`not an unsigned safe integer: ${value}`)
  }
}

/** A key for people: printable ASCII as it is, everything else as \xNN. */
export function printableKey(key: Uint8Array): string {
  let text = ''
  for (const byte of key) {
    text +=
      byte >= 0x20 && byte < 0x7f && byte !== 0x5c
        ? String.fromCharCode(byte)
        : `\\x${byte.toString(16).padStart(2, '0')}`
  }
  return text
}
