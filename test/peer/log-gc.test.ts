import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compactIndex, type LogGcView } from '../../src/peer/log-gc.ts'

const limits = {
  raftLogGcThreshold: 50,
  raftLogGcCountLimit: 1000,
  raftLogGcSizeLimit: 1_000_000,
  raftLogReserveMaxTicks: 6,
}

function view(overrides: Partial<LogGcView>): LogGcView {
  return {
    first: 6,
    last: 500,
    applied: 500,
    persisted: 500,
    replicated: 500,
    snapshot: Number.POSITIVE_INFINITY,
    late: 0,
    bytes: 0,
    ...overrides,
  }
}

describe('compactIndex', () => {
  it('compacts what every replica has, less the last such entry', () => {
    expect(compactIndex(view({ replicated: 300 }), limits, 0)).toBe(299)
    expect(compactIndex(view({}), limits, 0)).toBe(499)
  })

  it('lets a region at rest come to rest', () => {
    // Its own entry behind the one that the last compaction left.
    const rest = { first: 500, last: 501, applied: 501, persisted: 501, replicated: 501 }
    expect(compactIndex(view(rest), limits, 100)).toBeUndefined()
  })

  it('waits while that is little, but not for ever', () => {
    expect(compactIndex(view({ replicated: 55 }), limits, 5)).toBe('wait')
    expect(compactIndex(view({ replicated: 55 }), limits, 6)).toBe(54)
    expect(compactIndex(view({ replicated: 56 }), limits, 0)).toBe(55)
  })

  it('keeps all that a replica lacks, as long as the log is small', () => {
    expect(compactIndex(view({ replicated: 0 }), limits, 100)).toBeUndefined()
    expect(compactIndex(view({ replicated: 6 }), limits, 100)).toBeUndefined()
  })

  it('is forced by the number of entries or by their size, to the middle or further', () => {
    const many = { last: 2006, applied: 1006, persisted: 2006, replicated: 0 }
    expect(compactIndex(view(many), limits, 0)).toBe(1005)
    expect(compactIndex(view({ ...many, applied: 1005 }), limits, 0)).toBeUndefined()
    expect(compactIndex(view({ replicated: 0, bytes: 1_000_000 }), limits, 0)).toBe(252)
    expect(compactIndex(view({ replicated: 400, bytes: 1_000_000 }), limits, 0)).toBe(399)
  })

  it('gives up what is asked for by name, though a replica lacks it', () => {
    const behind = view({ replicated: 0 })
    expect(compactIndex(behind, limits, 0)).toBeUndefined()
    expect(compactIndex(behind, limits, 0, 200)).toBe(200)
    // Never more than is applied, or what a snapshot on its way leads on to.
    expect(compactIndex({ ...behind, applied: 100 }, limits, 0, 200)).toBe(99)
    expect(compactIndex({ ...behind, snapshot: 150 }, limits, 0, 200)).toBe(149)
    // What has gone since, or would go anyhow.
    expect(compactIndex(behind, limits, 0, 5)).toBeUndefined()
    expect(compactIndex(view({ replicated: 300 }), limits, 0, 200)).toBe(299)
    expect(compactIndex(view({ replicated: 55 }), limits, 0, 200)).toBe(200)
  })

  it('does not pull the log from under a snapshot on its way, until it has doubled', () => {
    const behind = { replicated: 0, snapshot: 100 }
    expect(compactIndex(view({ ...behind, bytes: 1_000_000 }), limits, 0)).toBe(99)
    expect(compactIndex(view({ ...behind, bytes: 2_000_000 }), limits, 0)).toBe(252)
  })

  it('never passes applied, persisted or the kept end, nor goes below the first entry', () => {
    const index = fc.integer({ min: 1, max: 3000 })
    fc.assert(
      fc.property(
        fc.record({ first: index, applied: index, persisted: index, replicated: index }),
        fc.integer({ min: 0, max: 3000 }),
        fc.integer({ min: 0, max: 3_000_000 }),
        fc.integer({ min: 0, max: 10 }),
        (some, length, bytes, skipped) => {
          const last = some.first + length - 1
          const clip = (i: number): number => Math.min(Math.max(i, some.first - 1), last)
          const applied = clip(some.applied)
          const persisted = clip(some.persisted)
          const found = compactIndex(
            view({ ...some, last, applied, persisted, bytes }),
            limits,
            skipped,
          )
          if (typeof found !== 'number') return
          expect(found).toBeGreaterThanOrEqual(some.first)
          expect(found).toBeLessThan(Math.min(applied, persisted))
          expect(last - some.first).toBeGreaterThanOrEqual(3)
        },
      ),
    )
  })

  it('gives a snapshot more time for each one that came too late, but not for ever', () => {
    const holds = (length: number, late: number): boolean => {
      const last = 6 + length
      const of = { last, applied: last, persisted: last, replicated: 6, snapshot: 20, late }
      return compactIndex(view(of), limits, 0) === 19
    }
    expect([holds(1999, 0), holds(2000, 0)]).toEqual([true, false])
    expect([holds(7999, 1), holds(8000, 1)]).toEqual([true, false])
    expect([holds(31_999, 2), holds(32_000, 2)]).toEqual([true, false])
    expect(holds(32_000, 50)).toBe(false)
  })
})
