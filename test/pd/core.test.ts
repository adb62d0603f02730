/** What no client can bring about by itself: removed stores, a storage that fails. */
import { describe, expect, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { type StoreMeta, StoreState } from '../../src/pd/port.ts'
import { decodeNumber, IDS_KEY, storeWrite } from '../../src/pd/records.ts'
import { applyWrites, MemoryPdStorage, type PdWrite } from '../../src/pd/storage.ts'
import { bootstrapClassic, heartbeat, openCore, region, storeMeta, storeStats } from './fixtures.ts'

class FailingStorage extends MemoryPdStorage {
  failing = false

  override async put(writes: readonly PdWrite[]): Promise<void> {
    if (this.failing) throw new PolyraftError('DiskError', 'no space')
    await super.put(writes)
  }
}

describe('a store that was removed', () => {
  async function withTombstone(): Promise<{
    core: Awaited<ReturnType<typeof openCore>>
    gone: StoreMeta
  }> {
    const map = new Map<string, Buffer>()
    const before = await openCore({ storage: new MemoryPdStorage(map) })
    await bootstrapClassic(before)
    const gone = storeMeta(await before.allocId(1), { state: StoreState.Tombstone })
    applyWrites(map, [storeWrite(gone)])
    return { core: await openCore({ storage: new MemoryPdStorage(map) }), gone }
  }

  test('can neither register nor report', async () => {
    const { core, gone } = await withTombstone()
    const refused = { code: 'StoreTombstone' }
    await expect(core.putStore({ ...gone, state: StoreState.Up })).rejects.toMatchObject(refused)
    expect(() => core.storeHeartbeat(storeStats(gone.id))).toThrow(/removed from the cluster/)
    expect(core.store(gone.id)?.meta.state).toBe(StoreState.Tombstone)
  })

  test('leaves its address to another one', async () => {
    const { core, gone } = await withTombstone()
    const next = storeMeta(await core.allocId(1), { address: gone.address })
    await core.putStore(next)
    expect(core.store(next.id)?.meta).toEqual(next)
  })

  test('a store cannot change its own state', async () => {
    const { core } = await withTombstone()
    const id = await core.allocId(1)
    await core.putStore(storeMeta(id, { state: StoreState.Offline }))
    expect(core.store(id)?.meta.state).toBe(StoreState.Up)
  })
})

describe('two processes that speak for one store', () => {
  const later = 1_800_000_060

  test('the one that began later is heard, the other is told', async () => {
    const core = await openCore()
    const { store } = await bootstrapClassic(core)
    core.storeHeartbeat(storeStats(store.id))
    // A copy of its data directory, started elsewhere.
    await core.putStore(storeMeta(store.id, { startTimestamp: later, address: 'elsewhere:1' }))
    core.storeHeartbeat({ ...storeStats(store.id), startTime: later, regionCount: 9 })
    expect(() => core.storeHeartbeat(storeStats(store.id))).toThrow(
      /another process runs as store \d+ since 2027-01-15T08:01:00.000Z, at elsewhere:1/,
    )
    expect(core.store(store.id)?.stats?.regionCount).toBe(9)
  })

  test('a PD that was brought back from a backup ends nobody', async () => {
    const core = await openCore()
    const { store } = await bootstrapClassic(core)
    core.storeHeartbeat({ ...storeStats(store.id), startTime: later })
    expect(core.store(store.id)?.stats?.startTime).toBe(later)
  })
})

describe('a storage that fails', () => {
  test('nothing is promised that is not durable', async () => {
    const storage = new FailingStorage()
    const core = await openCore({ storage })
    await bootstrapClassic(core)
    const last = await core.allocId(1)
    storage.failing = true
    const code = { code: 'DiskError' }
    await expect(core.putStore(storeMeta(last))).rejects.toMatchObject(code)
    expect(core.store(last)).toBeUndefined()
    await expect(core.setMaxPeerCount(9)).rejects.toMatchObject(code)
    expect(core.maxPeerCount).toBe(3)
    await expect(core.allocId(5000)).rejects.toMatchObject(code)
    storage.failing = false
    expect(await core.allocId(1), 'the failed block was not given out').toBe(last + 1)
  })

  test('a failed bootstrap by plan is repeated by the next registration', async () => {
    const storage = new FailingStorage()
    const core = await openCore({ storage, plan: { stores: 1, regions: 2, replicas: 1 } })
    const id = await core.allocId(1)
    storage.failing = true
    await expect(core.putStore(storeMeta(id))).rejects.toMatchObject({ code: 'DiskError' })
    expect(core.bootstrapped).toBe(false)
    storage.failing = false
    await core.putStore(storeMeta(id))
    expect(core.initialRegions(id)).toHaveLength(2)
  })
})

describe('ids', () => {
  test('a window of a thousand is durable before its first id is given out', async () => {
    const map = new Map<string, Buffer>()
    const core = await openCore({ storage: new MemoryPdStorage(map) })
    const saved = (): number => decodeNumber(IDS_KEY, map.get(IDS_KEY)!)
    expect(await core.allocId(1)).toBe(1)
    expect(saved()).toBe(1000)
    expect(await core.allocId(999)).toBe(1000)
    expect(saved()).toBe(1000)
    expect(await core.allocId(1)).toBe(1001)
    expect(saved()).toBe(2000)
    const after = await openCore({ storage: new MemoryPdStorage(map) })
    expect(await after.allocId(1)).toBe(2001)
  })

  test('blocks asked for at once do not overlap', async () => {
    const core = await openCore()
    const lasts = await Promise.all([400, 400, 400, 3000].map((count) => core.allocId(count)))
    expect(lasts).toEqual([400, 800, 1200, 4200])
  })
})

test('regions are stored when their epoch changes, not at every heartbeat', async () => {
  const map = new Map<string, Buffer>()
  const core = await openCore({ storage: new MemoryPdStorage(map) })
  const { first } = await bootstrapClassic(core)
  map.delete(`region/${first.id}`)
  core.regionHeartbeat(heartbeat(first, 7))
  expect(map.has(`region/${first.id}`)).toBe(false)
  core.regionHeartbeat(heartbeat({ ...first, epoch: { confVer: 2, version: 1 } }, 7))
  expect(map.has(`region/${first.id}`)).toBe(true)
  core.regionHeartbeat(heartbeat(region(700, '', '', [9, 9]), 7))
  expect([...map.keys()].filter((key) => key.startsWith('region/'))).toEqual(['region/700'])
})

test('damaged and unknown records stop the start', async () => {
  const map = new Map([['mystery', Buffer.from([1])]])
  await expect(openCore({ storage: new MemoryPdStorage(map) })).rejects.toMatchObject({
    code: 'Corruption',
  })
  const newer = new Map([[IDS_KEY, Buffer.from([9, 0, 0, 0, 0, 0, 0, 0, 0])]])
  await expect(openCore({ storage: new MemoryPdStorage(newer) })).rejects.toMatchObject({
    code: 'DataDirMismatch',
  })
  const short = new Map([[IDS_KEY, Buffer.from([1, 0])]])
  await expect(openCore({ storage: new MemoryPdStorage(short) })).rejects.toMatchObject({
    code: 'Corruption',
  })
})

test('a stream that ends late does not take the way of the one that replaced it', async () => {
  const core = await openCore()
  const { store, first } = await bootstrapClassic(core)
  core.regionHeartbeat(heartbeat(first))
  const told: string[] = []
  const before = (): void => void told.push('before')
  const after = (): void => void told.push('after')
  const none = { regionEpoch: undefined, targetPeer: undefined, changePeer: undefined }
  const order = { regionId: first.id, ...none, transferLeader: undefined }
  core.attachStore(store.id, before)
  core.attachStore(store.id, after)
  core.detachStore(store.id, before)
  expect(core.sendOrder(order)).toBe(true)
  core.detachStore(store.id, after)
  expect(core.sendOrder(order)).toBe(false)
  expect(told).toEqual(['after'])
})
