import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { FrameReader, frameOf } from '../../src/transport/frame.ts'

function readAll(reader: FrameReader): Buffer[] {
  const payloads: Buffer[] = []
  for (let next = reader.next(); next !== undefined; next = reader.next()) payloads.push(next)
  return payloads
}

test('payloads come out whole and in order, however the stream is cut', () => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 })
  fc.assert(
    fc.property(payloads, fc.array(fc.integer({ min: 1, max: 97 })), (sent, cuts) => {
      const stream = Buffer.concat(sent.map(frameOf))
      const reader = new FrameReader(1000)
      const received: Buffer[] = []
      let offset = 0
      for (const cut of [...cuts, stream.length]) {
        reader.push(stream.subarray(offset, offset + cut))
        offset = Math.min(stream.length, offset + cut)
        received.push(...readAll(reader))
      }
      expect(received).toEqual(sent.map((each) => Buffer.from(each)))
    }),
  )
})

test('a payload within one chunk is a view', () => {
  const chunk = Buffer.concat([frameOf(Buffer.from('one')), frameOf(Buffer.from('two'))])
  const reader = new FrameReader(100)
  reader.push(chunk)
  expect(readAll(reader).every((each) => each.buffer === chunk.buffer)).toBe(true)
})

test('a wrong checksum is Corruption', () => {
  const frame = frameOf(Buffer.from('payload'))
  frame[frame.length - 1]! ^= 1
  const reader = new FrameReader(100)
  reader.push(frame)
  expect(() => reader.next()).toThrow(PolyraftError)
})

test('a length above the maximum is Corruption before any payload arrives', () => {
  const reader = new FrameReader(100)
  reader.push(frameOf(Buffer.alloc(101)).subarray(0, 8))
  expect(() => reader.next()).toThrow(/101 bytes, at most 100/)
})
