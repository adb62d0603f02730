/** Every RPC of the placement driver over real gRPC, as TiKV's clients call it. */
import { Client, credentials, type MethodDefinition, status } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { PdServer } from '../../src/pd/server.ts'
import { healthServiceDefinition } from '../../src/protocol/health.ts'
import type * as pb from '../../src/protocol/pd-messages.ts'
import { metaStorageMethods, pdMethods } from '../../src/protocol/pd-services.ts'
import { messageCodec } from '../../src/protocol/protobuf.ts'
import type { Region } from '../../src/region/region.ts'
import {
  bootstrapClassic,
  heartbeat,
  region,
  removeDir,
  startTestPd,
  storeMeta,
  storeStats,
  temporaryDir,
} from './fixtures.ts'
import { emptyHeartbeat, streamExchange, unaryCall } from './rpc.ts'

const EMPTY = Buffer.alloc(0)
const key = (text: string): Buffer => Buffer.from(text)

let dir: string
let server: PdServer
let client: Client
let header: pb.RequestHeader

beforeEach(async () => {
  dir = await temporaryDir()
  server = await startTestPd(dir)
  client = new Client(server.address, credentials.createInsecure())
  header = { clusterId: server.service.clusterId, senderId: 0, callerId: '', callerComponent: '' }
})
afterEach(async () => {
  client.close()
  await server.close()
  await removeDir(dir)
})

const call = <Q, R>(method: MethodDefinition<Q, R>, request: Q): Promise<R> =>
  unaryCall(client, method, request)
const exchange = <Q, R>(method: MethodDefinition<Q, R>, requests: Q[]): Promise<R[]> =>
  streamExchange(client, method, requests)

const ok = { clusterId: expect.any(Number), error: null }
const failed = (type: number, message?: string): object => ({
  clusterId: expect.any(Number),
  error: { type, message: message ? expect.stringContaining(message) : expect.any(String) },
})

/** Three regions: ['', g), [g, p), [p, ''). */
async function threeRegions(): Promise<Region[]> {
  const { store, first } = await bootstrapClassic(server.service)
  const peer = (id: number) => [{ id, storeId: store.id, role: 0 as const }]
  const regions: Region[] = [
    { ...region(801, '', 'g', [1, 3]), peers: peer(901) },
    { ...region(802, 'g', 'p', [1, 3]), peers: peer(902) },
    { ...first, startKey: key('p'), epoch: { confVer: 1, version: 3 } },
  ]
  for (const one of regions) {
    expect(server.service.regionHeartbeat(heartbeat(one))).toMatchObject({ accepted: true })
  }
  return regions
}

const idsOf = (infos: readonly pb.WireRegionInfo[]): unknown[] => infos.map((i) => i.region?.id)

describe('discovery', () => {
  test('GetMembers, with and without a cluster id', async () => {
    for (const asked of [undefined, { ...header, clusterId: 0 }, { ...header, clusterId: 99 }]) {
      const response = await call(pdMethods.getMembers, { header: asked })
      expect(response.header).toEqual({ clusterId: header.clusterId, error: null })
      expect(response.members).toHaveLength(1)
      expect(response.leader).toMatchObject({ clientUrls: [`http://${server.address}`] })
      expect(response.leader?.memberId).toBeGreaterThan(0)
      expect(response.etcdLeader).toEqual(response.leader)
    }
  })

  test('a cluster id that no number holds is another cluster', async () => {
    const foreign = { ...header, clusterId: 7_365_821_904_721_124_000 }
    const mismatch = failed(1, 'not 7365821904721124000: check the PD endpoints')
    const unary = await call(pdMethods.getStore, { header: foreign, storeId: 1 })
    expect(unary.header).toEqual(mismatch)
    const [stamp] = await exchange(pdMethods.tso, [{ header: foreign, count: 1, dcLocation: '' }])
    expect(stamp!.header).toEqual(mismatch)
    const members = await call(pdMethods.getMembers, { header: foreign })
    expect(members.header).toEqual({ clusterId: header.clusterId, error: null })
  })

  test('GetMembers tells the advertised address', async () => {
    const other = await startTestPd(`${dir}/other`, { advertiseClientAddr: 'pd.example:2379' })
    client.close()
    client = new Client(other.address, credentials.createInsecure())
    const response = await call(pdMethods.getMembers, { header: undefined })
    expect(response.leader?.clientUrls).toEqual(['http://pd.example:2379'])
    await other.close()
  })

  test('GetClusterInfo', async () => {
    const response = await call(pdMethods.getClusterInfo, {})
    expect(response).toMatchObject({ header: ok, serviceModes: [1], tsoUrls: [] })
  })

  test('cluster config', async () => {
    const { clusterId } = header
    expect(await call(pdMethods.getClusterConfig, { header })).toMatchObject({
      header: ok,
      cluster: { id: clusterId, maxPeerCount: 3 },
    })
    const cluster = { id: clusterId, maxPeerCount: 5 }
    expect(await call(pdMethods.putClusterConfig, { header, cluster })).toEqual({ header: ok })
    const { cluster: after } = await call(pdMethods.getClusterConfig, { header })
    expect(after?.maxPeerCount).toBe(5)
    const none = await call(pdMethods.putClusterConfig, { header, cluster: undefined })
    expect(none.header).toEqual(failed(10, 'no cluster'))
  })

  test('settings that PD does not keep', async () => {
    const request = { names: ['a'], configPath: '/global/config/' }
    expect(await call(pdMethods.loadGlobalConfig, request)).toMatchObject({ items: [] })
    expect(await call(pdMethods.getGcSafePoint, { header })).toMatchObject({
      header: ok,
      safePoint: 0,
    })
    expect(await call(pdMethods.isSnapshotRecovering, { header })).toMatchObject({ marked: false })
  })

  test('MetaStorage has no keys of others', async () => {
    const request = { key: key('resource_group/settings'), rangeEnd: EMPTY, limit: 0, revision: 0 }
    const metaHeader = { clusterId: header.clusterId, source: 'test' }
    const response = await call(metaStorageMethods.get, { header: metaHeader, ...request })
    const none = { header: { ...ok, revision: 1 }, kvs: [], count: 0 }
    expect(response).toMatchObject(none)
    // As TiKV's clients ask.
    const bare = await call(metaStorageMethods.get, { header: undefined, ...request })
    expect(bare).toMatchObject(none)
    expect(bare.header?.error ?? undefined).toBe(undefined)
    const wrong = await call(metaStorageMethods.get, {
      header: { clusterId: 1, source: '' },
      ...request,
    })
    expect(wrong.header?.error).toBeTruthy()
  })

  test('health', async () => {
    const check = healthServiceDefinition.check as MethodDefinition<object, object>
    expect(await call(check, { service: '' })).toEqual({ status: 1 })
    expect(await call(check, { service: 'pdpb.PD' })).toEqual({ status: 1 })
  })

  test('a method that PD lacks is unimplemented', async () => {
    const method = { ...pdMethods.getMembers, path: '/pdpb.PD/SyncMaxTS' }
    await expect(call(method, { header })).rejects.toMatchObject({ code: status.UNIMPLEMENTED })
  })
})

describe('headers', () => {
  test('another cluster id is refused by everything that has one', async () => {
    const wrong = { ...header, clusterId: header.clusterId + 1 }
    const missing = [undefined, wrong]
    for (const asked of missing) {
      const expected = failed(1, `cluster ${header.clusterId}`)
      const region = { header: asked, regionKey: EMPTY, needBuckets: false }
      expect((await call(pdMethods.getRegion, region)).header).toEqual(expected)
      expect((await call(pdMethods.allocId, { header: asked, count: 1 })).header).toEqual(expected)
      const stamps = await exchange(pdMethods.tso, [{ header: asked, count: 1, dcLocation: '' }])
      expect(stamps[0]?.header).toEqual(expected)
      const beats = await exchange(pdMethods.regionHeartbeat, [
        { ...emptyHeartbeat(header), header: asked },
      ])
      expect(beats[0]?.header).toEqual(expected)
    }
  })
})

describe('time and ids', () => {
  test('Tso answers each request in order, with the last of its block', async () => {
    const counts = [1, 10, 100, 1]
    const requests = counts.map((count) => ({ header, count, dcLocation: 'global' }))
    const answers = await exchange(pdMethods.tso, requests)
    expect(answers.map((answer) => answer.count)).toEqual(counts)
    let last = 0n
    for (const { header: answered, timestamp, count } of answers) {
      expect(answered).toEqual(ok)
      const now = (BigInt(timestamp!.physical) << 18n) + BigInt(timestamp!.logical)
      expect(now - last).toBeGreaterThanOrEqual(BigInt(count))
      last = now
    }
    expect(Math.abs(answers[0]!.timestamp!.physical - Date.now())).toBeLessThan(60_000)
  })

  test('a client may send far ahead of the answers', async () => {
    const requests = Array.from({ length: 500 }, () => ({ header, count: 3, dcLocation: '' }))
    const answers = await exchange(pdMethods.tso, requests)
    expect(answers).toHaveLength(500)
    expect(server.metrics().pd_timestamps).toBe(1500)
  })

  test('Tso refuses a count of nothing', async () => {
    const [answer] = await exchange(pdMethods.tso, [{ header, count: 0, dcLocation: '' }])
    expect(answer?.header).toEqual(failed(10))
  })

  test('GetMinTS', async () => {
    const { timestamp } = await call(pdMethods.getMinTs, { header })
    expect(timestamp?.physical).toBeGreaterThan(1_700_000_000_000)
  })

  test('AllocID, where 0 means 1', async () => {
    const one = await call(pdMethods.allocId, { header, count: 0 })
    expect(one).toMatchObject({ header: ok, count: 1 })
    const ten = await call(pdMethods.allocId, { header, count: 10 })
    expect(ten).toMatchObject({ header: ok, id: one.id + 10, count: 10 })
  })
})

describe('bootstrap and stores', () => {
  test('errors carry their types', async () => {
    const { getRegion, putStore, bootstrap } = pdMethods
    const lookup = { header, regionKey: EMPTY, needBuckets: false }
    expect((await call(getRegion, lookup)).header).toEqual(failed(2))
    expect((await call(putStore, { header, store: undefined })).header).toEqual(failed(10))
    const nothing = { header, store: undefined, region: undefined }
    expect((await call(bootstrap, nothing)).header).toEqual(failed(10, 'no store'))
    await bootstrapClassic(server.service)
    expect(await call(pdMethods.isBootstrapped, { header })).toEqual({
      header: ok,
      bootstrapped: true,
    })
    const wireStore = { ...(await call(pdMethods.getStore, { header, storeId: 1 })).store! }
    const again = { ...nothing, store: wireStore, region: wireRegion(region(50, '', '')) }
    expect((await call(bootstrap, again)).header).toEqual(failed(4))
  })

  test('GetStore and GetAllStores', async () => {
    const { store } = await bootstrapClassic(server.service)
    server.service.storeHeartbeat(storeStats(store.id))
    const answer = await call(pdMethods.getStore, { header, storeId: store.id })
    expect(answer).toMatchObject({
      header: ok,
      store: { id: store.id, address: store.address, state: 0, nodeState: 1 },
      stats: { storeId: store.id, regionCount: 3, interval: { endTimestamp: 110 } },
    })
    expect(Math.abs(answer.store!.lastHeartbeat / 1e6 - Date.now())).toBeLessThan(60_000)
    // These words make client-go drop a store that is gone.
    const unknown = await call(pdMethods.getStore, { header, storeId: 999 })
    expect(unknown.header).toEqual(failed(9, 'invalid store ID 999, not found'))
    const all = await call(pdMethods.getAllStores, { header, excludeTombstoneStores: true })
    expect(all.stores.map((one) => one.id)).toEqual([store.id])
  })

  test('a store that leaves, and is gone then: in both of its states', async () => {
    const { store } = await bootstrapClassic(server.service)
    const id = await server.service.allocId(1)
    await server.service.putStore(storeMeta(id))
    const told = async (): Promise<unknown> =>
      (await call(pdMethods.getStore, { header, storeId: id })).store
    const list = async (excludeTombstoneStores: boolean): Promise<number[]> => {
      const all = await call(pdMethods.getAllStores, { header, excludeTombstoneStores })
      return all.stores.map((one) => one.id)
    }
    await server.service.removeStore(id, false)
    expect(await told()).toMatchObject({ state: 1, nodeState: 2 })
    expect(await list(true)).toEqual([store.id, id])
    // No region has a peer there; what follows is behind that in the order of writes.
    server.service.tick()
    await server.service.setMaxPeerCount(3)
    expect(await told()).toMatchObject({ state: 2, nodeState: 3 })
    expect([await list(true), await list(false)]).toEqual([[store.id], [store.id, id]])
  })

  test('StoreHeartbeat', async () => {
    await bootstrapClassic(server.service)
    const { interval: _, ...rest } = { ...storeStats(1), interval: undefined }
    const stats = { ...rest, interval: undefined }
    expect(await call(pdMethods.storeHeartbeat, { header, stats })).toEqual({ header: ok })
    const unknown = await call(pdMethods.storeHeartbeat, {
      header,
      stats: { ...stats, storeId: 9 },
    })
    expect(unknown.header).toEqual(failed(9))
    const none = await call(pdMethods.storeHeartbeat, { header, stats: undefined })
    expect(none.header).toEqual(failed(10))
  })
})

function wireRegion(of: Region): pb.WireRegion {
  const { epoch, peers, ...rest } = of
  return { ...rest, regionEpoch: { ...epoch }, peers: peers.map((peer) => ({ ...peer })) }
}

describe('regions', () => {
  test('RegionHeartbeat: silence for the accepted, an error for the refused', async () => {
    const [left] = await threeRegions()
    const beat = {
      ...emptyHeartbeat(header),
      region: wireRegion(left!),
      leader: left!.peers[0]!,
      term: 6,
    }
    const stale = { ...beat, region: wireRegion({ ...left!, epoch: { confVer: 1, version: 2 } }) }
    const answers = await exchange(pdMethods.regionHeartbeat, [
      beat,
      stale,
      emptyHeartbeat(header),
      beat,
    ])
    expect(answers).toMatchObject([
      { header: failed(1, 'version 2 is behind 3'), regionId: 801 },
      { header: failed(10, 'needs a region'), regionId: 0 },
    ])
  })

  test('GetRegion, GetPrevRegion, GetRegionByID', async () => {
    await threeRegions()
    const byKey = (text: string): Promise<pb.GetRegionResponse> =>
      call(pdMethods.getRegion, { header, regionKey: key(text), needBuckets: true })
    const previous = (text: string): Promise<pb.GetRegionResponse> =>
      call(pdMethods.getPrevRegion, { header, regionKey: key(text), needBuckets: true })
    expect(await byKey('h')).toMatchObject({ header: ok, region: { id: 802 }, leader: { id: 902 } })
    expect(await previous('h')).toMatchObject({ header: ok, region: { id: 801 } })
    expect(await previous('g')).toMatchObject({ region: { id: 801 } })
    expect(await previous('f')).toMatchObject({ header: ok, region: null, leader: null })
    expect(await previous('')).toMatchObject({ region: null })
    expect(await previous('zzz')).toMatchObject({ region: { id: 802 } })
    const byId = { header, needBuckets: false }
    expect(await call(pdMethods.getRegionById, { ...byId, regionId: 801 })).toMatchObject({
      header: ok,
      region: { id: 801 },
    })
    expect(await call(pdMethods.getRegionById, { ...byId, regionId: 7 })).toMatchObject({
      header: ok,
      region: null,
    })
  })

  test('QueryRegion maps every key, in order, and carries each region once', async () => {
    const [, , last] = await threeRegions()
    const lists = { needBuckets: true, ids: [801, 12_345], keys: ['h', 'z', 'gg', ''].map(key) }
    const [answer, none] = await exchange(pdMethods.queryRegion, [
      { header, ...lists, prevKeys: ['a', 'h', 'z'].map(key) },
      { header, needBuckets: false, ids: [], keys: [], prevKeys: [] },
    ])
    expect(answer?.header).toEqual(ok)
    expect(answer?.keyIdMap).toEqual([802, last!.id, 802, 801])
    expect(answer?.prevKeyIdMap).toEqual([0, 801, 802])
    expect(Object.keys(answer!.regionsById).map(Number).sort()).toEqual(
      [801, 802, last!.id].map(Number).sort(),
    )
    expect(answer?.regionsById[802]).toMatchObject({
      region: { id: 802, regionEpoch: { confVer: 1, version: 3 } },
      leader: { id: 902, storeId: expect.any(Number) },
    })
    expect(none).toMatchObject({ header: ok, keyIdMap: [], prevKeyIdMap: [], regionsById: {} })
  })

  test('ScanRegions fills the lists of old and new clients', async () => {
    const regions = await threeRegions()
    const ids = regions.map((one) => one.id)
    const scan = { header, startKey: EMPTY, endKey: EMPTY, limit: 0 }
    const all = await call(pdMethods.scanRegions, scan)
    expect(idsOf(all.regions)).toEqual(ids)
    expect(all.regionMetas.map((one) => one.id)).toEqual(ids)
    expect(all.leaders.map((one) => one.id)).toEqual(regions.map((one) => one.peers[0]!.id))
    const two = await call(pdMethods.scanRegions, { ...scan, startKey: key('h'), limit: 1 })
    expect(idsOf(two.regions)).toEqual([802])
    const unlimited = await call(pdMethods.scanRegions, { ...scan, endKey: key('g'), limit: -1 })
    expect(idsOf(unlimited.regions)).toEqual([801])
  })

  test('ScanRegions keeps its lists parallel where a leader is unknown', async () => {
    const { first } = await bootstrapClassic(server.service)
    const scan = { header, startKey: EMPTY, endKey: EMPTY, limit: 0 }
    const { leaders, regions } = await call(pdMethods.scanRegions, scan)
    expect(leaders).toMatchObject([{ id: 0, storeId: 0 }])
    expect(regions).toMatchObject([{ region: { id: first.id }, leader: null }])
  })

  test('BatchScanRegions: each region once, one limit, gaps on demand', async () => {
    const [, , last] = await threeRegions()
    const ranges = [
      { startKey: key('a'), endKey: key('b') },
      { startKey: key('c'), endKey: key('h') },
      { startKey: key('i'), endKey: EMPTY },
    ]
    const request = { header, needBuckets: false, ranges, limit: 0, containAllKeyRange: true }
    const all = await call(pdMethods.batchScanRegions, request)
    expect(all.header).toEqual(ok)
    expect(idsOf(all.regions)).toEqual([801, 802, last!.id])
    const two = await call(pdMethods.batchScanRegions, { ...request, limit: 2 })
    expect(two.header).toEqual(ok)
    expect(idsOf(two.regions)).toEqual([801, 802])

    // A merge took 802's keys out of the map for a moment.
    const merged = { ...last!, startKey: key('q'), epoch: { confVer: 1, version: 4 } }
    server.service.regionHeartbeat(heartbeat(merged))
    const gap = await call(pdMethods.batchScanRegions, request)
    expect(gap.header).toEqual(failed(12, "'p'"))
    const lenient = await call(pdMethods.batchScanRegions, {
      ...request,
      containAllKeyRange: false,
    })
    expect(idsOf(lenient.regions)).toEqual([801, 802, last!.id])
  })

  test('BatchScanRegions refuses ranges out of order', async () => {
    await threeRegions()
    const range = (start: string, end: string) => ({ startKey: key(start), endKey: key(end) })
    const scan = async (...ranges: ReturnType<typeof range>[]) => {
      const more = { needBuckets: false, limit: 0, containAllKeyRange: false }
      return (await call(pdMethods.batchScanRegions, { header, ranges, ...more })).header
    }
    expect(await scan(range('a', 'b'), range('b', 'b'), range('b', ''))).toEqual(ok)
    expect(await scan(range('b', 'a'))).toEqual(failed(10, "wrong way round: 'b' is above 'a'"))
    expect(await scan(range('a', 'c'), range('b', 'd'))).toEqual(failed(10, "the range from 'b'"))
    expect(await scan(range('', ''), range('', ''))).toEqual(failed(10, "the range from ''"))
  })
})

describe('the wire', () => {
  test('unknown fields are skipped', async () => {
    // Field 99, varint 7, in front of the header of a real request.
    const { requestSerialize } = pdMethods.allocId
    const method = {
      ...pdMethods.allocId,
      requestSerialize: (request: pb.AllocIdRequest): Buffer =>
        Buffer.concat([Buffer.from([0x98, 0x06, 0x07]), requestSerialize(request)]),
    }
    expect(await call(method, { header, count: 2 })).toMatchObject({ header: ok, count: 2 })
  })

  test('a u64 above 2^53-1 is refused, and PD goes on', async () => {
    const id = Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01])
    const method = { ...pdMethods.getStore, requestSerialize: () => id }
    await expect(call(method, { header, storeId: 1 })).rejects.toMatchObject({
      code: status.INTERNAL,
    })
    expect(await call(pdMethods.isBootstrapped, { header })).toMatchObject({ header: ok })
  })

  test('a request above 4 MiB is refused before it is decoded, and PD goes on', async () => {
    const large = Buffer.alloc((4 << 20) + 2, Buffer.from([0x1a, 0]))
    const method = { ...pdMethods.queryRegion, requestSerialize: () => large }
    const request = { header, keys: [], prevKeys: [], ids: [], needBuckets: false }
    await expect(streamExchange(client, method, [request])).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    })
    expect(await call(pdMethods.isBootstrapped, { header })).toMatchObject({ header: ok })
  })

  test('field numbers of a store', () => {
    const codec = messageCodec<pb.WireStore>('metapb.Store')
    const bytes = codec.encode({
      id: 300,
      address: 'a:1',
      state: 0,
      labels: [{ key: 'k', value: 'v' }],
      version: '',
      peerAddress: 'b',
      statusAddress: '',
      gitHash: '',
      startTimestamp: 5,
      deployPath: '',
      lastHeartbeat: 1_800_000_000_000_000_000,
      physicallyDestroyed: false,
      nodeState: 1,
    })
    expect(bytes.toString('hex')).toBe(
      '08ac02' +
        '1203613a31' +
        '22060a016b120176' +
        '320162' +
        '4805' +
        '588080d09de9ceb8fd18' +
        '6801',
    )
    expect(codec.decode(bytes).lastHeartbeat).toBe(1_800_000_000_000_000_000)
  })
})

test('GetOperator tells what became of a region', async () => {
  const [first] = await threeRegions()
  const regionId = first!.id
  const ask = () => call(pdMethods.getOperator, { header, regionId })
  expect((await ask()).header).toEqual(failed(9, `no operator for region ${regionId}`))
  const id = await server.service.allocId(1)
  await server.service.putStore(storeMeta(id))
  await server.service.startOperator({ kind: 'add-peer', regionId, storeId: id })
  const running = await ask()
  expect(running).toMatchObject({ header: ok, regionId, status: 4 })
  expect(Buffer.from(running.desc).toString()).toBe('admin-add-peer')
  expect(Buffer.from(running.kind).toString()).toBe('admin')
  server.service.cancelOperator(regionId)
  expect(await ask()).toMatchObject({ status: 2 })
})
