import { setFlagsFromString } from 'node:v8'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  compareBytes,
  printableKey,
  readU64BE,
  readU64LE,
  unboxed,
  wordsToU64,
  writeU64BE,
  writeU64LE,
} from '../../src/base/bytes.ts'
import { ByteReader, ByteWriter } from '../../src/base/codec.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import { Ring } from '../../src/base/ring.ts'

describe('u64 gateway', () => {
  it('round-trips every safe integer, both ways round', () => {
    const bytes = Buffer.alloc(8)
    fc.assert(
      fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (value) => {
        writeU64BE(bytes, value, 0)
        expect(readU64BE(bytes, 0)).toBe(value)
        expect(bytes.readBigUInt64BE(0)).toBe(BigInt(value))
        writeU64LE(bytes, value, 0)
        expect(readU64LE(bytes, 0)).toBe(value)
      }),
    )
  })

  it('refuses what a number cannot hold', () => {
    expect(wordsToU64(0x1f_ffff, 0xffff_ffff)).toBe(Number.MAX_SAFE_INTEGER)
    expect(() => wordsToU64(0x20_0000, 0)).toThrow(RangeError)
  })

  it('gives small numbers without a box, also before V8 optimizes it', () => {
    for (const value of [0, 1, 0x7fff_ffff]) expect(isUnboxed(wordsToU64(0, value))).toBe(true)
    expect(isUnboxed(wordsToU64(0, 0x8000_0000))).toBe(false)
    expect(isUnboxed(wordsToU64(1, 0))).toBe(false)
    const bytes = Buffer.from([5, 0, 0, 0, 0, 0, 0, 0])
    expect(isUnboxed(readU64LE(bytes, 0))).toBe(true)
    const numbers = Float64Array.of(7, 0x7fff_ffff, 0x8000_0000, 0.5)
    expect(isUnboxed(numbers[0]!)).toBe(false)
    expect([...numbers].map((each) => isUnboxed(unboxed(each)))).toEqual([true, true, false, false])
    expect([...numbers].map(unboxed)).toEqual([...numbers])
  })
})

/** Only an array of such numbers alone is one of "small integers". */
function isUnboxed(value: number): boolean {
  setFlagsFromString('--allow-natives-syntax')
  // Compiled anew each time: V8 remembers what the arrays of a place in the code held before.
  const look = new Function('value', `return %HasSmiElements([value]) /* ${looks++} */`)
  return look(value) as boolean
}
let looks = 0

describe('compareBytes', () => {
  it('orders as the native comparison does, whatever the lengths and wherever they differ', () => {
    const bytes = fc.uint8Array({ maxLength: 200 })
    fc.assert(
      fc.property(bytes, bytes, bytes, (prefix, a, b) => {
        const [x, y] = [Buffer.concat([prefix, a]), Buffer.concat([prefix, b])]
        expect(compareBytes(x, y)).toBe(Buffer.compare(x, y))
        expect(compareBytes(x, prefix)).toBe(Buffer.compare(x, prefix))
        expect(compareBytes(prefix, x)).toBe(Buffer.compare(prefix, x))
        expect(compareBytes(x, Buffer.from(x))).toBe(0)
      }),
      { numRuns: 500 },
    )
  })
})

describe('byte codec', () => {
  it('reads back what was written', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 300 })), fc.string(), (pieces, text) => {
        const writer = new ByteWriter(8)
        for (const piece of pieces) writer.bytes(piece).u8(7)
        writer.text(text).u16(65_535).u32(4_294_967_295).u64(Number.MAX_SAFE_INTEGER)
        const reader = new ByteReader(writer.take(), 'test')
        for (const piece of pieces) {
          expect(Buffer.compare(reader.bytes(), piece)).toBe(0)
          expect(reader.u8()).toBe(7)
        }
        expect(reader.text()).toBe(Buffer.from(text).toString('utf8'))
        expect([reader.u16(), reader.u32(), reader.u64()]).toEqual([
          65_535,
          4_294_967_295,
          Number.MAX_SAFE_INTEGER,
        ])
        expect(reader.remaining).toBe(0)
      }),
    )
  })

  it('says where it ended when bytes are missing', () => {
    const reader = new ByteReader(Buffer.from([5, 0, 0, 0, 1]), 'a thing')
    expect(() => reader.bytes()).toThrow(PolyraftError)
    expect(() => reader.bytes()).toThrow(/a thing: wanted/)
  })
})

describe('ring', () => {
  it('behaves as a queue', () => {
    fc.assert(
      fc.property(
        fc.array(fc.option(fc.nat(), { nil: undefined }), { maxLength: 200 }),
        (steps) => {
          const ring = new Ring<number>(2)
          const model: number[] = []
          for (const step of steps) {
            if (step === undefined) expect(ring.shift()).toBe(model.shift())
            else {
              ring.push(step)
              model.push(step)
            }
            expect(ring.length).toBe(model.length)
            expect(ring.peek()).toBe(model[0])
            expect(ring.at(model.length - 1)).toBe(model.at(-1))
          }
        },
      ),
    )
  })
})

it('printableKey shows bytes that are no text', () => {
  expect(printableKey(Buffer.from('a\\\n\xff', 'latin1'))).toBe('a\\x5c\\x0a\\xff')
})
