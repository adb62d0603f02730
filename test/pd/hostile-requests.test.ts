/**
 * Requests that decode, with whatever numbers and keys the wire can carry: each is answered, none
 * ends the service, and what was recorded can be read again.
 */
import { EventEmitter } from 'node:events'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import type { PdCore } from '../../src/pd/core.ts'
import { pdService } from '../../src/pd/service.ts'
import { MemoryPdStorage } from '../../src/pd/storage.ts'
import type * as pb from '../../src/protocol/pd-messages.ts'
import { pdMethods } from '../../src/protocol/pd-services.ts'
import { openCore } from './fixtures.ts'

const u64 = fc.oneof(fc.nat(12), fc.constantFrom(2 ** 32, Number.MAX_SAFE_INTEGER))
const i64 = fc.constantFrom(0, 1, -1, 2 ** 31, 2 ** 53, 2 ** 62, -(2 ** 63), 1_800_000_000)
const u32 = fc.constantFrom(0, 1, 2, 5, 300, 2 ** 31, 2 ** 32 - 1)
const i32 = fc.constantFrom(0, 1, 2, 3, 4, -1, 300, 2 ** 31 - 1, -(2 ** 31))
const bytes = fc
  .constantFrom('', 'a', 'b', 'm', 'z', '\xff\xff', 'k'.repeat(70_000))
  .map((text) => Buffer.from(text, 'latin1'))
const text = fc.constantFrom('', 'x', '127.0.0.1:1', '127.0.0.1:2', '__proto__', '\u0000', 'é')
const few = <T>(one: fc.Arbitrary<T>) => fc.array(one, { maxLength: 4 })
const maybe = <T>(one: fc.Arbitrary<T>) => fc.option(one, { freq: 8 })

const peer = fc.record({ id: u64, storeId: u64, role: i32 })
const region = fc.record({
  id: u64,
  startKey: bytes,
  endKey: bytes,
  regionEpoch: maybe(fc.record({ confVer: u64, version: u64 })),
  peers: few(peer),
})
const store = fc.record({
  id: u64,
  address: text,
  state: i32,
  labels: few(fc.record({ key: text, value: text })),
  version: text,
  peerAddress: text,
  statusAddress: text,
  gitHash: text,
  startTimestamp: i64,
  deployPath: text,
  lastHeartbeat: i64,
  physicallyDestroyed: fc.boolean(),
  nodeState: i32,
})
const interval = maybe(fc.record({ startTimestamp: u64, endTimestamp: u64 }))
const stats = fc.record({
  ...{ storeId: u64, capacity: u64, available: u64, usedSize: u64, regionCount: u32 },
  ...{ startTime: u32, bytesWritten: u64, keysWritten: u64, bytesRead: u64, keysRead: u64 },
  ...{ isBusy: fc.boolean(), interval },
})
const heartbeat = fc.record({
  ...{ region: maybe(region), leader: maybe(peer), pendingPeers: few(peer), term: u64, interval },
  downPeers: few(fc.record({ peer: maybe(peer), downSeconds: u64 })),
  ...{ bytesWritten: u64, bytesRead: u64, keysWritten: u64, keysRead: u64 },
  ...{ approximateSize: u64, approximateKeys: u64 },
})
const range = fc.record({ startKey: bytes, endKey: bytes })

const requests = {
  bootstrap: fc.record({ store: maybe(store), region: maybe(region) }),
  allocId: fc.record({ count: u32 }),
  putStore: fc.record({ store: maybe(store) }),
  getStore: fc.record({ storeId: u64 }),
  getAllStores: fc.record({ excludeTombstoneStores: fc.boolean() }),
  storeHeartbeat: fc.record({ stats: maybe(stats) }),
  putClusterConfig: fc.record({ cluster: maybe(fc.record({ id: u64, maxPeerCount: u32 })) }),
  getRegion: fc.record({ regionKey: bytes }),
  getPrevRegion: fc.record({ regionKey: bytes }),
  getRegionById: fc.record({ regionId: u64 }),
  scanRegions: fc.record({ startKey: bytes, endKey: bytes, limit: i32 }),
  batchScanRegions: fc.record({
    ranges: few(range),
    limit: i32,
    containAllKeyRange: fc.boolean(),
  }),
  getOperator: fc.record({ regionId: u64 }),
} as const

const anyRequest = fc.oneof(
  ...Object.entries(requests).map(([method, arbitrary]) =>
    (arbitrary as fc.Arbitrary<object>).map((request) => ({ method, request })),
  ),
  { weight: 6, arbitrary: heartbeat.map((request) => ({ method: 'regionHeartbeat', request })) },
)

/** As gRPC would have it: encoded, decoded, and answered or refused. */
async function ask(core: PdCore, method: string, request: object): Promise<pb.HeaderResponse> {
  const { requestSerialize, requestDeserialize, responseSerialize } = pdMethods[
    method as 'putStore'
  ] as { [K in 'requestSerialize' | 'requestDeserialize' | 'responseSerialize']: CallableFunction }
  const header = { clusterId: core.clusterId, senderId: 0, callerId: '', callerComponent: '' }
  const wire = requestDeserialize(requestSerialize({ header, ...request }))
  const service = pdService({ core, logger: silentLogger, member: () => never() })
  const handler = service[method] as unknown as CallableFunction
  if (method === 'regionHeartbeat') {
    const call = Object.assign(new EventEmitter(), { write: responseSerialize })
    handler(call)
    call.emit('data', wire)
    return { header: undefined }
  }
  let answer: pb.HeaderResponse | undefined
  await handler({ request: wire }, (_error: unknown, value: pb.HeaderResponse) => {
    answer = value
  })
  responseSerialize(answer)
  return answer!
}

function never(): never {
  throw new Error('nobody asks for members')
}

describe('requests of any content', () => {
  it('are answered, and leave records that can be read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(anyRequest, { maxLength: 30 }), async (sequence) => {
        const storage = new MemoryPdStorage()
        const core = await openCore({ storage })
        await core.allocId(10)
        const address = '127.0.0.1:9'
        const first = { id: 2, peers: [{ id: 3, storeId: 1, role: 0 }], startKey: [], endKey: [] }
        await ask(core, 'bootstrap', { store: { id: 1, address }, region: first })
        expect(core.bootstrapped).toBe(true)
        for (const { method, request } of sequence) await ask(core, method, request)
        const again = await openCore({ storage })
        expect(again.stores().map(({ meta }) => meta.id)).toEqual(
          core.stores().map(({ meta }) => meta.id),
        )
        const regions = again.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)
        for (const record of regions) {
          for (const { role } of record.region.peers) expect([0, 1, 2, 3]).toContain(role)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('a start time beyond all records is kept as the largest that there is', async () => {
    const core = await openCore({ plan: { stores: 1, replicas: 1, regions: 1 } })
    await core.allocId(1)
    const lone = { id: 1, address: '127.0.0.1:9', startTimestamp: 2 ** 62, lastHeartbeat: 2 ** 62 }
    const answer = await ask(core, 'putStore', { store: lone })
    expect(answer.header!.error).toBeUndefined()
    expect(core.store(1)!.meta.startTimestamp).toBe(Number.MAX_SAFE_INTEGER)
  })

  it('a role that is none is refused', async () => {
    const core = await openCore()
    await core.allocId(10)
    for (const role of [300, -1, 4]) {
      const answer = await ask(core, 'bootstrap', {
        store: { id: 1, address: '127.0.0.1:9' },
        region: { id: 2, peers: [{ id: 3, storeId: 1, role }] },
      })
      expect(answer.header!.error).toMatchObject({ type: 10, message: expect.any(String) })
    }
    expect(core.bootstrapped).toBe(false)
  })
})
