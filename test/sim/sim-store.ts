/**
 * One simulated store: what lies on its disk, and the life of the process that runs over it. A life
 * is the production code (poller, router, handlers, peers, raft log, apply, reads) wired as Store
 * wires it, with the world's clock, network, threads and disk behind the ports.
 */
import { InlineApplyClient } from '../../src/apply/inline-client.ts'
import type { ApplyClient, ApplyTask } from '../../src/apply/port.ts'
import { assert } from '../../src/base/assert.ts'
import type { Clock, Random } from '../../src/base/clock.ts'
import { ROOMY_DISKS } from '../../src/base/disk-state.ts'
import type { StoreId } from '../../src/base/ids.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { Poller } from '../../src/batch-system/poller.ts'
import { Router } from '../../src/batch-system/router.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { PdClient } from '../../src/pd/port.ts'
import { CAMPAIGN, PeerTag } from '../../src/peer/messages.ts'
import { PeerMetrics } from '../../src/peer/metrics.ts'
import { Peer } from '../../src/peer/peer.ts'
import { PeerHandler } from '../../src/peer/peer-handler.ts'
import type { PeerPorts, SnapshotService } from '../../src/peer/ports.ts'
import { regionNotFound, serverIsBusy } from '../../src/peer/region-errors.ts'
import { type RawRequest, type RegionError, regionErrorResponse } from '../../src/protocol/raw.ts'
import { openRaftLog } from '../../src/raftlog/open.ts'
import type { RaftLog, RaftLogEvents } from '../../src/raftlog/port.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import { peerOnStore, type Region } from '../../src/region/region.ts'
import { decodeApplyState, INITIAL_LOG_INDEX, INITIAL_LOG_TERM } from '../../src/region/state.ts'
import { abandonRequests } from '../../src/store/abandon.ts'
import { adoptRegions, loadRegionStates } from '../../src/store/bootstrap.ts'
import type { StoreConfig } from '../../src/store/config.ts'
import { Inflight } from '../../src/store/inflight.ts'
import { RoundReads } from '../../src/store/round-reads.ts'
import { StoreFsm, StoreHandler, type StoreRouter } from '../../src/store/store-handler.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import type { EventQueue } from './event-queue.ts'
import type { Receiver, SimNetwork } from './sim-network.ts'
import { SimSink } from './sim-sink.ts'

export interface SimStoreOptions {
  readonly id: StoreId
  readonly queue: EventQueue
  readonly network: SimNetwork
  readonly random: Random
  readonly config: StoreConfig
  readonly events: SimStoreEvents
  /** Local milliseconds for a true one. */
  readonly clockRate: number
}

export interface SimStoreEvents {
  onCommitted(store: SimStore, task: ApplyTask): void
  /** The production code found the store unusable. */
  onFatal(store: SimStore, error: Error): void
}

/** Logs of this world are never compacted, so nobody needs one. */
const NO_SNAPSHOTS: SnapshotService = {
  reserve: () => false,
  release: () => {},
  discardBuilt: () => {},
  send: () => {},
  accepted: () => {},
  discard: () => {},
  regionOf: () => {
    throw new Error('snapshots are not simulated')
  },
  install: () => {},
  complete: () => {},
}

const RAFT_DIR = '/raft'
const ROUND_MS = 0.05
const SYNC_MS = 0.4
const APPLY_MS = 0.1

export class SimStore implements Receiver {
  readonly id: StoreId
  readonly options: SimStoreOptions
  readonly clock: Clock
  readonly #clockOffset: number
  fs = new MemoryFileSystem()
  engine: MemoryEngine = openMemoryEngine()
  life: Life | undefined = undefined
  pausedUntilMs = 0
  /** An fsync ends when this is false again. */
  diskHeld = false
  syncMs = SYNC_MS
  applyMs = APPLY_MS
  /** Faults for the next fsyncs of this life. */
  faults: FaultyFileSystem = new FaultyFileSystem(this.fs)
  readonly #held: (() => void)[] = []

  constructor(options: SimStoreOptions) {
    this.id = options.id
    this.options = options
    this.#clockOffset = options.random.below(1_000_000)
    this.clock = {
      monotonicMs: () => this.#clockOffset + options.queue.nowMs * options.clockRate,
      wallMs: () => 1_700_000_000_000 + options.queue.nowMs,
    }
    options.network.attach(this)
  }

  get isUp(): boolean {
    return this.life !== undefined
  }

  get peers(): Peer[] {
    return this.life === undefined ? [] : [...this.life.router.all()]
  }

  peer(regionId: number): Peer | undefined {
    return this.life?.router.get(regionId)
  }

  /** Gives the store its identity and regions, as a bootstrap plan does. */
  async bootstrap(regions: readonly Region[]): Promise<void> {
    const ident = { clusterId: 1, storeId: this.id, adopted: false }
    await adoptRegions(
      {
        engine: this.engine,
        pd: { initialRegions: async () => [...regions] } as Partial<PdClient> as PdClient,
        logger: silentLogger,
        sleep: () => Promise.resolve(),
        isStopping: () => false,
        createLogs: (ids) => this.#createLogs(ids),
      },
      ident,
    )
  }

  async #createLogs(regionIds: readonly number[]): Promise<void> {
    const events = {
      onPersisted: () => {},
      onFailed: (error: Error) => {
        throw error
      },
    }
    const log = await this.#openLog(0, events)
    const hardState = { term: INITIAL_LOG_TERM, vote: 0, commit: INITIAL_LOG_INDEX }
    for (const regionId of regionIds) {
      log.create(regionId, INITIAL_LOG_INDEX, INITIAL_LOG_TERM, hardState)
      log.write({ regionId, readyNumber: 0, entries: [], hardState })
    }
    log.flush()
    await log.close()
  }

  async start(fresh: boolean): Promise<void> {
    assert(this.life === undefined, `store ${this.id} runs once at a time`)
    this.faults = new FaultyFileSystem(this.fs)
    this.diskHeld = false
    const life = new Life(this)
    const log = await this.#openLog(this.options.config.storeIoPoolSize, {
      onPersisted: (regionId, readyNumber) => {
        life.router.sendForced(regionId, { tag: PeerTag.Persisted, readyNumber })
      },
      onFailed: (error) => life.fail(error),
    })
    this.life = life
    life.begin(log, fresh)
  }

  #openLog(writers: number, events: RaftLogEvents): Promise<RaftLog> {
    const { config } = this.options
    return openRaftLog({
      dir: RAFT_DIR,
      fs: this.faults,
      writers,
      segmentBytes: config.raftLogSegmentBytes,
      cacheBytes: config.raftLogCacheBytes,
      logger: silentLogger,
      events,
      scheduler: { schedule: (run) => this.later(ROUND_MS, run) },
      ...(writers > 0 && {
        openSink: (at, sinkEvents) =>
          new SimSink(this.faults, at, sinkEvents, (done) =>
            this.later(this.syncMs, () => this.#synced(done)),
          ),
      }),
    })
  }

  #synced(done: () => void): void {
    if (this.diskHeld) this.#held.push(done)
    else done()
  }

  releaseDisk(): void {
    this.diskHeld = false
    for (const done of this.#held.splice(0)) this.later(0, done)
  }

  /** The process is gone; with a power loss, so is what was not synced. */
  stop(how: 'kill' | 'power-loss', random?: Random): void {
    assert(this.life !== undefined, `store ${this.id} is up`)
    this.life = undefined
    this.pausedUntilMs = 0
    this.#held.length = 0
    if (how === 'power-loss') {
      this.fs.crash(random)
      this.engine.crash()
    } else {
      this.fs = this.fs.clone()
    }
    this.engine = this.engine.reopen()
  }

  /** Work of this life, `delayMs` from now; never within a pause, nor after its end. */
  later(delayMs: number, run: () => void): void {
    const { life } = this
    const { queue } = this.options
    const attempt = (): void => {
      if (life !== undefined && this.life !== life) return
      if (queue.nowMs < this.pausedUntilMs) queue.at(this.pausedUntilMs, attempt)
      else run()
    }
    queue.after(delayMs, attempt)
  }

  receive(envelopes: RaftEnvelope[]): void {
    this.later(0, () => this.life?.receive(envelopes))
  }

  unreachable(storeId: StoreId): void {
    this.later(0, () => this.life?.router.sendControl({ kind: 'unreachable', storeId }))
  }

  execute(request: RawRequest): void {
    assert(this.life !== undefined, `store ${this.id} is up`)
    this.life.execute(request)
  }
}

/** One run of the store's process. */
export class Life {
  readonly #store: SimStore
  readonly router: StoreRouter
  readonly metrics = new PeerMetrics()
  readonly inflight: Inflight
  readonly reads: RoundReads
  failed: Error | undefined = undefined
  readonly #poller: Poller<Peer, StoreFsm>
  #handler: StoreHandler | undefined = undefined
  #log: RaftLog | undefined = undefined

  constructor(store: SimStore) {
    this.#store = store
    const { config } = store.options
    this.inflight = new Inflight(config.inflightBytesMax)
    this.reads = new RoundReads(store.engine, silentLogger, (r) => this.inflight.release(r))
    const control = new StoreFsm()
    this.#poller = new Poller<Peer, StoreFsm>({
      scheduler: { schedule: (run) => store.later(ROUND_MS, run) },
      handler: {
        begin: () => this.#handler!.begin(),
        handleControl: (fsm, max) => this.#handler!.handleControl(fsm, max),
        handleNormal: (fsm, max) => this.#handler!.handleNormal(fsm, max),
        lightEnd: (batch) => this.#handler!.lightEnd(batch),
        end: () => this.#handler!.end(),
      },
      control,
      batchMax: config.storeMaxBatchSize,
      messagesMax: config.messagesPerTick,
    })
    this.router = new Router(this.#poller, control)
  }

  begin(log: RaftLog, fresh: boolean): void {
    this.#log = log
    const store = this.#store
    const { config } = store.options
    const apply = this.#openApply()
    const ports: PeerPorts = {
      storeId: store.id,
      config,
      clock: store.clock,
      random: store.options.random,
      logger: silentLogger,
      log,
      transport: store.options.network.transport(store.id),
      apply,
      reads: this.reads,
      snapshots: NO_SNAPSHOTS,
      disks: ROOMY_DISKS,
      metrics: this.metrics,
      notify: (regionId, signal) => this.router.sendForced(regionId, signal),
      reportRegion: () => {},
      release: (request) => this.inflight.release(request),
      fail: (error) => this.fail(error),
    }
    this.#handler = new StoreHandler(new PeerHandler(ports), this.reads, () => this.router, log)
    for (const { region } of loadRegionStates(store.engine)) {
      this.#startPeer(ports, region, fresh)
    }
    this.#tick(store.options.random.below(100) / 100)
  }

  #startPeer(ports: PeerPorts, region: Region, fresh: boolean): void {
    const stored = this.#store.engine.get(ColumnFamily.Raft, applyStateKey(region.id))
    assert(stored !== undefined, `region ${region.id} has an apply state`)
    const applyState = decodeApplyState(stored)
    ports.apply.register(region, applyState)
    const { mailboxCapacity } = this.#store.options.config
    this.router.register(new Peer(ports, { region, applyState, mailboxCapacity, fresh }))
    const first = fresh && peerOnStore(region, this.#store.id) === region.peers[0]
    if (region.peers.length === 1 || first) this.router.sendForced(region.id, CAMPAIGN)
    else this.router.sendForced(region.id, { tag: PeerTag.EntriesFetched, to: 0 })
  }

  /** An apply worker that runs a little after it was told to. */
  #openApply(): ApplyClient {
    const store = this.#store
    const inner = new InlineApplyClient({
      engine: store.engine,
      clock: store.clock,
      pumped: true,
      events: {
        onApplied: (results) => {
          for (const result of results) {
            this.router.sendForced(result.regionId, { tag: PeerTag.Applied, result })
          }
        },
        onSnapshot: () => {},
        // Nothing that is simulated makes applying fail.
        onFailed: (error) => {
          throw error
        },
      },
    })
    let pumping = false
    const pump = (): void => {
      pumping = inner.pump()
      if (pumping) store.later(store.applyMs, pump)
    }
    return {
      register: (region, state) => inner.register(region, state),
      apply: (task) => {
        store.options.events.onCommitted(store, task)
        inner.apply(task)
      },
      destroy: (regionId) => inner.destroy(regionId),
      snapshot: (regionId, id) => inner.snapshot(regionId, id),
      cancelSnapshot: () => inner.cancelSnapshot(),
      flush: () => {
        inner.flush()
        if (pumping) return
        pumping = true
        store.later(store.applyMs, pump)
      },
      close: () => inner.close(),
    }
  }

  /** As an interval timer does, a late tick delays the next one. */
  #tick(part: number): void {
    const { clockRate, config } = this.#store.options
    this.#store.later((part * config.raftBaseTickIntervalMs) / clockRate, () => {
      if (this.failed !== undefined) return
      this.router.sendControl({ kind: 'tick' })
      this.#tick(1)
    })
  }

  receive(envelopes: readonly RaftEnvelope[]): void {
    if (this.failed !== undefined) return
    for (const envelope of envelopes) {
      this.router.send(envelope.regionId, { tag: PeerTag.Raft, envelope })
    }
  }

  execute(request: RawRequest): void {
    if (this.failed !== undefined) {
      refuse(request, serverIsBusy('the store is stopping', 0))
      return
    }
    if (!this.inflight.take(request)) {
      refuse(request, serverIsBusy('too many bytes of requests are in flight', 100))
      return
    }
    if (request.durationMsMax > 0) {
      request.deadlineMs = this.#store.clock.monotonicMs() + request.durationMsMax
    }
    const outcome = this.router.send(request.regionId, request)
    if (outcome === 'ok') return
    this.inflight.release(request)
    refuse(
      request,
      outcome === 'full' ? serverIsBusy('full', 50) : regionNotFound(request.regionId),
    )
  }

  fail(error: Error): void {
    if (this.failed !== undefined) return
    this.failed = error
    this.#poller.stop()
    abandonRequests(this.router.all(), this.reads, (request) => this.inflight.release(request))
    this.#store.options.events.onFatal(this.#store, error)
  }

  get log(): RaftLog {
    assert(this.#log !== undefined, 'a life that began has a log')
    return this.#log
  }
}

function refuse(request: RawRequest, error: RegionError): void {
  request.sink.respond(request, regionErrorResponse(error))
}
