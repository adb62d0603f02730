/** Administration end to end: the command line, gRPC, a placement driver, and stores that only report. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.ts'
import { connectPdAdmin } from '../../../src/pd/admin-client.ts'
import { connectPd } from '../../../src/pd/grpc-client.ts'
import type { PdClient, RegionOrder } from '../../../src/pd/port.ts'
import type { PdServer } from '../../../src/pd/server.ts'
import type { Region } from '../../../src/region/region.ts'
import { registerCtl } from '../../../src/server/commands/ctl.ts'
import { FakeCluster } from '../../client/fake-cluster.ts'
import { until } from '../../pd/client-conformance.ts'
import {
  heartbeat,
  removeDir,
  startTestPd,
  storeMeta,
  storeStats,
  systemClock,
  temporaryDir,
} from '../../pd/fixtures.ts'
import { FakeIo } from '../cli/fake-io.ts'

let dir: string
let server: PdServer
let pd: PdClient
let orders: RegionOrder[]
/** What the stores and PD have waited for. */
let aheadMs: number
/** Four stores; the region has its peers on the first three, and the first leads it. */
let stores: number[]
let region: Region

beforeEach(async () => {
  dir = await temporaryDir()
  aheadMs = 0
  const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() + aheadMs }
  server = await startTestPd(dir, { clock, plan: { stores: 3, regions: 1, replicas: 3 } })
  pd = await connectPd([server.address], { logger: silentLogger })
  orders = []
  pd.onRegionOrder((order) => orders.push(order))
  const last = await pd.allocId(4)
  stores = [last - 3, last - 2, last - 1, last]
  for (const id of stores) await pd.putStore(storeMeta(id))
  for (const id of stores) await pd.storeHeartbeat(storeStats(id))
  region = (await pd.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0))[0]!.region
  await report()
})
afterEach(async () => {
  await pd.close()
  await server.close()
  await removeDir(dir)
})

async function report(): Promise<void> {
  const before = server.service.metrics().pd_region_heartbeats_accepted!
  pd.regionHeartbeat(heartbeat(region))
  await until(() => server.service.metrics().pd_region_heartbeats_accepted! > before)
}

/** Stores that are heard no more count as disconnected. */
async function silence(...silent: number[]): Promise<void> {
  aheadMs += 30_000
  for (const id of stores) if (!silent.includes(id)) await pd.storeHeartbeat(storeStats(id))
}

async function ctl(...args: string[]): Promise<FakeIo> {
  const io = new FakeIo(new FakeCluster([1]))
  io.openPd = async () => connectPd([server.address], { logger: silentLogger })
  io.openAdmin = async () => connectPdAdmin([server.address], { logger: silentLogger })
  await io.run(registerCtl, ['ctl', ...args])
  return io
}

const json = async (...args: string[]) => JSON.parse((await ctl(...args, '-w', 'json')).stdout.text)

async function failure(...args: string[]): Promise<string> {
  const io = await ctl(...args)
  expect(io.exitCode).toBe(1)
  expect(io.stderr.lines).toHaveLength(1)
  return io.stderr.text
}

describe('operator', () => {
  test('transfer-leader reaches the leader, and succeeds when another one reports', async () => {
    const [first, second] = stores
    const started = await json('operator', 'add', 'transfer-leader', `${region.id}`, `${second}`)
    expect(started).toMatchObject({ regionId: region.id, status: 'running', origin: 'admin' })
    await until(() => orders.length > 0)
    expect(orders[0]).toEqual({
      regionId: region.id,
      regionEpoch: region.epoch,
      targetPeer: region.peers.find((peer) => peer.storeId === first),
      changePeer: undefined,
      transferLeader: region.peers.find((peer) => peer.storeId === second),
    })
    const list = await ctl('operator', 'list')
    expect(list.stdout.text).toMatch(/admin-transfer-leader +admin +1\/1 +move the leader to store/)
    pd.regionHeartbeat(heartbeat(region, 7, 1))
    await until(() => server.service.operators().length === 0)
    expect(await json('operator', 'show', `${region.id}`)).toMatchObject({ status: 'success' })
  })

  test('transfer-peer, step by step', async () => {
    const [, second, , fourth] = stores
    await ctl('operator', 'add', 'transfer-peer', `${region.id}`, `${second}`, `${fourth}`)
    await until(() => orders.length === 1)
    const { peer, changeType } = orders[0]!.changePeer!
    expect([changeType, peer.storeId, peer.role]).toEqual([2, fourth, 1])
    const show = await ctl('operator', 'show', `${region.id}`)
    expect(show.stdout.text).toMatch(
      /now +add learner \d+ on store \d+\n.*promote.*\n.*remove peer/,
    )

    region = { ...region, peers: [...region.peers, peer], epoch: { confVer: 2, version: 1 } }
    await report()
    await until(() => orders.length === 2)
    expect(orders[1]!.changePeer).toEqual({ peer: { ...peer, role: 0 }, changeType: 0 })
    const voters = region.peers.map((each) => ({ ...each, role: 0 as const }))
    region = { ...region, peers: voters, epoch: { confVer: 3, version: 1 } }
    await report()
    await until(() => orders.length === 3)
    const gone = region.peers.find((each) => each.storeId === second)!
    expect(orders[2]!.changePeer).toEqual({ peer: gone, changeType: 1 })
  })

  test('remove ends one', async () => {
    await ctl('operator', 'add', 'add-peer', `${region.id}`, `${stores[3]}`)
    const io = await ctl('operator', 'remove', `${region.id}`)
    expect(io.stdout.text).toMatch(/cancel: removed by an administrator/)
    expect(await failure('operator', 'remove', `${region.id}`)).toMatch(/no operator under way/)
  })

  test('says what is wrong', async () => {
    const [first, second, , fourth] = stores
    const add = (...args: (string | number | undefined)[]) =>
      failure('operator', 'add', ...args.map(String))
    expect(await add('add-peer', 4711, fourth)).toMatch(/no region with the id 4711/)
    expect(await add('add-peer', region.id, 4711)).toMatch(/no store 4711/)
    expect(await add('add-peer', region.id, second)).toMatch(/has a peer on store \d+ already/)
    expect(await add('remove-peer', region.id, fourth)).toMatch(/no peer on store .*stores/)
    expect(await add('transfer-leader', region.id, first)).toMatch(/leads region \d+ already/)
    expect(await add('transfer-leader', region.id, fourth)).toMatch(/has no peer on store/)
    await ctl('operator', 'add', 'add-peer', `${region.id}`, `${fourth}`)
    expect(await add('remove-peer', region.id, second)).toMatch(/has an operator under way/)
    expect(await failure('operator', 'show', '4711')).toMatch(/no operator for region 4711/)
  })
})

describe('store', () => {
  test('delete moves its peers to another store', async () => {
    const [, second, , fourth] = stores
    const io = await ctl('store', 'delete', `${second}`)
    expect(io.stdout.text).toMatch(/is being removed; 1 region still has a peer on it/)
    const { condition, peers } = await json('store', 'show', `${second}`)
    expect([condition, peers]).toEqual(['offline', 1])
    await until(() => orders.length > 0)
    expect(orders[0]!.changePeer).toMatchObject({ changeType: 2, peer: { storeId: fourth } })
    const [operator] = await json('operator', 'list')
    expect(operator).toMatchObject({ reason: 'replace-offline-replica', origin: 'checker' })
  })

  test('delete --physically-destroyed frees the address at once', async () => {
    const third = stores[2]!
    const { address } = storeMeta(third)
    const next = storeMeta(await pd.allocId(1), { address })
    await expect(pd.putStore(next)).rejects.toThrow(`store delete ${third} --physically-destroyed`)
    await silence(third)
    const io = await ctl('store', 'delete', `${third}`, '--physically-destroyed')
    expect(io.stdout.text).toContain(`${address} is free`)
    await pd.putStore(next)
    const refused = { code: 'StoreTombstone', message: expect.stringMatching(/as a new store/) }
    await expect(pd.storeHeartbeat(storeStats(third))).rejects.toMatchObject(refused)
    await expect(pd.putStore(storeMeta(third))).rejects.toMatchObject(refused)
    expect((await pd.getStore(third))?.physicallyDestroyed).toBe(true)
    expect((await ctl('store', 'list')).stdout.text).toMatch(/ destroyed /)
  })

  test('delete of an empty store, and of one that is not there', async () => {
    const fourth = stores[3]!
    await ctl('store', 'delete', `${fourth}`)
    await until(async () => (await pd.getStore(fourth))?.state === 2)
    expect(await failure('store', 'delete', `${fourth}`)).toMatch(/removed already/)
    expect(await failure('store', 'delete', '4711')).toMatch(/store ID 4711/)
    expect(await failure('store', 'show', '4711')).toMatch(/no store 4711/)
  })

  test('delete of what could not be taken back needs --force', async () => {
    const [first, second, third, fourth] = stores.map(String)
    await ctl('store', 'delete', fourth!)
    expect(await failure('store', 'delete', third!)).toMatch(/nowhere to go: add a store first/)
    const destroy = ['store', 'delete', second!, '--physically-destroyed']
    expect(await failure(...destroy)).toMatch(/was heard 0 s ago/)
    expect((await ctl(...destroy, '--force')).stdout.text).toMatch(/counts as lost/)
    const last = ['store', 'delete', first!, '--force']
    expect((await ctl(...last)).stdout.text).toMatch(/is being removed/)
  })

  test('health tells of it all', async () => {
    expect((await ctl('health')).stdout.text).toBe('healthy: 1 region on 4 stores\n')
    await silence(stores[2]!)
    await ctl('store', 'delete', `${stores[2]}`, '--physically-destroyed')
    const io = await ctl('health')
    expect(io.exitCode).toBe(1)
    expect(io.stdout.lines.at(-1)).toBe('of 1 region: 1 with a replica down')
  })
})

describe('config', () => {
  test('another number of replicas leads to another replica', async () => {
    expect((await ctl('config', 'show')).stdout.text).toMatch(
      /replicas +3\nmax-store-down-time +30m/,
    )
    expect(await json('config', 'set', 'replicas', '4')).toMatchObject({ replicas: 4 })
    await until(() => orders.length > 0)
    expect(orders[0]!.changePeer).toMatchObject({ changeType: 2, peer: { storeId: stores[3] } })
    expect((await ctl('health')).stdout.text).toMatch(/has 3 of 4 replicas/)
    expect(await failure('config', 'set', 'replicas', '16')).toMatch(/1 to 15 replicas, not 16/)
  })
})
