import { beforeEach, expect, it } from 'vitest'
import type { Region } from '../../src/region/region.ts'
import { RegionRanges } from '../../src/store/region-ranges.ts'

/** 'b-d': from b to d; '-' alone is everything. */
function region(id: number, range: string): Region {
  const [start = '', end = ''] = range.split('-')
  const epoch = { confVer: 1, version: 1 }
  return { id, startKey: Buffer.from(start), endKey: Buffer.from(end), epoch, peers: [] }
}

let ranges: RegionRanges

beforeEach(() => {
  ranges = new RegionRanges()
})

const other = (id: number, range: string): number | undefined =>
  ranges.findOther(region(id, range))?.id

it('finds who has part of a range', () => {
  for (const [id, range] of [
    [1, '-d'],
    [2, 'd-h'],
    [3, 'm-'],
  ] as const)
    ranges.set(region(id, range))
  expect(other(9, 'h-m')).toBeUndefined()
  expect(other(9, 'i-k')).toBeUndefined()
  expect(other(9, 'g-k')).toBe(2)
  expect(other(9, 'h-n')).toBe(3)
  expect(other(9, 'e-f')).toBe(2)
  expect(other(9, 'z-')).toBe(3)
  expect(other(9, '-a')).toBe(1)
  expect(other(9, '-')).toBe(1)
})

it('leaves out the region itself, whatever its range was', () => {
  ranges.set(region(1, 'd-h'))
  expect(other(1, 'd-h')).toBeUndefined()
  expect(other(1, '-')).toBeUndefined()
  ranges.set(region(2, 'h-m'))
  expect(other(1, 'd-h')).toBeUndefined()
  expect(other(1, 'd-i')).toBe(2)
  expect(other(1, 'e-')).toBe(2)
})

it('forgets, and follows a region that changes', () => {
  ranges.set(region(1, 'd-h'))
  ranges.set(region(1, 'f-h'))
  expect(other(9, 'd-f')).toBeUndefined()
  expect(ranges.size).toBe(1)
  ranges.delete(1)
  ranges.delete(1)
  expect(other(9, '-')).toBeUndefined()
  expect(ranges.size).toBe(0)
})

it('knows everything occupied by one region', () => {
  ranges.set(region(1, '-'))
  expect(other(9, 'x-y')).toBe(1)
  expect(other(1, '-')).toBeUndefined()
})
