/**
 * Whole stores on one thread, in a world of virtual time: one seed decides everything that happens.
 *
 *   event queue ─▶ a round of a poller | an fsync done | an apply round | a frame arrives | a tick
 *                  └─ after each: the invariants
 */
import { assert } from '../../src/base/assert.ts'
import { type Random, seededRandom } from '../../src/base/clock.ts'
import type { Peer } from '../../src/peer/peer.ts'
import {
  isWrite,
  RawKind,
  RawRequest,
  type RawResponse,
  type ResponseSink,
} from '../../src/protocol/raw.ts'
import { PeerRole, peerOnStore, type Region } from '../../src/region/region.ts'
import { defaultStoreConfig, type StoreConfig } from '../../src/store/config.ts'
import { EventQueue } from './event-queue.ts'
import { Invariants } from './invariants.ts'
import { isDiskError, SNAP_DIR } from './sim-life.ts'
import { SimNetwork } from './sim-network.ts'
import { SimStore } from './sim-store.ts'

export interface WorldOptions {
  readonly seed?: number
  readonly stores?: number
  /** Of each region at the beginning; default: one on every store. */
  readonly replicas?: number
  readonly regions?: number
  readonly config?: Partial<StoreConfig>
  /** Local milliseconds of each store for a true one; 1 where nothing is said. */
  readonly clockRates?: readonly number[]
}

/** A request on its way, and then its answer. */
export class Call {
  readonly request: RawRequest
  readonly storeId: number
  response: RawResponse | undefined = undefined
  /** The store's process ended before it answered. */
  lost = false

  constructor(request: RawRequest, storeId: number) {
    this.request = request
    this.storeId = storeId
  }

  get done(): boolean {
    return this.lost || this.response !== undefined
  }

  /** 'ok', the code of the refusal, 'error', or 'waiting'. */
  get outcome(): string {
    if (this.response === undefined) return this.lost ? 'lost' : 'waiting'
    const { regionError, error } = this.response
    if (regionError !== undefined) return regionError.code
    return error === '' ? 'ok' : 'error'
  }

  get value(): string | undefined {
    return this.response?.value?.toString()
  }
}

export type RequestFields = Partial<Omit<RawRequest, 'kind' | 'sink' | 'token'>>

export class World implements ResponseSink {
  readonly random: Random
  readonly queue = new EventQueue()
  readonly network: SimNetwork
  readonly stores: SimStore[] = []
  readonly invariants = new Invariants(this.stores)
  readonly regions: Region[] = []
  readonly fatal: { readonly storeId: number; readonly error: Error }[] = []
  /** Of lives that ended. */
  readonly totals = {
    leaseReads: 0,
    indexReads: 0,
    staleCommands: 0,
    fetches: 0,
    compactedEntries: 0,
    segmentsPurged: 0,
    snapshotsBuilt: 0,
    snapshotBuildsFailed: 0,
    snapshotsSent: 0,
    snapshotSendsFailed: 0,
    snapshotsReceived: 0,
    snapshotsInstalled: 0,
    hibernations: 0,
    wakeUps: 0,
  }
  /** By token. */
  readonly calls = new Map<number, Call>()
  /** Told of each answer. */
  onAnswer: ((call: Call) => void) | undefined = undefined
  /** Told of each region whose data is being replaced from now on. */
  onInstall: ((store: SimStore) => void) | undefined = undefined
  /** What no fault of the world explains. */
  #bug: Error | undefined = undefined
  /** Of calls that were lost with a process, whose answers go nowhere. */
  readonly #lost = new Set<number>()
  #tokenNext = 1

  /** Running, with everything that bootstrap gives; no leaders yet. */
  static async open(options: WorldOptions = {}): Promise<World> {
    const world = new World(options)
    for (const store of world.stores) {
      const own = world.regions.filter((region) => peerOnStore(region, store.id) !== undefined)
      await store.bootstrap(own)
    }
    for (const store of world.stores) await store.start(true)
    return world
  }

  private constructor(options: WorldOptions) {
    const { seed = 1, stores = 3, regions = 1, replicas = stores } = options
    this.random = seededRandom(seed)
    this.network = new SimNetwork(this.queue, this.random)
    this.network.onSend = (envelope) => this.invariants.onSend(envelope)
    const config: StoreConfig = {
      ...defaultStoreConfig(),
      raftLogSegmentBytes: 64 * 1024,
      raftLogCacheBytes: 16 * 1024,
      ...options.config,
    }
    const storeIds = Array.from({ length: stores }, (_, i) => i + 1)
    for (let id = 1; id <= regions; id++) {
      this.regions.push(regionOf(id, regions, storeIds, replicas))
    }
    for (const id of storeIds) {
      this.stores.push(
        new SimStore({
          id,
          queue: this.queue,
          network: this.network,
          random: seededRandom(seed * 31 + id),
          config,
          clockRate: options.clockRates?.[id - 1] ?? 1,
          buildSizes: { blockBytes: 1024, fileBytesMax: 4096 },
          events: {
            onCommitted: (store, task) => this.invariants.onCommitted(store, task),
            onWritten: (store, results) => this.invariants.onWritten(store, results),
            onCompact: (store, regionId, index) =>
              this.invariants.onCompact(store, regionId, index),
            onRead: (store, regionId) => this.invariants.onRead(store, regionId),
            onSnapTask: (store, request) => {
              this.invariants.onSnapTask(store, request)
              if (request.op === 'record') this.onInstall?.(store)
            },
            onBug: (_store, error) => {
              this.#bug ??= error
            },
            onFatal: (store, error) => this.fatal.push({ storeId: store.id, error }),
          },
        }),
      )
    }
  }

  store(storeId: number): SimStore {
    return this.stores[storeId - 1]!
  }

  region(regionId: number): Region {
    return this.regions[regionId - 1]!
  }

  /** Of those that believe to lead the one in the latest term. */
  leader(regionId = 1): Peer | undefined {
    let best: Peer | undefined
    for (const store of this.stores) {
      const peer = store.peer(regionId)
      if (peer?.isLeader !== true || store.life?.failed !== undefined) continue
      if (best === undefined || peer.raft.term > best.raft.term) best = peer
    }
    return best
  }

  /** A leader that may answer reads and writes. */
  async awaitLeader(regionId = 1, msMax = 10_000): Promise<Peer> {
    await this.until(() => {
      const leader = this.leader(regionId)
      return leader !== undefined && leader.appliedTerm === leader.raft.term
    }, msMax)
    return this.leader(regionId)!
  }

  async step(): Promise<boolean> {
    const ran = this.queue.step()
    const scans = this.stores.some(({ life }) => (life?.reads.scansRunning ?? 0) > 0)
    if (this.queue.unsettled || scans) await this.#settle()
    if (this.#bug !== undefined) throw this.#bug
    this.invariants.check()
    return ran
  }

  /** What hangs on promises happens now: no time passes for it. */
  #settle(): Promise<void> {
    this.queue.unsettled = false
    return new Promise((resolve) => setImmediate(resolve))
  }

  async run(ms: number): Promise<void> {
    const end = this.queue.nowMs + ms
    while (this.queue.nextMs <= end) await this.step()
    this.queue.at(end, () => {})
    while (this.queue.nextMs <= end) await this.step()
  }

  /** Runs until it is so; fails when it is not within `msMax`. */
  async until(condition: () => boolean, msMax = 10_000): Promise<void> {
    const end = this.queue.nowMs + msMax
    while (!condition()) {
      const inTime = this.queue.nextMs <= end
      assert(inTime, `not within ${msMax} ms: ${condition}\n${inTime ? '' : this.describe()}`)
      await this.step()
    }
  }

  /** Where every replica stands, for those who look for the reason of a failure. */
  describe(): string {
    const lines: string[] = []
    for (const { id, life, peers, fs } of this.stores) {
      const snapshots = JSON.stringify(life?.snapshots?.stats())
      const files = fs.exists(SNAP_DIR) ? fs.list(SNAP_DIR).join(' ') : ''
      lines.push(`store ${id}: ${life?.failed?.message ?? 'up'} ${snapshots} ${files}`)
      for (const {
        id: region,
        raft,
        appliedIndex,
        handedOverIndex,
        install,
        source,
        hibernation,
      } of peers) {
        lines.push(
          `  region ${region}: peer ${raft.id} of ${JSON.stringify(raft.confState)} ` +
            `role ${raft.role} term ${raft.term} leader ${raft.leaderId} ` +
            `log ${raft.firstIndex}..${raft.lastIndex} persisted ${raft.persistedIndex} ` +
            `committed ${raft.commitIndex} handed ${handedOverIndex} applied ${appliedIndex} ` +
            `install ${install?.kind} source ${source.kind} ${hibernation.asleep ? 'asleep' : ''}`,
        )
      }
    }
    return lines.join('\n')
  }

  /** Sends to the store; fields that are not given fit the region as it is. */
  send(kind: RawKind, regionId: number, storeId: number, fields: RequestFields = {}): Call {
    const region = this.region(regionId)
    const request = new RawRequest(kind, this, this.#tokenNext++)
    const here = this.store(storeId).peer(regionId)?.self
    const peer = here ?? peerOnStore(region, storeId)
    Object.assign(request, {
      regionId,
      storeId,
      confVer: region.epoch.confVer,
      version: region.epoch.version,
      peerId: peer?.id ?? 0,
      ...fields,
    })
    const call = new Call(request, storeId)
    this.calls.set(request.token, call)
    this.store(storeId).execute(request)
    return call
  }

  put(storeId: number, key: string, value: string, fields: RequestFields = {}): Call {
    const at = { key: Buffer.from(key), value: Buffer.from(value), ...fields }
    return this.send(RawKind.Put, this.regionOf(key).id, storeId, at)
  }

  get(storeId: number, key: string, fields: RequestFields = {}): Call {
    return this.send(RawKind.Get, this.regionOf(key).id, storeId, {
      key: Buffer.from(key),
      ...fields,
    })
  }

  async answered(call: Call, msMax = 10_000): Promise<Call> {
    await this.until(() => call.done, msMax)
    return call
  }

  regionOf(key: string): Region {
    const bytes = Buffer.from(key)
    return this.regions.findLast(({ startKey }) => Buffer.compare(startKey, bytes) <= 0)!
  }

  respond(request: RawRequest, response: RawResponse): void {
    if (this.#lost.delete(request.token)) return
    const call = this.calls.get(request.token)
    assert(call !== undefined && call.response === undefined, 'a request is answered once')
    call.response = response
    const failed = this.store(call.storeId).life?.failed !== undefined
    assert(
      !failed || !isWrite(request.kind) || call.outcome !== 'ok',
      `store ${call.storeId} acknowledged a write after it had failed`,
    )
    this.calls.delete(request.token)
    this.onAnswer?.(call)
  }

  /** Adds what a life counted to the world's totals; to be called once, at its end. */
  #count({ life }: SimStore): void {
    if (life === undefined) return
    const { leaseReads, indexReads, stale, compactedEntries, hibernations, wakeUps } = life.metrics
    this.totals.hibernations += hibernations
    this.totals.wakeUps += wakeUps
    this.totals.leaseReads += leaseReads
    this.totals.indexReads += indexReads
    this.totals.staleCommands += stale
    this.totals.compactedEntries += compactedEntries
    const log = life.isOpen ? life.log.stats() : {}
    this.totals.fetches += log.raftlog_fetches ?? 0
    this.totals.segmentsPurged += log.raftlog_segments_purged ?? 0
    const snapshots = life.snapshots?.stats() ?? {}
    this.totals.snapshotsBuilt += snapshots.snapshots_built ?? 0
    this.totals.snapshotBuildsFailed += snapshots.snapshots_build_failures ?? 0
    this.totals.snapshotsSent += snapshots.snapshots_sent ?? 0
    this.totals.snapshotSendsFailed += snapshots.snapshots_send_failures ?? 0
    this.totals.snapshotsReceived += snapshots.snapshots_received ?? 0
    this.totals.snapshotsInstalled += snapshots.snapshots_installed ?? 0
  }

  /** Totals of all lives, those that go on included. */
  finalTotals(): Record<string, number> {
    for (const store of this.stores) this.#count(store)
    return { ...this.totals, fatal: this.fatal.length }
  }

  stop(storeId: number, how: 'kill' | 'power-loss', random?: Random): void {
    this.#count(this.store(storeId))
    this.store(storeId).stop(how, random)
    this.network.silence(storeId)
    for (const call of [...this.calls.values()]) {
      if (call.storeId !== storeId) continue
      call.lost = true
      this.#lost.add(call.request.token)
      this.calls.delete(call.request.token)
      this.onAnswer?.(call)
    }
  }

  /** False: its disk failed meanwhile, and it is down again. */
  async restart(storeId: number): Promise<boolean> {
    const store = this.store(storeId)
    let ended = false
    let failure: unknown
    store.start(false).then(
      () => {
        ended = true
      },
      (error: unknown) => {
        ended = true
        failure = error
      },
    )
    await this.#settle()
    // Reading the disk again takes writing to it, and the others go on meanwhile.
    while (!ended) await this.step()
    if (failure !== undefined) {
      if (!isDiskError(failure)) throw failure
      this.stop(storeId, 'power-loss')
      return false
    }
    this.invariants.checkRestart(store)
    return true
  }
}

/** Regions cut the key space by first byte, at 'b', 'c', …; their first peers go round the stores. */
function regionOf(
  id: number,
  regions: number,
  storeIds: readonly number[],
  replicas: number,
): Region {
  const first = 'a'.charCodeAt(0)
  const turned = storeIds.map((_, i) => storeIds[(i + id - 1) % storeIds.length]!)
  return {
    id,
    startKey: id === 1 ? Buffer.alloc(0) : Buffer.from([first + id - 1]),
    endKey: id === regions ? Buffer.alloc(0) : Buffer.from([first + id]),
    epoch: { confVer: 1, version: 1 },
    peers: turned
      .slice(0, replicas)
      .map((storeId) => ({ id: id * 10 + storeId, storeId, role: PeerRole.Voter })),
  }
}
