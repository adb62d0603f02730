import { describe, expect, test } from 'vitest'
import { firstGap, RegionTree } from '../../src/pd/region-tree.ts'
import type { Region } from '../../src/region/region.ts'
import { heartbeat, region } from './fixtures.ts'

function treeOf(...regions: Region[]): RegionTree {
  const tree = new RegionTree()
  for (const one of regions) {
    expect(tree.applyHeartbeat(heartbeat(one))).toMatchObject({ accepted: true })
  }
  return tree
}

const key = (text: string): Buffer => Buffer.from(text)
const ids = (tree: RegionTree): number[] => [...tree.all()].map((record) => record.region.id)

describe('heartbeat acceptance', () => {
  interface Case {
    readonly name: string
    readonly known: Region[]
    readonly next: Region
    readonly term?: number
    readonly refused?: RegExp
    readonly changed?: boolean
    readonly removed?: number[]
    readonly after: number[]
  }
  const cases: Case[] = [
    { name: 'first of all', known: [], next: region(1, '', ''), changed: true, after: [1] },
    { name: 'same again', known: [region(1, '', '')], next: region(1, '', ''), after: [1] },
    {
      name: 'lower version',
      known: [region(1, '', '', [1, 5])],
      next: region(1, '', '', [1, 4]),
      refused: /version 4 is behind 5/,
      after: [1],
    },
    {
      name: 'lower conf_ver',
      known: [region(1, '', '', [3, 5])],
      next: region(1, '', '', [2, 5]),
      refused: /conf_ver 2 is behind 3/,
      after: [1],
    },
    {
      name: 'higher version with lower conf_ver',
      known: [region(1, '', '', [3, 5])],
      next: region(1, '', '', [2, 6]),
      refused: /conf_ver/,
      after: [1],
    },
    {
      name: 'lower term',
      known: [region(1, '', '')],
      next: region(1, '', ''),
      term: 5,
      refused: /term 5 is behind 6/,
      after: [1],
    },
    {
      name: 'higher conf_ver',
      known: [region(1, '', '')],
      next: region(1, '', '', [2, 1], [1, 2]),
      changed: true,
      after: [1],
    },
    {
      name: 'other keys without a new version',
      known: [region(1, '', '')],
      next: region(1, 'a', ''),
      refused: /without a new version/,
      after: [1],
    },
    {
      name: 'overlaps a region of higher version',
      known: [region(1, '', 'm', [1, 3])],
      next: region(2, 'a', 'z', [1, 2]),
      refused: /overlaps region 1 at version 3/,
      after: [1],
    },
    {
      name: 'overlaps an older region',
      known: [region(1, '', '', [1, 1])],
      next: region(2, 'a', 'z', [1, 2]),
      changed: true,
      removed: [1],
      after: [2],
    },
    {
      name: 'swallows several, touches its neighbours',
      known: [region(1, '', 'b'), region(2, 'b', 'd'), region(3, 'd', 'f'), region(4, 'f', '')],
      next: region(9, 'b', 'f', [1, 2]),
      changed: true,
      removed: [2, 3],
      after: [1, 9, 4],
    },
    {
      name: 'the right half of a split keeps its id',
      known: [region(1, '', '')],
      next: region(1, 'm', '', [1, 2]),
      changed: true,
      after: [1],
    },
    {
      name: 'the parent before the split arrives after a child',
      known: [region(1, '', ''), region(1, 'm', '', [1, 2])],
      next: region(1, '', '', [1, 1]),
      refused: /version 1 is behind 2/,
      after: [1],
    },
    {
      name: 'a hole is filled by an old version',
      known: [region(1, 'm', '', [1, 2])],
      next: region(2, '', 'm', [1, 1]),
      changed: true,
      after: [2, 1],
    },
  ]
  test.each(cases)('$name', (one) => {
    const tree = treeOf(...one.known)
    const result = tree.applyHeartbeat(heartbeat(one.next, one.term))
    if (one.refused !== undefined) {
      expect(result).toEqual({ accepted: false, reason: expect.stringMatching(one.refused) })
    } else {
      const { changed = false, removed = [] } = one
      expect(result).toEqual({ accepted: true, changed, removed })
    }
    expect(ids(tree)).toEqual(one.after)
    expect(tree.size).toBe(one.after.length)
  })
})

describe('look-ups', () => {
  // A hole between c and e.
  const tree = treeOf(region(1, '', 'b'), region(2, 'b', 'c'), region(3, 'e', ''))

  test('by key', () => {
    const found = ['', 'a', 'b', 'bz', 'c', 'd', 'e', 'zz'].map((k) => tree.find(key(k))?.region.id)
    expect(found).toEqual([1, 1, 2, 2, undefined, undefined, 3, 3])
  })

  test('the previous region', () => {
    const previous = (text: string): number | undefined => tree.findPrevious(key(text))?.region.id
    expect(previous('')).toBeUndefined()
    expect(previous('a')).toBeUndefined()
    expect(previous('b')).toBe(1)
    expect(previous('bz')).toBe(1)
    expect(previous('d'), 'inside a hole').toBeUndefined()
    expect(previous('f'), 'behind a hole').toBeUndefined()
  })

  test('scans', () => {
    const scan = (start: string, end: string, limit = 0): number[] =>
      tree.scan(key(start), key(end), limit).map((record) => record.region.id)
    expect(scan('', '')).toEqual([1, 2, 3])
    expect(scan('a', 'b')).toEqual([1])
    expect(scan('a', 'bb')).toEqual([1, 2])
    expect(scan('d', '')).toEqual([3])
    expect(scan('c', 'e')).toEqual([])
    expect(scan('', '', 2)).toEqual([1, 2])
  })

  test('gaps', () => {
    const gap = (start: string, end: string): string | undefined => {
      const found = firstGap(tree.scan(key(start), key(end), 0), key(start), key(end))
      return found && Buffer.from(found).toString()
    }
    expect(gap('', 'c')).toBeUndefined()
    expect(gap('e', '')).toBeUndefined()
    expect(gap('', '')).toBe('c')
    expect(gap('a', 'd')).toBe('c')
    expect(gap('d', 'f')).toBe('d')
  })
})
