import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { RegionCache } from '../../src/client/region-cache.ts'
import { type Region, regionContains } from '../../src/region/region.ts'

function region(id: number, start: string, end: string, version = 1, confVer = 1): Region {
  return {
    id,
    startKey: Buffer.from(start),
    endKey: Buffer.from(end),
    epoch: { confVer, version },
    peers: [
      { id: id * 10 + 1, storeId: 1, role: 1 },
      { id: id * 10 + 2, storeId: 2, role: 0 },
    ],
  }
}

describe('the region cache', () => {
  test('locates by key, and below a bound', () => {
    const cache = new RegionCache()
    cache.insert(region(1, '', 'c'), undefined)
    cache.insert(region(2, 'f', ''), undefined)
    const at = (key: string) => cache.locate(Buffer.from(key))?.region.id
    const below = (bound: string) => cache.locateBefore(Buffer.from(bound))?.region.id
    expect([at('a'), at('c'), at('e'), at('f'), at('z')]).toEqual([1, undefined, undefined, 2, 2])
    expect([below('c'), below('d'), below('f'), below('g'), below('')]).toEqual([
      1,
      undefined,
      undefined,
      2,
      2,
    ])
  })

  test('a learner is not taken for the leader', () => {
    const cache = new RegionCache()
    expect(cache.insert(region(1, '', ''), undefined)?.leader.storeId).toBe(2)
  })

  test('newer knowledge replaces, older is refused', () => {
    const cache = new RegionCache()
    cache.insert(region(1, '', '', 1), undefined)
    expect(cache.insert(region(2, '', 'm', 2), undefined)?.region.id).toBe(2)
    expect(cache.byId(1)).toBeUndefined()
    expect(cache.insert(region(1, '', '', 1), undefined)).toBeUndefined()
    expect(cache.insert(region(2, '', 'm', 2, 5), undefined)).toBeDefined()
    expect(cache.insert(region(2, '', 'm', 2, 4), undefined)).toBeUndefined()
    expect(cache.size).toBe(1)
  })

  test('never holds two regions for a key, nor loses one that it holds', () => {
    const bound = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 3 })
    const entry = fc.tuple(fc.integer({ min: 1, max: 6 }), bound, bound, fc.nat(4))
    fc.assert(
      fc.property(fc.array(entry), fc.array(bound), (inserts, probes) => {
        const cache = new RegionCache()
        const live = new Map<number, Region>()
        for (const [id, a, b, version] of inserts) {
          const [start, end] = b === '' ? [a, b] : a < b ? [a, b] : [b, `${a}a`]
          const entry = cache.insert(region(id, start, end, version), undefined)
          if (entry === undefined) continue
          for (const known of [...live.values()]) {
            if (cache.byId(known.id)?.region !== known) live.delete(known.id)
          }
          live.set(id, entry.region)
        }
        expect(cache.size).toBe(live.size)
        for (const probe of probes) {
          const key = Buffer.from(probe)
          const holders = [...live.values()].filter((each) => regionContains(each, key))
          expect(holders.length).toBeLessThanOrEqual(1)
          expect(cache.locate(key)?.region).toBe(holders[0])
        }
      }),
    )
  })
})
