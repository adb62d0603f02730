import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EntryIndex } from '../../src/raftlog/entry-index.ts'
import { FRAME_HEADER_BYTES } from '../../src/raftlog/format.ts'
import { Segment } from '../../src/raftlog/segment.ts'

interface Known {
  readonly term: number
  readonly segment: Segment
  readonly offset: number
  readonly dataBytes: number
}

const step = fc.oneof(
  fc.record({
    kind: fc.constant('append' as const),
    count: fc.integer({ min: 1, max: 60 }),
    nextTerm: fc.boolean(),
    nextSegment: fc.boolean(),
  }),
  fc.record({ kind: fc.constant('truncate' as const), back: fc.integer({ min: 0, max: 40 }) }),
  fc.record({ kind: fc.constant('compact' as const), keep: fc.integer({ min: -3, max: 80 }) }),
  fc.record({ kind: fc.constant('relocate' as const), keep: fc.integer({ min: 0, max: 40 }) }),
)

function checkAll(index: EntryIndex, first: number, known: readonly Known[], segments: Segment[]) {
  expect([index.first, index.count, index.last]).toEqual([
    first,
    known.length,
    first + known.length - 1,
  ])
  known.forEach((one, i) => {
    const at = first + i
    const found = [index.term(at), index.segment(at), index.offset(at), index.dataBytes(at)]
    expect(found).toEqual([one.term, one.segment, one.offset, one.dataBytes])
  })
  for (const segment of segments) {
    const live = known.filter((one) => one.segment === segment).length
    expect(segment.liveEntries).toBe(live)
  }
  const bytes = known.map((one) => FRAME_HEADER_BYTES + one.dataBytes)
  expect(index.liveBytes).toBe(bytes.reduce((sum, each) => sum + each, 0))
  expect(segments.reduce((sum, segment) => sum + segment.liveBytes, 0)).toBe(index.liveBytes)
  for (let count = 1; count <= segments.length; count++) {
    const oldest = new Set(segments.slice(0, count))
    const last = known.findLastIndex((one) => oldest.has(one.segment))
    expect(index.lastIn(oldest)).toBe(last < 0 ? undefined : first + last)
  }
}

describe('entry index', () => {
  it('equals a list, and counts what lives in each segment', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const segments = [new Segment(0, 1, 1, 0)]
        const index = new EntryIndex(6)
        let known: Known[] = []
        let first = 6
        let term = 1
        let offset = 44
        for (const one of steps) {
          if (one.kind === 'append') {
            if (one.nextTerm) term++
            if (one.nextSegment) segments.push(new Segment(0, segments.length + 1, 1, 0))
            const segment = segments.at(-1)!
            for (let i = 0; i < one.count; i++) {
              offset += 7
              known.push({ term, segment, offset, dataBytes: i })
              index.append(term, segment, offset, i)
            }
          } else if (one.kind === 'truncate') {
            known = known.slice(0, Math.max(0, known.length - one.back))
            index.truncate(Math.max(first, index.last + 1 - one.back))
          } else if (one.kind === 'relocate') {
            const count = known.length - one.keep
            if (count <= 0) continue
            // The newest segment, as the log does it: entries stay in the order of their segments.
            const segment = known.at(-1)!.segment
            const offsets = known.slice(0, count).map((_, i) => 5000 + i)
            known = known.map((each, i) =>
              i < count ? { ...each, segment, offset: offsets[i]! } : { ...each, segment },
            )
            index.relocate(segment, offsets)
            if (one.keep > 0)
              index.relocate(
                segment,
                known.map((each) => each.offset),
              )
          } else {
            const through = index.last - one.keep
            if (through < first) continue
            index.compact(through)
            known = known.slice(through - first + 1)
            first = through + 1
          }
          checkAll(index, first, known, segments)
        }
      }),
      { numRuns: 150 },
    )
  })

  it('costs nothing without entries, and eight bytes for each entry in a full table', () => {
    const segment = new Segment(0, 1, 1, 0)
    const index = new EntryIndex(1)
    expect(index.bytes).toBe(0)
    for (let i = 0; i < 1024; i++) index.append(1, segment, i, 1)
    expect(index.bytes).toBe(1024 * 8 + 24)
    index.compact(1000)
    expect(index.bytes).toBeLessThan(2048)
    index.compact(1024)
    expect(index.bytes).toBe(0)
  })
})
