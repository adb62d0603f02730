/**
 * A whole cluster in a few lines: a placement driver, stores that check what real ones check, and
 * one shared map as the data. Tests script its failures.
 */
import { compareBytes, EMPTY_BYTES } from '../../src/base/bytes.ts'
import { seededRandom } from '../../src/base/clock.ts'
import type { RegionId, StoreId } from '../../src/base/ids.ts'
import { beginAttempt } from '../../src/client/attempt.ts'
import { createClient } from '../../src/client/client.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import type { StoreConnection, StoreConnectionEvents } from '../../src/client/store-connection.ts'
import type { PdClient, RegionInfo, StoreMeta } from '../../src/pd/port.ts'
import {
  errorResponse,
  GET_ANSWER_TOO_LARGE,
  OK_RESPONSE,
  pairsResponse,
  RawKind,
  type RawRequest,
  type RawResponse,
  type RegionError,
  regionErrorResponse,
  SCAN_ANSWER_TOO_LARGE,
  valueResponse,
} from '../../src/protocol/raw.ts'
import { type Peer, peerOnStore, type Region, regionContains } from '../../src/region/region.ts'

/** What a store does with the requests that it gets. */
export type StoreMode =
  | 'up'
  /** Takes everything, answers nothing. */
  | 'hang'
  /** Its connection does not come about: nothing is sent, nothing fails. */
  | 'connecting'
  /** Refuses the connection: nothing was sent. */
  | 'down'
  /** Executes, then the connection breaks before the answer. */
  | 'break-after-execute'
  /** The connection breaks with the request on its way. */
  | 'break-before-execute'

export class FakeRegion {
  region: Region
  leaderStore: StoreId | undefined

  constructor(region: Region, leaderStore: StoreId) {
    this.region = region
    this.leaderStore = leaderStore
  }
}

export interface Served {
  readonly storeId: StoreId
  readonly request: RawRequest
  readonly kind: RawKind
  readonly regionId: RegionId
  readonly key: string
  readonly keyCount: number
}

export class FakeCluster {
  readonly data = new Map<string, Buffer>()
  readonly regions = new Map<RegionId, FakeRegion>()
  readonly modes = new Map<StoreId, StoreMode>()
  /** Answers given instead of the real one, first in first out, to whatever comes. */
  readonly script: RegionError[] = []
  /** Everything that reached a store, in order. */
  readonly served: Served[] = []
  readonly hung: RawRequest[] = []
  /** Keys whose requests get no answer, though their store answers others. */
  readonly unanswered = new Set<string>()
  /** Keys whose requests do not leave their connection; release() lets them go. */
  readonly held = new Set<string>()
  readonly #waiting: (() => void)[] = []
  readonly connects: string[] = []
  readonly addresses = new Map<StoreId, string>()
  pdCalls = 0
  /** What PD believes, when it is behind: frozen region infos. */
  pdFrozen: RegionInfo[] | undefined = undefined
  pdMode: 'up' | 'hang' | 'fail' = 'up'
  scanBytesMax = Number.POSITIVE_INFINITY
  /** A larger answer is an error that asks for fewer rows, as polyraft's own stores have it. */
  scanAnswerBytesMax = Number.POSITIVE_INFINITY
  getAnswerBytesMax = Number.POSITIVE_INFINITY
  #nextId = 100

  constructor(stores: readonly StoreId[]) {
    for (const store of stores) {
      this.modes.set(store, 'up')
      this.addresses.set(store, `store-${store}:20160`)
    }
  }

  /** Regions cut at these keys, all led by the first store (or by the given ones in turn). */
  bootstrap(cuts: readonly string[], leaders?: readonly StoreId[]): this {
    const stores = [...this.modes.keys()]
    const bounds = [EMPTY_BYTES, ...cuts.map((cut) => Buffer.from(cut)), EMPTY_BYTES]
    for (let i = 0; i + 1 < bounds.length; i++) {
      const id = this.#nextId++
      const peers: Peer[] = stores.map((storeId) => ({ id: this.#nextId++, storeId, role: 0 }))
      const epoch = { confVer: 1, version: 1 }
      const region = { id, startKey: bounds[i]!, endKey: bounds[i + 1]!, epoch, peers }
      const leader = leaders === undefined ? stores[0]! : leaders[i % leaders.length]!
      this.regions.set(id, new FakeRegion(region, leader))
    }
    return this
  }

  /** The parent keeps the right part, as stores do it. */
  split(key: string): void {
    const at = Buffer.from(key)
    const parent = this.regionOf(at)
    const { region } = parent
    const epoch = { confVer: region.epoch.confVer, version: region.epoch.version + 1 }
    const id = this.#nextId++
    const peers = region.peers.map((peer) => ({ ...peer, id: this.#nextId++ }))
    const left = { id, startKey: region.startKey, endKey: at, epoch, peers }
    parent.region = { ...region, startKey: at, epoch }
    this.regions.set(id, new FakeRegion(left, parent.leaderStore ?? 0))
  }

  regionOf(key: Uint8Array): FakeRegion {
    for (const entry of this.regions.values()) {
      if (regionContains(entry.region, key)) return entry
    }
    throw new Error('regions cover the key space')
  }

  lead(key: string, storeId: StoreId | undefined): void {
    this.regionOf(Buffer.from(key)).leaderStore = storeId
  }

  hold(leave: () => void): void {
    this.#waiting.push(leave)
  }

  /** What was held back leaves. */
  release(): void {
    this.held.clear()
    for (const leave of this.#waiting.splice(0)) leave()
  }

  freezePd(): void {
    this.pdFrozen = this.infos()
  }

  infos(): RegionInfo[] {
    return [...this.regions.values()]
      .sort((a, b) => compareBytes(a.region.startKey, b.region.startKey))
      .map(({ region, leaderStore }) => ({
        region,
        leader: leaderStore === undefined ? undefined : peerOnStore(region, leaderStore),
        downPeers: [],
        pendingPeers: [],
      }))
  }

  client(timeoutMs = 5000, retryWrites = true): KvClient {
    return createClient({
      retryWrites,
      pd: this.pd(),
      connect: (address, storeId, events) => this.connect(address, storeId, events),
      clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
      random: seededRandom(1),
      timeoutMs,
    })
  }

  connect(address: string, storeId: StoreId, events: StoreConnectionEvents): StoreConnection {
    this.connects.push(address)
    return new FakeConnection(this, address, storeId, events)
  }

  pd(): PdClient {
    const known = (): RegionInfo[] => this.pdFrozen ?? this.infos()
    const answer = async <T>(make: () => T): Promise<T> => {
      this.pdCalls++
      if (this.pdMode === 'hang') return new Promise<T>(() => {})
      if (this.pdMode === 'fail') throw new Error('PD is down')
      return make()
    }
    const find = (key: Uint8Array) => known().find((info) => regionContains(info.region, key))
    const fake: Partial<PdClient> = {
      clusterId: () => answer(() => 1),
      getStore: (storeId) =>
        answer(() => {
          const address = this.addresses.get(storeId)
          return address === undefined ? undefined : storeMeta(storeId, address)
        }),
      getAllStores: () =>
        answer(() => [...this.addresses].map(([id, address]) => storeMeta(id, address))),
      getRegion: (key) => answer(() => find(key)),
      getPrevRegion: (key) =>
        answer(() => {
          const start = find(key)?.region.startKey
          return known().find((info) => start !== undefined && info.region.endKey.equals(start))
        }),
      getRegionById: (id) => answer(() => known().find((info) => info.region.id === id)),
      scanRegions: (start, end, limit) =>
        answer(() => {
          const inRange = known().filter(
            ({ region }) =>
              (region.endKey.length === 0 || compareBytes(region.endKey, start) > 0) &&
              (end.length === 0 || compareBytes(region.startKey, end) < 0),
          )
          return limit === 0 ? inRange : inRange.slice(0, limit)
        }),
      close: async () => {},
    }
    return fake as PdClient
  }

  /** What a healthy store answers. */
  serve(storeId: StoreId, request: RawRequest): RawResponse {
    const scripted = this.script.shift()
    if (scripted !== undefined) return regionErrorResponse(scripted)
    const error = this.#check(storeId, request)
    return error === undefined ? this.execute(request) : regionErrorResponse(error)
  }

  #check(storeId: StoreId, request: RawRequest): RegionError | undefined {
    const regionId = request.regionId
    if (request.storeId !== storeId) {
      const stores = { requestStoreId: request.storeId, actualStoreId: storeId }
      return { code: 'StoreNotMatch', message: '', ...stores }
    }
    const entry = this.regions.get(regionId)
    const peer = entry === undefined ? undefined : peerOnStore(entry.region, storeId)
    if (entry === undefined || peer === undefined) {
      return { code: 'RegionNotFound', message: '', regionId }
    }
    if (peer.id !== request.peerId) {
      const peers = { requestPeerId: request.peerId, storePeerId: peer.id }
      return { code: 'MismatchPeerId', message: '', ...peers }
    }
    if (entry.leaderStore !== storeId) {
      const leader =
        entry.leaderStore === undefined ? undefined : peerOnStore(entry.region, entry.leaderStore)
      return { code: 'NotLeader', message: '', regionId, leader }
    }
    if (entry.region.epoch.version !== request.version) {
      const old = [...this.regions.values()].map((each) => each.region)
      return { code: 'EpochNotMatch', message: '', currentRegions: old }
    }
    return undefined
  }

  execute(request: RawRequest): RawResponse {
    switch (request.kind) {
      case RawKind.Get:
        return valueResponse(this.data.get(hex(request.key)))
      case RawKind.Put:
        this.data.set(hex(request.key), request.value)
        return OK_RESPONSE
      case RawKind.Delete:
        this.data.delete(hex(request.key))
        return OK_RESPONSE
      case RawKind.BatchPut:
        for (let i = 0; i < request.keys.length; i++) {
          this.data.set(hex(request.keys[i]!), request.values[i]!)
        }
        return OK_RESPONSE
      case RawKind.BatchDelete:
        for (const key of request.keys) this.data.delete(hex(key))
        return OK_RESPONSE
      case RawKind.BatchGet:
        return this.#batchGetResponse(request)
      case RawKind.Scan:
        return this.#scanResponse(request)
    }
  }

  #batchGetResponse(request: RawRequest): RawResponse {
    const pairs = request.keys.flatMap((key) => {
      const value = this.data.get(hex(key))
      return value === undefined ? [] : [key, value]
    })
    const bytes = pairs.reduce((sum, each) => sum + each.length, 0)
    if (bytes <= this.getAnswerBytesMax) return pairsResponse(pairs)
    return errorResponse(`${GET_ANSWER_TOO_LARGE} ${this.getAnswerBytesMax}: ask for fewer keys`)
  }

  #scanResponse(request: RawRequest): RawResponse {
    const pairs = this.#scan(request)
    const bytes = pairs.reduce((sum, each) => sum + each.length, 0)
    if (pairs.length <= 2 || bytes <= this.scanAnswerBytesMax) return pairsResponse(pairs)
    return errorResponse(`${SCAN_ANSWER_TOO_LARGE} ${this.scanAnswerBytesMax}: ask for fewer rows`)
  }

  #scan(request: RawRequest): Buffer[] {
    const low = request.reverse ? request.endKey : request.key
    const high = request.reverse ? request.key : request.endKey
    const { region } = this.regions.get(request.regionId)!
    const keys = [...this.data.keys()]
      .map((key) => Buffer.from(key, 'hex'))
      .filter((key) => regionContains(region, key) && compareBytes(key, low) >= 0)
      .filter((key) => high.length === 0 || compareBytes(key, high) < 0)
      .sort(compareBytes)
    if (request.reverse) keys.reverse()
    const pairs: Buffer[] = []
    let bytes = 0
    for (const key of keys.slice(0, request.limit)) {
      const value = request.keyOnly ? EMPTY_BYTES : this.data.get(hex(key))!
      pairs.push(key, value)
      bytes += key.length + value.length
      if (bytes >= this.scanBytesMax) break
    }
    return pairs
  }
}

export function hex(key: Uint8Array | string): string {
  return Buffer.from(key as Uint8Array).toString('hex')
}

export function storeMeta(id: StoreId, address: string): StoreMeta {
  return {
    id,
    address,
    peerAddress: address,
    statusAddress: '',
    labels: {},
    version: '0.1.0',
    state: 0,
    startTimestamp: 0,
    lastHeartbeatMs: Date.now(),
    physicallyDestroyed: false,
    deployPath: '',
  }
}

class FakeConnection implements StoreConnection {
  readonly address: string
  #cluster: FakeCluster
  #storeId: StoreId
  #events: StoreConnectionEvents
  #closed = false
  bytesUnderWay = 0

  constructor(
    cluster: FakeCluster,
    address: string,
    storeId: StoreId,
    events: StoreConnectionEvents,
  ) {
    this.address = address
    this.#cluster = cluster
    this.#storeId = storeId
    this.#events = events
  }

  execute(request: RawRequest): void {
    const cluster = this.#cluster
    if (cluster.held.has(request.key.toString())) {
      cluster.hold(() => this.execute(request))
      return
    }
    if (request.dropped) return
    const mode = cluster.modes.get(this.#storeId)
    const isConnected = mode !== 'down' && mode !== 'connecting'
    if (isConnected) beginAttempt(request, performance.now(), 0)
    cluster.served.push({
      storeId: this.#storeId,
      request,
      kind: request.kind,
      regionId: request.regionId,
      key: request.key.toString(),
      keyCount: request.keys.length,
    })
    queueMicrotask(() => this.#answer(request))
  }

  giveUp(): void {}

  #answer(request: RawRequest): void {
    const cluster = this.#cluster
    const mode = cluster.modes.get(this.#storeId)
    if (this.#closed) return
    const isSilent = mode === 'hang' || mode === 'connecting'
    if (isSilent || cluster.unanswered.has(request.key.toString())) {
      cluster.hung.push(request)
    } else if (mode === 'up') {
      request.sink.respond(request, cluster.serve(this.#storeId, request))
    } else {
      if (mode === 'break-after-execute') cluster.serve(this.#storeId, request)
      this.#events.onFailed([request], new Error(`connection to ${this.address} ${mode}`))
    }
  }

  async close(): Promise<void> {
    this.#closed = true
  }
}
