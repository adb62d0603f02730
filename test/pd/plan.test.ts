import { describe, expect, test } from 'vitest'
import { planBoundaries, planIdCount, planRegions } from '../../src/pd/plan.ts'
import { MemoryPdStorage } from '../../src/pd/storage.ts'
import { openCore, region, storeMeta } from './fixtures.ts'

describe('planRegions', () => {
  test.each([1, 2, 3, 16, 1000, 24_320])('%i regions cover every key once', (count) => {
    const plan = { stores: 3, regions: count, replicas: 3 }
    const regions = planRegions(plan, [1, 2, 3], 10)
    expect(regions).toHaveLength(count)
    expect(regions[0]!.startKey).toHaveLength(0)
    expect(regions.at(-1)!.endKey).toHaveLength(0)
    for (let i = 1; i < count; i++) {
      expect(regions[i]!.startKey.equals(regions[i - 1]!.endKey)).toBe(true)
      expect(Buffer.compare(regions[i - 1]!.startKey, regions[i]!.startKey)).toBe(-1)
    }
    const ids = regions.flatMap((one) => [one.id, ...one.peers.map((peer) => peer.id)])
    expect(new Set(ids).size).toBe(planIdCount(plan, 3))
    expect(Math.min(...ids)).toBe(10)
    expect(Math.max(...ids)).toBe(9 + ids.length)
  })

  test('boundaries are printable and even', () => {
    expect(planBoundaries(4).map((b) => b.readUInt16BE())).toEqual([0x37c0, 0x4f80, 0x6740])
  })

  test('first peers go round the stores, peers of a region live apart', () => {
    const regions = planRegions({ stores: 3, regions: 6, replicas: 2 }, [4, 5, 6], 1)
    expect(regions.map((one) => one.peers.map((peer) => peer.storeId))).toEqual([
      [4, 5],
      [5, 6],
      [6, 4],
      [4, 5],
      [5, 6],
      [6, 4],
    ])
  })

  test('never more replicas than stores', () => {
    expect(planRegions({ stores: 1, regions: 1, replicas: 3 }, [9], 1)[0]!.peers).toHaveLength(1)
  })
})

describe('bootstrap by plan', () => {
  test.each([1, 16])('3 stores, %i regions', async (regions) => {
    const map = new Map<string, Buffer>()
    const plan = { stores: 3, regions, replicas: 3 }
    const core = await openCore({ plan, storage: new MemoryPdStorage(map) })
    await core.allocId(3)
    for (const id of [1, 2]) {
      await core.putStore(storeMeta(id))
      expect(core.bootstrapped).toBe(false)
      expect(core.initialRegions(id)).toBeUndefined()
    }
    await core.putStore(storeMeta(3))
    expect(core.bootstrapped).toBe(true)
    for (const id of [1, 2, 3]) expect(core.initialRegions(id)).toHaveLength(regions)
    const all = core.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)
    expect(all.map((one) => one.region)).toEqual(core.initialRegions(1))
    expect(all[0]!.region.epoch).toEqual({ confVer: 1, version: 1 })
    expect(core.maxPeerCount).toBe(3)

    // A later store has none, and a restart with another plan changes nothing.
    const again = await openCore({
      plan: { stores: 4, regions: 2, replicas: 1 },
      storage: new MemoryPdStorage(map),
    })
    await again.allocId(1)
    expect(again.bootstrapped).toBe(true)
    expect(again.initialRegions(2)).toEqual(core.initialRegions(2))
    await again.putStore(storeMeta(4))
    expect(again.initialRegions(4)).toEqual([])
    expect(again.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)).toHaveLength(regions)
  })

  test('a restart between the last registration and the bootstrap catches up', async () => {
    const map = new Map<string, Buffer>()
    const waiting = await openCore({
      plan: { stores: 2, regions: 1, replicas: 2 },
      storage: new MemoryPdStorage(map),
    })
    await waiting.allocId(1)
    await waiting.putStore(storeMeta(1))
    const plan = { stores: 1, regions: 1, replicas: 1 }
    const core = await openCore({ plan, storage: new MemoryPdStorage(map) })
    expect(core.bootstrapped).toBe(true)
    expect(core.initialRegions(1)).toHaveLength(1)
  })

  test('Bootstrap is refused while a plan waits', async () => {
    const core = await openCore({ plan: { stores: 1, regions: 1, replicas: 1 } })
    await core.allocId(200)
    await expect(core.bootstrap(storeMeta(1), region(1, '', ''))).rejects.toMatchObject({
      code: 'InvalidArgument',
      message: expect.stringContaining('PutStore'),
    })
  })

  test('a senseless plan is refused', async () => {
    await expect(
      openCore({ plan: { stores: 3, regions: 30_000, replicas: 3 } }),
    ).rejects.toMatchObject({ code: 'ConfigInvalid' })
    await expect(openCore({ plan: { stores: 0, regions: 1, replicas: 3 } })).rejects.toMatchObject({
      code: 'ConfigInvalid',
    })
  })
})
