import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { ApplyResult } from '../../src/apply/port.ts'
import {
  decodeResults,
  decodeRound,
  encodeResults,
  RoundEncoder,
} from '../../src/apply/round-codec.ts'
import type { EntryType } from '../../src/raft/types.ts'
import { INITIAL_APPLY_STATE } from '../../src/region/state.ts'
import { entry, region } from './support.ts'

type Call = unknown[]

function decode(round: ArrayBuffer): Call[] {
  const calls: Call[] = []
  decodeRound(round, {
    register: (...args) => calls.push(['register', ...args]),
    apply: (...args) => calls.push(['apply', ...args]),
    destroy: (...args) => calls.push(['destroy', ...args]),
    snapshot: (...args) => calls.push(['snapshot', ...args]),
    cancelSnapshot: (...args) => calls.push(['cancel', ...args]),
  })
  return calls
}

const bytes = fc.uint8Array({ maxLength: 64 }).map((array) => Buffer.from(array))
const entryArbitrary = fc.record({
  index: fc.maxSafeNat(),
  term: fc.maxSafeNat(),
  type: fc.integer({ min: 0, max: 2 }) as fc.Arbitrary<EntryType>,
  data: bytes,
})

describe('rounds', () => {
  it('arrive as they were, in order', () => {
    const task = fc.record({
      regionId: fc.maxSafeNat(),
      entries: fc.array(entryArbitrary, { minLength: 1, maxLength: 5 }),
    })
    const encoder = new RoundEncoder()
    fc.assert(
      fc.property(fc.array(task, { maxLength: 8 }), (tasks) => {
        for (const each of tasks) encoder.apply(each)
        expect(encoder.empty).toBe(tasks.length === 0)
        expect(decode(encoder.take())).toEqual(tasks.map((each) => ['apply', each]))
        expect(encoder.empty).toBe(true)
      }),
    )
  })

  it('keep registrations, tasks and destructions in the order of the calls', () => {
    const encoder = new RoundEncoder()
    const task = { regionId: 7, entries: [entry(6, 'a=1'), entry(7)] }
    encoder.register(region(7), INITIAL_APPLY_STATE)
    encoder.apply(task)
    encoder.destroy(7)
    encoder.register(region(7, 2), { ...INITIAL_APPLY_STATE, appliedIndex: 9 })
    expect(decode(encoder.take())).toEqual([
      ['register', region(7), INITIAL_APPLY_STATE],
      ['apply', task],
      ['destroy', 7],
      ['register', region(7, 2), { ...INITIAL_APPLY_STATE, appliedIndex: 9 }],
    ])
  })

  it('hold a copy of the data, and decode to views of that copy', () => {
    const encoder = new RoundEncoder()
    const original = entry(6, 'a=1')
    encoder.apply({ regionId: 1, entries: [original] })
    const round = encoder.take()
    expect(round).not.toBe(original.data.buffer)
    const [, task] = decode(round)[0] as [string, { entries: { data: Buffer }[] }]
    expect(task.entries[0]!.data.buffer).toBe(round)
  })

  it('are corrupt when they were cut or are of another kind', () => {
    const encoder = new RoundEncoder()
    encoder.apply({ regionId: 1, entries: [entry(6, 'a=1')] })
    const round = encoder.take()
    expect(() => decode(round.slice(0, -1))).toThrow('apply round')
    expect(() => decode(new Uint8Array([9]).buffer)).toThrow('section 9')
  })

  it('refuse a task of nothing', () => {
    expect(() => new RoundEncoder().apply({ regionId: 1, entries: [] })).toThrow('has entries')
  })
})

describe('results', () => {
  it('arrive as they were', () => {
    const result: fc.Arbitrary<ApplyResult> = fc.record({
      regionId: fc.maxSafeNat(),
      appliedIndex: fc.maxSafeNat(),
      appliedTerm: fc.maxSafeNat(),
      rejections: fc.array(
        fc.record({ index: fc.maxSafeNat(), code: fc.constant('EpochNotMatch' as const) }),
        { maxLength: 3 },
      ),
      writtenKeys: fc.nat(),
      writtenBytes: fc.nat(),
      removed: fc.constantFrom(true as const, undefined),
    })
    fc.assert(
      fc.property(fc.array(result), (results) => {
        expect(decodeResults(encodeResults(results))).toEqual(results)
      }),
    )
  })
})
