import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { MetaReader, MetaWriter } from '../../src/raftlog/block-codec.ts'

describe('meta integers', () => {
  it('come back as they went in, at every width', () => {
    const edges = [0, 1, 127, 128, 2 ** 31 - 1, 2 ** 31, 2 ** 32, Number.MAX_SAFE_INTEGER]
    const integer = fc.oneof(fc.constantFrom(...edges), fc.maxSafeNat())
    fc.assert(
      fc.property(fc.array(integer, { maxLength: 400 }), (values) => {
        const writer = new MetaWriter()
        for (const value of values) writer.varint(value)
        const reader = new MetaReader(writer.view(), 'test')
        expect(values.map(() => reader.varint())).toEqual(values)
        expect(reader.done).toBe(true)
      }),
    )
  })

  it('are refused when they are too large, do not end, or are missing', () => {
    const read = (bytes: number[]) => new MetaReader(Buffer.from(bytes), 'test').varint()
    const corruption = expect.objectContaining({ code: 'Corruption' })
    expect(() => read([255, 255, 255, 255, 255, 255, 255, 127])).toThrow(corruption)
    expect(() => read([128, 128, 128, 128, 128, 128, 128, 128, 1])).toThrow(corruption)
    expect(() => read([128])).toThrow(corruption)
    expect(() => new MetaReader(Buffer.from([0]), 'test').flags()).toThrow(corruption)
    expect(() => new MetaReader(Buffer.from([8]), 'test').flags()).toThrow(corruption)
  })
})
