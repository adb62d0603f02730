import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { ProtoReader } from '../../src/protocol/proto-reader.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import { bytesFieldSize, bytesTag, varintSize, varintTag } from '../../src/protocol/wire.ts'

function bytesOf(write: (writer: ProtoWriter) => void): Buffer {
  const writer = new ProtoWriter(1)
  write(writer)
  return writer.takeCopy()
}

function hex(text: string): ProtoReader {
  return new ProtoReader(Buffer.from(text.replaceAll(' ', ''), 'hex'))
}

describe('numbers', () => {
  it('have the bytes of the protobuf documentation', () => {
    expect(bytesOf((w) => w.uintField(varintTag(1), 150)).toString('hex')).toBe('089601')
    expect(bytesOf((w) => w.varint(0)).toString('hex')).toBe('00')
    const max = bytesOf((w) => w.varint(Number.MAX_SAFE_INTEGER))
    expect(max.toString('hex')).toBe('ffffffffffffff0f')
  })

  it('come back, and are as long as foretold', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        const bytes = bytesOf((w) => w.varint(value))
        expect(bytes.length).toBe(varintSize(value))
        expect(new ProtoReader(bytes).u64()).toBe(value)
        expect(new ProtoReader(bytes).u32()).toBe(Number(BigInt(value) & 0xffff_ffffn))
      }),
    )
  })

  it('take their sizes at the edges of each length', () => {
    for (let bits = 7; bits <= 49; bits += 7) {
      expect(varintSize(2 ** bits - 1)).toBe(bits / 7)
      expect(varintSize(2 ** bits)).toBe(bits / 7 + 1)
    }
  })

  it('above 2^53-1 are refused where they are read, and skipped where they are not', () => {
    const tooLarge = '8080 8080 8080 8010'
    expect(() => hex(tooLarge).u64()).toThrow('malformed message at byte 0: a number above 2^53-1')
    const reader = hex(`08${tooLarge} 1005`)
    reader.skip(reader.tag())
    expect(reader.tag()).toBe(varintTag(2))
    expect(reader.u64()).toBe(5)
  })

  it('truncate to 32 bits and to a boolean as protobuf does', () => {
    expect(hex('ffff ffff ffff ffff ff01').u32()).toBe(0xffff_ffff)
    expect(hex('8080 8080 8080 8080 8001').bool()).toBe(true)
    expect(hex('8080 00').bool()).toBe(false)
  })
})

describe('nested messages', () => {
  it.each([0, 1, 100, 127, 128, 200, 16_383, 16_384, 40_000])(
    'of %d bytes fit any hint',
    (size) => {
      const body = Buffer.alloc(size, 0xab)
      for (const hint of [0, 127, 128, 16_384, 3_000_000]) {
        const bytes = bytesOf((writer) => {
          const mark = writer.begin(bytesTag(1), hint)
          writer.raw(body)
          writer.end(mark)
          writer.uintField(varintTag(2), 7)
        })
        const reader = new ProtoReader(bytes)
        expect(bytes.length).toBe(1 + varintSize(size) + size + 2)
        expect(reader.tag()).toBe(bytesTag(1))
        expect(reader.bytes().equals(body)).toBe(true)
        expect(reader.tag()).toBe(varintTag(2))
        expect(reader.u64()).toBe(7)
        expect(reader.tag()).toBe(0)
      }
    },
  )

  it('confine reading to themselves', () => {
    const reader = hex('0a02 0805 1009')
    reader.tag()
    const outer = reader.enter()
    expect(reader.tag()).toBe(varintTag(1))
    expect(reader.u64()).toBe(5)
    expect(reader.tag()).toBe(0)
    reader.leave(outer)
    expect(reader.tag()).toBe(varintTag(2))
  })

  it('cannot announce more than the message around them has', () => {
    const reader = hex('0a03 0a05 01 0203')
    reader.tag()
    reader.enter()
    reader.tag()
    expect(() => reader.bytes()).toThrow('5 bytes announced, 1 there')
  })
})

describe('fields', () => {
  it('are left out when they are empty, but elements are not', () => {
    const empty = Buffer.alloc(0)
    expect(bytesOf((w) => w.bytesField(bytesTag(1), empty)).length).toBe(0)
    expect(bytesOf((w) => w.textField(bytesTag(1), '')).length).toBe(0)
    expect(bytesOf((w) => w.boolField(varintTag(1), false)).length).toBe(0)
    expect(bytesOf((w) => w.bytesElement(bytesTag(1), empty)).toString('hex')).toBe('0a00')
    expect(bytesFieldSize(0)).toBe(0)
    expect(bytesFieldSize(128)).toBe(131)
  })

  it('hold text outside ASCII', () => {
    const reader = new ProtoReader(bytesOf((w) => w.textField(bytesTag(1), 'größe ✓')))
    reader.tag()
    expect(reader.text()).toBe('größe ✓')
  })

  it('are views of the message', () => {
    const message = Buffer.from('0a03616263', 'hex')
    const reader = new ProtoReader(message)
    reader.tag()
    const view = reader.bytes()
    message[2] = 0x7a
    expect(view.toString()).toBe('zbc')
  })

  it('of every wire type are skipped', () => {
    const reader = hex('08ff01 11 0102030405060708 1a03616263 23 0805 2b 2c 24 35 01020304 3807')
    let left = 0
    for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) {
      if (tag === varintTag(7)) left = reader.u64()
      else reader.skip(tag)
    }
    expect(left).toBe(7)
  })

  it.each([
    ['a tag of field 0', '00'],
    ['a wire type that does not exist', '0e'],
    ['the end of a group that did not begin', '0c'],
    ['a group that ends as another', '0b14'],
    ['a group without an end', '0b0801'],
    ['groups without end', '0b'.repeat(200)],
    ['a cut tag', '80'],
    ['a cut varint', '0880'],
    ['a varint of eleven bytes', '08ffffffffffffffffffff01'],
    ['cut fixed64', '09010203'],
    ['cut fixed32', '0d010203'],
    ['cut bytes', '0a0461'],
    ['a length above 2^53', '0affffffffffffffff7f'],
  ])('refuse %s', (_what, text) => {
    const readAll = (): void => {
      const reader = hex(text)
      for (let tag = reader.tag(); tag !== 0; tag = reader.tag()) reader.skip(tag)
    }
    expect(readAll).toThrow(PolyraftError)
    expect(readAll).toThrow(/^malformed message at byte \d+: /)
  })
})

describe('a writer', () => {
  it('gives back the memory of one large message', () => {
    const writer = new ProtoWriter(64)
    writer.raw(Buffer.alloc(3_000_000))
    writer.reset()
    writer.varint(1)
    expect(writer.view().buffer.byteLength).toBe(64)
  })
})
