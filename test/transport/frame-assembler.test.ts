import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { frameOf } from '../../src/transport/frame.ts'
import { FrameAssembler } from '../../src/transport/frame-assembler.ts'

/** What comes out of a stream that was cut at these places. */
function assemble(stream: Buffer, cuts: readonly number[], payloadBytesMax = 1000): Buffer[] {
  const assembler = new FrameAssembler(payloadBytesMax)
  const found: Buffer[] = []
  const places = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const to of [...places, stream.length]) {
    assembler.push(Buffer.from(stream.subarray(from, to)))
    for (let frame = assembler.next(); frame !== undefined; ) {
      found.push(frame)
      frame = assembler.next()
    }
    from = to
  }
  return found
}

describe('frames', () => {
  it('come out whole and in order, however they arrive', () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.nat(3000), { maxLength: 12 }),
        (payloads, cuts) => {
          const stream = Buffer.concat(payloads.map(frameOf))
          const found = assemble(stream, cuts)
          expect(found.map((each) => each.toString('hex'))).toEqual(
            payloads.map((each) => Buffer.from(each).toString('hex')),
          )
        },
      ),
    )
  })

  it('have memory of their own: one may be moved away without harm to the next', () => {
    const stream = Buffer.concat([frameOf(Buffer.from('first')), frameOf(Buffer.from('second'))])
    const [first, second] = assemble(stream, [])
    expect(first!.buffer.byteLength).toBe(5)
    structuredClone(first, { transfer: [first!.buffer as ArrayBuffer] })
    expect(second!.toString()).toBe('second')
  })

  it('that are damaged, or too long, are Corruption', () => {
    const frame = frameOf(Buffer.alloc(100, 1))
    frame[50]! ^= 1
    expect(() => assemble(frame, [30])).toThrow(/wrong checksum/)
    expect(() => assemble(frameOf(Buffer.alloc(100)), [], 99)).toThrow(/at most 99/)
  })
})
