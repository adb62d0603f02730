import { expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { EntryCache } from '../../src/raftlog/entry-cache.ts'
import { RegionLog } from '../../src/raftlog/region-log.ts'
import { Segment } from '../../src/raftlog/segment.ts'
import { entry, HARD } from './harness.ts'

it('accounts exactly through additions, truncations, evictions and pressure', () => {
  const random = seededRandom(7)
  const capacity = 60_000
  const cache = new EntryCache(capacity)
  const segment = new Segment(0, 1, 1, 0)
  const regions = Array.from({ length: 40 }, (_, i) => new RegionLog(i + 1, 0, 0, HARD))
  let pressed = 0
  for (let step = 0; step < 30_000; step++) {
    const region = regions[random.below(regions.length)]!
    const action = random.below(20)
    if (action === 0) cache.evict(region, region.last - random.below(5))
    else if (action === 1 && region.index.count > 3) {
      cache.truncate(region, region.last - 1)
      region.index.truncate(region.last - 1)
      region.persistedIndex = Math.min(region.persistedIndex, region.last)
    } else if (action < 6) {
      region.persistedIndex = region.last
      cache.enforce()
    } else {
      const index = region.last + 1
      const one = entry(index, 1, Buffer.alloc(random.below(300), index))
      region.index.append(1, segment, index, one.data.length)
      cache.add(region, one)
      cache.commit(region, index)
    }
    expect(region.cachedFirst).toBeLessThanOrEqual(region.persistedIndex + 1)
    if (cache.bytes > capacity) {
      pressed++
      // The oldest write that is left is not persisted, or it would have gone.
      expect(regions.some((one) => one.cachedFirst === one.persistedIndex + 1)).toBe(true)
    }
  }
  let bytes = 0
  let count = 0
  for (const region of regions) {
    for (let index = region.cachedFirst; index <= region.last; index++) {
      expect(region.cachedAt(index).index).toBe(index)
      bytes += region.cachedAt(index).data.length + 160
      count++
    }
  }
  expect([cache.entries, cache.bytes]).toEqual([count, bytes])
  for (const region of regions) cache.clear(region)
  expect([cache.entries, cache.bytes]).toEqual([0, 0])
  expect(pressed).toBeGreaterThan(0)
})
