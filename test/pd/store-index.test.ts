/** The index of regions by store against a look through all of them, under random changes. */
import { expect, test } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { RegionTree } from '../../src/pd/region-tree.ts'
import type { Region } from '../../src/region/region.ts'
import { heartbeat, region } from './fixtures.ts'

const STORES = [1, 2, 3, 4, 5]

function expectExact(tree: RegionTree): void {
  for (const store of STORES) {
    const all = [...tree.all()]
    const there = all.filter(({ region }) => region.peers.some((peer) => peer.storeId === store))
    const ids = there.map((record) => record.region.id)
    expect([...tree.regionsOn(store)].sort()).toEqual(ids.sort())
    const led = all.filter((record) => record.leader?.storeId === store)
    expect(tree.leadersOn(store)).toBe(led.length)
  }
}

test.each([1, 2, 3, 4, 5])('seed %i', (seed) => {
  const random = seededRandom(seed)
  const tree = new RegionTree()
  let version = 1
  for (let i = 0; i < 300; i++) {
    const stores = STORES.filter(() => random.below(2) === 0)
    if (stores.length === 0) continue
    const [start, end] = [random.below(20), random.below(20)].sort((a, b) => a - b)
    if (start === end) continue
    const letter = (n: number): string => String.fromCharCode(97 + n)
    version += random.below(2)
    const id = 1 + random.below(12)
    const next: Region = region(id, letter(start!), letter(end!), [i, version], stores)
    tree.applyHeartbeat(heartbeat(next, 6, random.below(stores.length)))
    expectExact(tree)
  }
})
