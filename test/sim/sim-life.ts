/**
 * One run of a simulated store's process: the production code, wired as Store wires it, with the
 * world's clock, network, threads and disk behind the ports.
 */
import { assert } from '../../src/base/assert.ts'
import { systemErrorCode } from '../../src/base/errors.ts'
import type { RegionId, StoreId } from '../../src/base/ids.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { Poller } from '../../src/batch-system/poller.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import { PeerMetrics } from '../../src/peer/metrics.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { PeerHandler } from '../../src/peer/peer-handler.ts'
import type { PeerPorts } from '../../src/peer/ports.ts'
import { regionNotFound, serverIsBusy } from '../../src/peer/region-errors.ts'
import { Standstill } from '../../src/peer/standstill.ts'
import {
  type RawRequest,
  type RegionError,
  regionErrorResponse,
  setDeadline,
} from '../../src/protocol/raw.ts'
import type { RaftLog } from '../../src/raftlog/port.ts'
import { abandonRequests } from '../../src/store/abandon.ts'
import { Inflight } from '../../src/store/inflight.ts'
import { Replicas } from '../../src/store/replicas.ts'
import { RoundReads } from '../../src/store/round-reads.ts'
import { Snapshots } from '../../src/store/snapshots.ts'
import {
  isCurrentRegion,
  openStorePoller,
  type StoreFsm,
  StoreHandler,
  type StoreMessage,
  type StoreRouter,
} from '../../src/store/store-handler.ts'
import { StoreRegions } from '../../src/store/store-regions.ts'
import { defaultTransportLimits } from '../../src/transport/limits.ts'
import type { RaftEnvelope, Transport } from '../../src/transport/port.ts'
import { Silence } from '../../src/transport/silence.ts'
import { receiveTransfer } from '../../src/transport/snapshot-transfer.ts'
import { ROOMY_DISKS } from '../roomy-disks.ts'
import { SimApply } from './sim-apply.ts'
import { SimEngine } from './sim-engine.ts'
import { SimSnapCalls } from './sim-snap-calls.ts'
import type { LinkHolder, SimSnapshotLink } from './sim-snapshot-link.ts'
import type { SimStore } from './sim-store.ts'

export const SNAP_DIR = '/snap'
const ROUND_MS = 0.05
const ALIVE_MS = defaultTransportLimits().aliveIntervalMs
/** What a disk that fails makes of its errors; anything else is a fault of the code. */
const DISK_ERRORS: ReadonlySet<string> = new Set(['EIO', 'DiskError', 'ENOSPC'])

export function isDiskError(error: unknown): boolean {
  return DISK_ERRORS.has(systemErrorCode(error) ?? '')
}

export class SimLife implements LinkHolder {
  readonly store: SimStore
  readonly router: StoreRouter
  readonly metrics = new PeerMetrics()
  readonly inflight: Inflight
  readonly engine: SimEngine
  readonly reads: RoundReads
  /** Replicas that are ticked. */
  readonly awake = new Set<RegionId>()
  readonly #silence = new Silence()
  failed: Error | undefined = undefined
  readonly #poller: Poller<Peer, StoreFsm>
  #handler: StoreHandler | undefined = undefined
  #log: RaftLog | undefined = undefined
  #snapshots: Snapshots | undefined = undefined
  /** Once the store takes messages. */
  #replicas: Replicas | undefined = undefined

  constructor(store: SimStore) {
    this.store = store
    const { config } = store.options
    this.inflight = new Inflight(config.inflightBytesMax)
    this.engine = new SimEngine(
      store.engine,
      store.faults,
      () => new Promise((resolve) => void this.later(store.snapIoMs, resolve)),
    )
    this.reads = this.#openReads()
    const { poller, router } = openStorePoller(
      config,
      { schedule: (run) => store.later(ROUND_MS, this, run) },
      () => this.#handler!,
    )
    this.#poller = poller
    this.router = router
  }

  get log(): RaftLog {
    assert(this.#log !== undefined, 'a life that began has a log')
    return this.#log
  }

  /** The log at least. */
  get isOpen(): boolean {
    return this.#log !== undefined
  }

  get snapshots(): Snapshots | undefined {
    return this.#snapshots
  }

  /** Of this life only, and not within a pause. What it settles belongs to the same moment. */
  later(delayMs: number, run: () => void): () => void {
    let cancelled = false
    this.store.later(delayMs, this, () => {
      if (cancelled) return
      this.store.options.queue.unsettled = true
      run()
    })
    return () => {
      cancelled = true
    }
  }

  /** As Store.open does, behind registration. */
  async begin(fresh: boolean): Promise<void> {
    const { store } = this
    let regions: StoreRegions | undefined
    const log = await store.openLog(this, {
      onPersisted: (regionId, readyNumber) => {
        if (regions?.onPersisted(regionId, readyNumber)) return
        this.router.sendForced(regionId, { tag: PeerTag.Persisted, readyNumber })
      },
      onFailed: (error) => {
        regions?.onFailed(error)
        this.fail(error)
      },
    })
    this.#log = this.#watched(log)
    regions = new StoreRegions({
      engine: this.engine,
      log,
      fs: store.faults,
      snapshotDir: SNAP_DIR,
    })
    if (!fresh) regions.finishDestroying()
    const interrupted = fresh ? [] : await regions.resumeInstalls()
    const found = regions.loadRegions()
    const replicas = this.#openPorts(log, regions)
    for (const region of found) replicas.start(region, fresh)
    for (const install of interrupted) replicas.resume(install)
    log.flush()
    this.#replicas = replicas
    this.#startClocks()
  }

  #openPorts(log: RaftLog, regions: StoreRegions): Replicas {
    const { store } = this
    const { config, events, network, random } = store.options
    const transport = network.transport(store.id, this)
    const notify: PeerPorts['notify'] = (regionId, signal) => {
      this.router.sendForced(regionId, signal)
    }
    const apply = new SimApply(this, this.engine, {
      onWritten: (results) => events.onWritten(store, results),
      onApplied: (results) => {
        for (const result of results) {
          this.router.sendForced(result.regionId, { tag: PeerTag.Applied, result })
        }
      },
      onSnapshot: (result) => this.#snapshots!.onBuilt(result),
    })
    const calls = new SimSnapCalls(this, this.engine, (request) => {
      events.onSnapTask(store, request)
    })
    this.#snapshots = this.#openSnapshots(transport, calls)
    const replicas = new Replicas({
      router: this.router,
      engine: this.engine,
      mailboxCapacity: config.mailboxCapacity,
      applyStateOf: (regionId) => regions.applyStateOf(regionId),
      bury: async (tombstone) => {
        await calls.call({ op: 'bury', tombstone })
      },
      fail: (error) => this.fail(error),
    })
    const ports: PeerPorts = {
      storeId: store.id,
      config,
      clock: store.clock,
      standstill: new Standstill(),
      random,
      logger: silentLogger,
      log,
      transport,
      apply,
      reads: this.reads,
      snapshots: this.#snapshots,
      replicas,
      disks: ROOMY_DISKS,
      awake: this.awake,
      metrics: this.metrics,
      notify,
      reportRegion: () => {},
      release: (request) => this.inflight.release(request),
      fail: (error) => this.fail(error),
    }
    replicas.attach(ports)
    const peers = new PeerHandler(ports)
    this.#handler = new StoreHandler(peers, this.reads, () => this.router, log, this.awake)
    return replicas
  }

  #openSnapshots(transport: Transport, pool: SimSnapCalls): Snapshots {
    const { store } = this
    const { config } = store.options
    return new Snapshots({
      config,
      pool,
      transport,
      room: () => Number.POSITIVE_INFINITY,
      clock: store.clock,
      later: (ms, run) => this.later(ms, run),
      rest: () => 0,
      logger: silentLogger,
      peer: (regionId) => this.router.get(regionId),
      notify: (regionId, signal) => this.router.sendForced(regionId, signal),
      fail: (error) => this.fail(error),
    })
  }

  #openReads(): RoundReads {
    const { store } = this
    const reads = new RoundReads({
      engine: this.engine,
      logger: silentLogger,
      release: (request) => this.inflight.release(request),
      scheduler: { schedule: (run) => store.later(ROUND_MS, this, run) },
      later: (ms, run) => this.later(ms, run),
      isCurrent: (region) => isCurrentRegion(this.router, region),
      count: () => {},
    })
    const read = reads.read.bind(reads)
    reads.read = (request, region) => {
      store.options.events.onRead(store, region.id)
      read(request, region)
    }
    return reads
  }

  #watched(log: RaftLog): RaftLog {
    const { store } = this
    const compact = log.compact.bind(log)
    log.compact = (regionId, index) => {
      store.options.events.onCompact(store, regionId, index)
      compact(regionId, index)
    }
    return log
  }

  #startClocks(): void {
    const { config, random } = this.store.options
    this.#every('tick', config.raftBaseTickIntervalMs, random.below(100) / 100)
    this.#every('raft-log-gc', config.raftLogGcTickIntervalMs, random.below(100) / 100)
    this.#stayAlive(random.below(100) / 100)
  }

  /** As TcpTransport does. */
  #stayAlive(part = 1): void {
    this.store.later(part * ALIVE_MS, this, () => {
      if (this.failed !== undefined) return
      this.store.options.network.stayAlive(this.store.id)
      for (const storeId of this.#silence.check()) {
        this.router.sendControl({ kind: 'silent', storeId })
      }
      this.#stayAlive()
    })
  }

  /** A frame of that store came, be it empty. */
  heard(storeId: StoreId): void {
    this.#silence.heard(storeId)
  }

  /** As an interval timer does, a late tick delays the next one. */
  #every(kind: Extract<StoreMessage['kind'], 'tick' | 'raft-log-gc'>, ms: number, part = 1): void {
    this.store.later((part * ms) / this.store.options.clockRate, this, () => {
      if (this.failed !== undefined) return
      this.router.sendControl({ kind })
      this.#every(kind, ms)
    })
  }

  receive(envelopes: readonly RaftEnvelope[]): void {
    if (this.failed !== undefined) return
    for (const envelope of envelopes) {
      this.#replicas?.deliver(envelope, true)
    }
  }

  /** As SnapshotLinks.receive does. */
  acceptSnapshot(channel: SimSnapshotLink): void {
    const starting = { busy: true, reason: 'the store is starting' }
    receiveTransfer(channel, {
      onSnapshotOffer: (envelope) => this.#snapshots?.onOffer(envelope) ?? starting,
    }).catch((error: unknown) => {
      channel.destroy()
      if ((error as Error).name === 'AssertionError') this.fail(error as Error)
    })
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
    setDeadline(request, this.store.clock.monotonicMs())
    const outcome = this.router.send(request.regionId, request)
    if (outcome === 'ok') return
    this.inflight.release(request)
    const busy = outcome === 'full'
    refuse(request, busy ? serverIsBusy('full', 50) : regionNotFound(request.regionId))
  }

  fail(error: Error): void {
    const { events } = this.store.options
    if (!isDiskError(error)) events.onBug(this.store, error)
    if (this.failed !== undefined) return
    this.failed = error
    this.#poller.stop()
    abandonRequests(this.router.all(), this.reads, (request) => this.inflight.release(request))
    events.onFatal(this.store, error)
  }
}

function refuse(request: RawRequest, error: RegionError): void {
  request.sink.respond(request, regionErrorResponse(error))
}
