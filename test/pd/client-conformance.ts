/** What every PdClient does, whichever way it reaches the placement driver. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PdCore } from '../../src/pd/core.ts'
import type { BootstrapPlan } from '../../src/pd/plan.ts'
import type { PdClient, RegionOrder } from '../../src/pd/port.ts'
import { bootstrapClassic, heartbeat, region, storeMeta, storeStats } from './fixtures.ts'

export interface PdWorld {
  readonly core: PdCore
  readonly client: PdClient
  close(): Promise<void>
}

const EMPTY = Buffer.alloc(0)
const key = (text: string): Buffer => Buffer.from(text)

/** Polls a condition that a message in flight brings about. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('the condition did not come about in 10 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

export function pdClientConformance(
  name: string,
  openWorld: (plan?: BootstrapPlan) => Promise<PdWorld>,
): void {
  let world: PdWorld
  const use = async (plan?: BootstrapPlan): Promise<PdWorld> => {
    await world?.close()
    world = await openWorld(plan)
    return world
  }

  describe(`${name}: classic bootstrap`, () => {
    beforeEach(() => use())
    afterEach(() => world.close())

    test('cluster id', async () => {
      const id = await world.client.clusterId()
      expect(id).toBe(world.core.clusterId)
      expect(Number.isSafeInteger(id) && id > 0).toBe(true)
    })

    test('ids come in fresh blocks', async () => {
      const seen = new Set<number>()
      for (const count of [1, 5, 1, 1200, 3]) {
        const last = await world.client.allocId(count)
        for (let id = last - count + 1; id <= last; id++) {
          expect(id >= 1 && !seen.has(id)).toBe(true)
          seen.add(id)
        }
      }
      await expect(world.client.allocId(2_000_000)).rejects.toMatchObject({
        code: 'InvalidArgument',
      })
    })

    test('before bootstrap', async () => {
      const { client } = world
      expect(await client.isBootstrapped()).toBe(false)
      expect(await client.initialRegions(1)).toEqual([])
      const code = { code: 'NotBootstrapped' }
      const id = await client.allocId(1)
      await expect(client.putStore(storeMeta(id))).rejects.toMatchObject(code)
      await expect(client.getRegion(EMPTY)).rejects.toMatchObject(code)
      await expect(client.scanRegions(EMPTY, EMPTY, 0)).rejects.toMatchObject(code)
      await expect(client.storeHeartbeat(storeStats(id))).rejects.toMatchObject(code)
      expect(await client.getAllStores()).toEqual([])
    })

    test('the first store bootstraps, another one comes too late', async () => {
      const { client } = world
      const last = await client.allocId(6)
      const store = storeMeta(last - 5)
      const peer = { id: last - 3, storeId: store.id, role: 0 as const }
      const first = { ...region(last - 4, '', ''), peers: [peer] }
      await client.bootstrap(store, first)
      expect(await client.isBootstrapped()).toBe(true)
      expect(await client.getStore(store.id)).toEqual(store)
      expect((await client.getRegion(key('any')))?.region).toEqual(first)
      expect(await client.initialRegions(store.id)).toEqual([])

      await client.bootstrap(store, first)
      const other = storeMeta(last - 2)
      const second = {
        ...region(last - 1, '', ''),
        peers: [{ id: last, storeId: other.id, role: 0 as const }],
      }
      await expect(client.bootstrap(other, second)).rejects.toMatchObject({
        code: 'AlreadyBootstrapped',
      })
      expect(await client.getStore(other.id)).toBeUndefined()
    })

    test('a first region that is none is refused', async () => {
      const { client } = world
      const last = await client.allocId(3)
      const store = storeMeta(last - 2)
      const good = {
        ...region(last - 1, '', ''),
        peers: [{ id: last, storeId: store.id, role: 0 as const }],
      }
      const bad = [
        { ...good, id: 0 },
        { ...good, id: last + 5000 },
        { ...good, peers: [] },
        { ...good, peers: [{ id: last, storeId: store.id + 99, role: 0 as const }] },
        { ...good, peers: [...good.peers, { id: 1, storeId: 2, role: 0 as const }] },
        { ...good, startKey: key('a') },
        { ...good, endKey: key('a') },
      ]
      for (const one of bad) {
        await expect(client.bootstrap(store, one)).rejects.toMatchObject({
          code: 'InvalidArgument',
        })
      }
      expect(await client.isBootstrapped()).toBe(false)
    })

    test('stores', async () => {
      const { client, core } = world
      const { store } = await bootstrapClassic(core)
      const id = await client.allocId(1)
      const second = storeMeta(id)
      await client.putStore(second)
      expect(await client.getStore(id)).toEqual(second)
      const moved = storeMeta(id, { address: '127.0.0.1:30000', labels: { zone: 'z', host: 'h' } })
      await client.putStore(moved)
      expect(await client.getStore(id)).toEqual(moved)
      expect((await client.getAllStores()).map((one) => one.id)).toEqual([store.id, id])
      expect(await client.getStore(id + 1)).toBeUndefined()

      const refused = { code: 'InvalidArgument' }
      const third = await client.allocId(1)
      const sameAddress = storeMeta(third, { address: store.address })
      await expect(client.putStore(sameAddress)).rejects.toMatchObject(refused)
      await expect(client.putStore(storeMeta(third, { address: '' }))).rejects.toMatchObject(
        refused,
      )
      await expect(client.putStore(storeMeta(0))).rejects.toMatchObject(refused)
      await expect(client.putStore(storeMeta(third + 1))).rejects.toMatchObject(refused)
    })

    test('store heartbeats', async () => {
      const { client, core } = world
      const { store } = await bootstrapClassic(core)
      await client.storeHeartbeat(storeStats(store.id))
      expect((await client.getStore(store.id))?.lastHeartbeatMs).toBeGreaterThan(1_700_000_000_000)
      expect(core.store(store.id)?.stats).toEqual(storeStats(store.id))
      expect(await client.getStoreStats(store.id)).toEqual(storeStats(store.id))
      expect(await client.getStoreStats(77)).toBeUndefined()
      await expect(client.storeHeartbeat(storeStats(77))).rejects.toMatchObject({
        code: 'NotFound',
      })
    })

    test('region heartbeats, and where they lead', async () => {
      const { client, core } = world
      const { first } = await bootstrapClassic(core)
      expect((await client.getRegionById(first.id))?.leader).toBeUndefined()
      const left = {
        ...region(5000, '', 'm', [2, 2], [1, 2, 3]),
        peers: [
          { id: 11, storeId: 1, role: 0 as const },
          { id: 12, storeId: 2, role: 0 as const },
          { id: 13, storeId: 3, role: 1 as const },
        ],
      }
      const right = { ...first, startKey: key('m'), epoch: { confVer: 2, version: 2 } }
      const beat = {
        ...heartbeat(left, 7, 1),
        downPeers: [{ peer: left.peers[0]!, downSeconds: 30 }],
        pendingPeers: [left.peers[2]!],
      }
      client.regionHeartbeat(beat)
      client.regionHeartbeat(heartbeat(right, 8))
      // Refused: older than what is known.
      client.regionHeartbeat(heartbeat(first, 9))
      await until(() => core.metrics().pd_region_heartbeats_refused === 1)

      const leftInfo = {
        region: left,
        leader: left.peers[1],
        downPeers: beat.downPeers,
        pendingPeers: beat.pendingPeers,
      }
      expect(await client.getRegionById(5000)).toEqual(leftInfo)
      expect(await client.getRegion(key('a'))).toEqual(leftInfo)
      expect((await client.getRegion(key('m')))?.region).toEqual(right)
      expect(await client.getPrevRegion(key('z'))).toEqual(leftInfo)
      expect(await client.getPrevRegion(key('a'))).toBeUndefined()
      expect(await client.getRegionById(4999)).toBeUndefined()
      const scan = async (...args: [Buffer, Buffer, number]): Promise<number[]> =>
        (await client.scanRegions(...args)).map((info) => info.region.id)
      expect(await scan(EMPTY, EMPTY, 0)).toEqual([5000, first.id])
      expect(await scan(EMPTY, EMPTY, 1)).toEqual([5000])
      expect(await scan(key('n'), EMPTY, 0)).toEqual([first.id])
      expect(await scan(EMPTY, key('m'), 0)).toEqual([5000])
    })

    test('binary keys and ids up to 2^53-1', async () => {
      const { client, core } = world
      await bootstrapClassic(core)
      const top = Number.MAX_SAFE_INTEGER
      const bytes = Buffer.from([0, 0xff, 0x80, 0x00])
      const beat = heartbeat({
        id: top,
        startKey: bytes,
        endKey: Buffer.concat([bytes, bytes]),
        epoch: { confVer: top, version: top },
        peers: [{ id: top, storeId: top, role: 0 }],
      })
      client.regionHeartbeat(beat)
      await until(() => core.metrics().pd_region_heartbeats_accepted === 1)
      expect((await client.getRegion(bytes))?.region).toEqual(beat.region)
    })

    test('orders reach the process that leads the region', async () => {
      const { client, core } = world
      const { first } = await bootstrapClassic(core)
      const orders: RegionOrder[] = []
      client.onRegionOrder((order) => orders.push(order))
      const order = {
        regionId: first.id,
        regionEpoch: undefined,
        targetPeer: undefined,
        changePeer: { peer: { id: 8, storeId: 3, role: 1 as const }, changeType: 2 as const },
        transferLeader: { id: 9, storeId: 2, role: 0 as const },
      }
      expect(core.sendOrder(order), 'no leader is known').toBe(false)
      client.regionHeartbeat(heartbeat(first))
      await until(() => core.sendOrder(order))
      await until(() => orders.length > 0)
      expect(orders[0]).toEqual({
        ...order,
        regionEpoch: first.epoch,
        targetPeer: first.peers[0],
      })
    })

    test('after close', async () => {
      const { client } = world
      await client.close()
      await client.close()
      await expect(client.allocId(1)).rejects.toMatchObject({ code: 'Closed' })
      client.regionHeartbeat(heartbeat(region(1, '', '')))
    })
  })

  describe(`${name}: bootstrap by plan`, () => {
    test('stores wait until they are enough, then know their regions', async () => {
      const { client } = await use({ stores: 3, regions: 4, replicas: 2 })
      const last = await client.allocId(4)
      const [a, b, c, d] = [last - 3, last - 2, last - 1, last] as const
      await client.putStore(storeMeta(a))
      await client.putStore(storeMeta(b))
      expect(await client.isBootstrapped()).toBe(false)
      expect(await client.initialRegions(a)).toBeUndefined()
      await expect(client.getRegion(EMPTY)).rejects.toMatchObject({ code: 'NotBootstrapped' })
      await expect(
        client.bootstrap(storeMeta(a), region(b, '', '', [1, 1], [a])),
      ).rejects.toMatchObject({ code: 'InvalidArgument' })
      await client.putStore(storeMeta(c))
      expect(await client.isBootstrapped()).toBe(true)

      const all = (await client.scanRegions(EMPTY, EMPTY, 0)).map((info) => info.region)
      expect(all.map((one) => one.peers.map((peer) => peer.storeId))).toEqual([
        [a, b],
        [b, c],
        [c, a],
        [a, b],
      ])
      for (const id of [a, b, c]) {
        const own = all.filter((one) => one.peers.some((peer) => peer.storeId === id))
        expect(await client.initialRegions(id)).toEqual(own)
      }
      await client.putStore(storeMeta(d))
      expect(await client.initialRegions(d)).toEqual([])
      await world.close()
    })
  })
}
