import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  decodeConfChange,
  encodeConfChangeV1,
  encodeConfChangeV2,
} from '../../src/raft/conf-change-codec.ts'
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  EntryType,
} from '../../src/raft/types.ts'

function entryOf(type: EntryType, data: Buffer) {
  return { index: 1, term: 1, type, data }
}

const single = fc.record({
  type: fc.constantFrom(...Object.values(ConfChangeType)),
  nodeId: fc.maxSafeNat(),
})
const context = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))

describe('membership changes', () => {
  test('come back as they went', () => {
    const changes = fc.record({
      transition: fc.constantFrom(...Object.values(ConfChangeTransition)),
      changes: fc.array(single, { maxLength: 5 }),
      context,
    })
    fc.assert(
      fc.property(changes, (change: ConfChangeV2) => {
        const data = encodeConfChangeV2(change)
        expect(decodeConfChange(entryOf(EntryType.ConfChangeV2, data))).toEqual(change)
      }),
    )
  })

  test('of version 1 come back as one change', () => {
    fc.assert(
      fc.property(single, context, (one, bytes) => {
        const change = { transition: 0 as const, changes: [one], context: bytes }
        const data = encodeConfChangeV1(change)
        expect(decodeConfChange(entryOf(EntryType.ConfChange, data))).toEqual(change)
      }),
    )
  })

  test('are the protobuf bytes that other implementations write', () => {
    const change: ConfChangeV2 = {
      transition: ConfChangeTransition.Explicit,
      changes: [
        { type: ConfChangeType.AddNode, nodeId: 300 },
        { type: ConfChangeType.RemoveNode, nodeId: 1 },
      ],
      context: Buffer.from('c'),
    }
    expect(encodeConfChangeV2(change).toString('hex')).toBe('0802120310ac021204080110011a0163')
    const one = { transition: 0 as const, changes: [change.changes[1]!], context: Buffer.alloc(0) }
    expect(encodeConfChangeV1(one).toString('hex')).toBe('10011801')
  })

  test('that only leave the joint state are empty', () => {
    const leave = { transition: 0 as const, changes: [], context: Buffer.alloc(0) }
    expect(encodeConfChangeV2(leave)).toHaveLength(0)
    expect(decodeConfChange(entryOf(EntryType.ConfChangeV2, Buffer.alloc(0)))).toEqual(leave)
  })

  test.each([
    ['an unknown transition', '0807'],
    ['a cut field', '1205'],
    ['a number without end', '08ffffffffffffffffffffff'],
    ['an unknown wire type', '0b'],
    ['an unknown change', '12020809'],
  ])('%s is refused', (_, hex) => {
    const entry = entryOf(EntryType.ConfChangeV2, Buffer.from(hex, 'hex'))
    expect(() => decodeConfChange(entry)).toThrow('malformed membership change')
  })
})
