/** A real store, with its threads and files, between a placement driver and a network that are not. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { eventLoopScheduler, machineClock, machineRandom } from '../../src/base/node-clock.ts'
import type { PdClient } from '../../src/pd/port.ts'
import { RawKind, RawRequest, type RawResponse } from '../../src/protocol/raw.ts'
import { newMessage } from '../../src/raft/message.ts'
import { EntryType, MessageType } from '../../src/raft/types.ts'
import { PeerRole, type Region } from '../../src/region/region.ts'
import { defaultStoreConfig, mustBeSafeConfig, type StoreConfig } from '../../src/store/config.ts'
import { Store } from '../../src/store/store.ts'
import type { RaftEnvelope, TransportEvents } from '../../src/transport/port.ts'

/** All of a, alone; and a replica of the rest, whose other peers are only names. */
const ALONE: Region = {
  id: 1,
  startKey: Buffer.alloc(0),
  endKey: Buffer.from('b'),
  epoch: { confVer: 1, version: 1 },
  peers: [{ id: 11, storeId: 1, role: PeerRole.Voter }],
}
const SHARED: Region = {
  id: 2,
  startKey: Buffer.from('b'),
  endKey: Buffer.alloc(0),
  epoch: { confVer: 1, version: 1 },
  peers: [2, 1, 3].map((storeId) => ({ id: 20 + storeId, storeId, role: PeerRole.Voter })),
}

let dir: string
let store: Store | undefined
let fatal: Error[]
/** What the network still delivers while it closes. */
let lastMessages: RaftEnvelope[]

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-store-'))
  fatal = []
  lastMessages = []
})

afterEach(async () => {
  await store?.close()
  store = undefined
  rmSync(dir, { recursive: true })
})

const pd: Partial<PdClient> = {
  clusterId: async () => 7,
  allocId: async () => 1,
  putStore: async () => {},
  initialRegions: async () => [ALONE, SHARED],
  storeHeartbeat: async () => {},
  regionHeartbeat: () => {},
  onRegionOrder: () => {},
}

async function open(config: Partial<StoreConfig> = {}): Promise<Store> {
  let events: TransportEvents
  store = await Store.open({
    dir,
    config: { ...defaultStoreConfig(), ...config },
    pd: pd as PdClient,
    meta: { address: 'here', statusAddress: '', labels: {}, version: '0' },
    createTransport: async (_, given) => {
      events = given
      const close = async (): Promise<void> => events.onMessages(lastMessages)
      return {
        transport: { send: () => true, sendSnapshot: () => {}, flush: () => {}, close },
        peerAddress: 'here',
      }
    },
    logger: silentLogger,
    clock: machineClock,
    random: machineRandom,
    scheduler: eventLoopScheduler,
    onFatal: (error) => fatal.push(error),
  })
  return store
}

function execute(kind: RawKind, fields: Partial<RawRequest> = {}): Promise<RawResponse> {
  return new Promise((resolve) => {
    const request = new RawRequest(kind, { respond: (_, response) => resolve(response) }, 1)
    const context = { regionId: 1, confVer: 1, version: 1, peerId: 11, storeId: 1 }
    Object.assign(request, context, { key: Buffer.from('a') }, fields)
    store!.execute(request)
  })
}

async function outcome(answer: Promise<RawResponse>): Promise<string> {
  const { regionError, error } = await answer
  return regionError?.code ?? (error === '' ? 'ok' : error)
}

async function leads(): Promise<void> {
  while ((await outcome(execute(RawKind.Get))) === 'NotLeader') {
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('a store', () => {
  it('answers what is not for it, and what is', async () => {
    await open()
    await leads()
    expect((await execute(RawKind.Get, { storeId: 9 })).regionError).toMatchObject({
      code: 'StoreNotMatch',
      requestStoreId: 9,
      actualStoreId: 1,
    })
    expect((await execute(RawKind.Get, { regionId: 9 })).regionError).toMatchObject({
      code: 'RegionNotFound',
      regionId: 9,
    })
    expect(await outcome(execute(RawKind.Put, { value: Buffer.from('v') }))).toBe('ok')
    expect((await execute(RawKind.Get)).value?.toString()).toBe('v')
    expect(store!.metrics()).toMatchObject({ requests_in_flight: 0, request_bytes_in_flight: 0 })
  })

  it('answers busy when a region has too much to do, or all together have', async () => {
    await open({ mailboxCapacity: 8, inflightBytesMax: 20_000 })
    await leads()
    const burst = await Promise.all(Array.from({ length: 12 }, () => outcome(execute(RawKind.Get))))
    expect(burst.filter((one) => one === 'ServerIsBusy').length).toBe(4)
    const value = Buffer.alloc(9_000)
    const large = await Promise.all(
      Array.from({ length: 4 }, () => outcome(execute(RawKind.Put, { value }))),
    )
    expect(large).toEqual(['ok', 'ok', 'ServerIsBusy', 'ServerIsBusy'])
    expect(store!.metrics()).toMatchObject({ requests_in_flight: 0, request_bytes_in_flight: 0 })
  })

  it('closes in peace while others still send to it, and finds its data again', async () => {
    await open()
    await leads()
    expect(await outcome(execute(RawKind.Put, { value: Buffer.from('v') }))).toBe('ok')
    const message = newMessage(MessageType.Append, 21)
    Object.assign(message, { from: 22, term: 6, index: 5, logTerm: 5 })
    message.entries = [{ index: 6, term: 6, type: EntryType.Normal, data: Buffer.alloc(0) }]
    const [from, to] = SHARED.peers as [Region['peers'][0], Region['peers'][0]]
    lastMessages = [{ regionId: 2, from, to, epoch: SHARED.epoch, message }]
    await store!.close()
    expect(fatal).toEqual([])
    expect(await outcome(execute(RawKind.Get))).not.toBe('ok')
    lastMessages = []
    await open()
    await leads()
    expect((await execute(RawKind.Get)).value?.toString()).toBe('v')
  })
})

describe('the settings', () => {
  it('leave the lease room for clocks that run apart', () => {
    const config = defaultStoreConfig()
    mustBeSafeConfig(config)
    const { raftBaseTickIntervalMs: tickMs, raftElectionTimeoutTicks: ticks } = config
    // A leader whose clock is slow by a twentieth, and followers whose ticks are as much too fast.
    const leaseMs = config.raftStoreMaxLeaderLeaseMs / 0.95
    const promiseMs = (tickMs * (ticks - 1)) / 1.05
    expect(leaseMs).toBeLessThan(promiseMs)
  })

  it('refuse a lease that may outlast a follower’s promise', () => {
    const config = { ...defaultStoreConfig(), raftStoreMaxLeaderLeaseMs: 950 }
    expect(() => mustBeSafeConfig(config)).toThrow('one tick shorter')
  })
})
