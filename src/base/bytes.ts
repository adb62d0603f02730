/**
 * Byte strings: comparison, and the one gateway through which 64-bit integers become numbers.
 * Everything in memory is a number, so a value above 2^53-1 is refused at the border.
 */
import { AssertionError } from './assert.ts'

export const EMPTY_BYTES: Buffer = Buffer.alloc(0)

const TWO_32 = 0x1_0000_0000
/** Highest upper word of a u64 that is still a safe integer. */
const MAX_HIGH_WORD = 0x1f_ffff

export function compareBytes(a: Uint8Array, b: Uint8Array): -1 | 0 | 1 {
  return Buffer.compare(a, b)
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

/** Highest number that V8 holds without a box. */
const UNBOXED_MAX = 0x7fff_ffff

/**
 * The gateway: two 32-bit words to a number, or an error where it would lose precision.
 *
 * Most are ids, terms and indexes, which live long and are asked for all the time: those leave without
 * a box. The sum below has one even for a 1 until V8 optimizes it, and keeps it wherever it is stored.
 */
export function wordsToU64(high: number, low: number): number {
  if (high === 0 && low <= UNBOXED_MAX) return low | 0
  if (high > MAX_HIGH_WORD) {
    throw new RangeError(`u64 0x${high.toString(16)}_${low.toString(16)} is above 2^53-1`)
  }
  return high * TWO_32 + low
}

export function readU64BE(bytes: Buffer, offset: number): number {
  return wordsToU64(bytes.readUInt32BE(offset), bytes.readUInt32BE(offset + 4))
}

export function readU64LE(bytes: Buffer, offset: number): number {
  return wordsToU64(bytes.readUInt32LE(offset + 4), bytes.readUInt32LE(offset))
}

export function writeU64BE(bytes: Buffer, value: number, offset: number): void {
  mustBeSafe(value)
  bytes.writeUInt32BE(Math.floor(value / TWO_32), offset)
  bytes.writeUInt32BE(value % TWO_32, offset + 4)
}

export function writeU64LE(bytes: Buffer, value: number, offset: number): void {
  mustBeSafe(value)
  bytes.writeUInt32LE(value % TWO_32, offset)
  bytes.writeUInt32LE(Math.floor(value / TWO_32), offset + 4)
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
