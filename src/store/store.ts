/**
 * A store: the one place where ports become threads, sockets and files.
 *
 *   open:  lock → engine and log → identity → registration with PD → first regions → threads →
 *          peers → transport → ticks
 *   close: not ready → leaders move away → drain → stop taking messages → log → apply → engine → lock
 *
 * INVARIANTS
 * - Threads that share the engine's handle end before the engine closes.
 * - A fatal error (failed fsync, failed apply, broken invariant) stops the poller at once: nothing
 *   is acknowledged after it. Requests under way are answered as undetermined.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { assert } from '../base/assert.ts'
import type { Clock, Random, RoundScheduler } from '../base/clock.ts'
import { errorMessage, isOperatingError } from '../base/errors.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { machineLater } from '../base/node-clock.ts'
import type { Poller } from '../batch-system/poller.ts'
import type { DiskProbe } from '../env/disk-space.ts'
import { nodeDiskProbe } from '../env/node-fs.ts'
import { ThreadLoad } from '../env/thread-load.ts'
import type { PdClient, RegionOrder, StoreMeta } from '../pd/port.ts'
import { PeerTag } from '../peer/messages.ts'
import { PeerMetrics } from '../peer/metrics.ts'
import type { Peer } from '../peer/peer.ts'
import { electionTimeoutMs } from '../peer/ports.ts'
import { notLeader, regionNotFound, serverIsBusy, storeNotMatch } from '../peer/region-errors.ts'
import {
  isWrite,
  type RawRequest,
  type RegionError,
  regionErrorResponse,
  setDeadline,
} from '../protocol/raw.ts'
import type { Region } from '../region/region.ts'
import type { StoreIdent } from '../region/state.ts'
import type { RaftEnvelope, Transport, TransportEvents } from '../transport/port.ts'
import { abandonRequests } from './abandon.ts'
import { adoptRegions, type BootstrapPorts, register } from './bootstrap.ts'
import { mustBeSafeConfig, type StoreConfig } from './config.ts'
import { startGuard, takeDiskNotice } from './disk-notice.ts'
import { giveUpLeaders } from './give-up-leaders.ts'
import { Inflight } from './inflight.ts'
import { peerOrderOf } from './pd-orders.ts'
import type { RegionStatus, StoreService, StoreStatus } from './port.ts'
import { StalePeers } from './stale-peers.ts'
import { StoreDisk } from './store-disk.ts'
import { openStorePoller, type StoreFsm, type StoreRouter } from './store-handler.ts'
import { StoreParts } from './store-parts.ts'
import type { InterruptedInstall } from './store-regions.ts'
import { diskStatus, regionStatus } from './store-status.ts'
import { WriteGate } from './write-gate.ts'

export interface StoreOptions {
  /** Data directory: raft/, kv/ and LOCK are made in it. */
  readonly dir: string
  readonly config: StoreConfig
  readonly pd: PdClient
  /** How others reach this store; PD is told. */
  readonly meta: Pick<StoreMeta, 'address' | 'statusAddress' | 'labels' | 'version'>
  readonly createTransport: (
    ids: { readonly clusterId: number; readonly storeId: StoreId },
    events: TransportEvents,
  ) => Promise<{ readonly transport: Transport; readonly peerAddress: string }>
  readonly logger: Logger
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: RoundScheduler
  /** Default: the machine's own. */
  readonly probe?: DiskProbe
  /** The store can do nothing any more; the process should end. Called once. */
  readonly onFatal: (error: Error) => void
}

/** How long a stopping store waits for others to take its leaderships, in election time-outs. */
const TRANSFER_WAIT_ELECTIONS = 2
const DRAIN_WAIT_MS = 2_000
const GATE_LOOK_MS = 100
const POLL_MS = 20

export class Store implements StoreService {
  readonly #options: StoreOptions
  readonly #inflight: Inflight
  readonly #gate: WriteGate
  readonly #metrics = new PeerMetrics()
  readonly #router: StoreRouter
  readonly #poller: Poller<Peer, StoreFsm>
  #disk: StoreDisk | undefined
  #transport: Transport | undefined
  #parts: StoreParts | undefined
  #ident: StoreIdent | undefined
  /** Unix seconds at which it registered with PD. */
  #startTimeS = 0
  #timers: NodeJS.Timeout[] = []
  #interrupted: InterruptedInstall[] = []
  #ready = false
  #stopping = false
  #failed: Error | undefined
  #closing: Promise<void> | undefined
  static async open(options: StoreOptions): Promise<Store> {
    mustBeSafeConfig(options.config)
    const store = new Store(options)
    try {
      await store.#open()
      return store
    } catch (error) {
      store.#stopping = true
      await store.#release()
      throw error
    }
  }

  private constructor(options: StoreOptions) {
    const { config, scheduler } = options
    this.#options = options
    this.#inflight = new Inflight(config.inflightBytesMax)
    this.#gate = new WriteGate({
      clock: options.clock,
      later: machineLater,
      load: new ThreadLoad(options.clock),
      deliver: (request) => this.#deliverRequest(request),
      requestRound: () => this.#poller.requestRound(),
    })
    const { poller, router } = openStorePoller(
      config,
      { schedule: (run) => scheduler.schedule(() => this.#runRound(run)) },
      () => this.#parts!.handler,
    )
    this.#poller = poller
    this.#router = router
  }

  get storeId(): StoreId {
    assert(this.#ident !== undefined, 'an open store has an identity')
    return this.#ident.storeId
  }

  // @hot bench: store
  execute(request: RawRequest): void {
    if (this.#stopping) {
      // Not "busy": clients wait long for that, but try another replica at once for this.
      const peer = this.#router.get(request.regionId)
      this.#refuse(request, notLeader(request.regionId, peer?.isLeader ? undefined : peer?.leader))
      return
    }
    if (request.storeId !== this.storeId) {
      this.#refuse(request, storeNotMatch(request.storeId, this.storeId))
      return
    }
    if (!this.#inflight.take(request)) {
      this.#refuse(request, serverIsBusy('too many bytes of requests are in flight', 100))
      return
    }
    setDeadline(request, this.#options.clock.monotonicMs())
    if (isWrite(request.kind)) this.#gate.add(request)
    else this.#deliverRequest(request)
  }

  // @hot
  #deliverRequest(request: RawRequest): void {
    const outcome = this.#router.send(request.regionId, request)
    if (outcome === 'ok') return
    this.#onAnswered(request)
    const busy = serverIsBusy('too many requests wait for this region', 50)
    this.#refuse(request, outcome === 'full' ? busy : regionNotFound(request.regionId))
  }

  #onAnswered(request: RawRequest): void {
    this.#inflight.release(request)
    if (isWrite(request.kind)) this.#gate.answered()
  }

  status(): StoreStatus {
    let leaderCount = 0
    for (const peer of this.#router.all()) if (peer.isLeader) leaderCount++
    return {
      clusterId: this.#ident?.clusterId ?? 0,
      storeId: this.#ident?.storeId ?? 0,
      ready: this.#ready,
      regionCount: this.#parts?.replicas.initialisedCount ?? 0,
      leaderCount,
      ...diskStatus(this.#disk?.guard),
    }
  }

  regions(): RegionId[] {
    return [...this.#router.ids()]
  }

  regionStatus(regionId: RegionId): RegionStatus | undefined {
    const peer = this.#router.get(regionId)
    if (peer === undefined) return undefined
    return regionStatus(peer, this.#parts?.snapshots.progress.of(regionId) ?? [])
  }

  metrics(): Record<string, number> {
    const { regionCount, leaderCount, ready } = this.status()
    const metrics: Record<string, number> = {
      store_ready: ready ? 1 : 0,
      region_count: regionCount,
      leader_count: leaderCount,
      regions_hibernating: this.#router.size - (this.#parts?.awake.size ?? 0),
      requests_in_flight: this.#inflight.requests,
      request_bytes_in_flight: this.#inflight.bytes,
    }
    for (const [name, value] of Object.entries(this.#metrics)) {
      metrics[name.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)] = value as number
    }
    Object.assign(metrics, this.#gate.stats())
    Object.assign(metrics, this.#disk?.log.stats(), this.#disk?.engine.stats())
    Object.assign(metrics, this.#parts?.snapshots.stats(), this.#disk?.guard.stats())
    return metrics
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #open(): Promise<void> {
    const { dir, config, clock, logger, probe = nodeDiskProbe } = this.#options
    this.#disk = await StoreDisk.open({
      dir,
      config,
      clock,
      probe,
      logger,
      events: {
        onPersisted: (regionId, readyNumber) => {
          this.#router.sendForced(regionId, { tag: PeerTag.Persisted, readyNumber })
        },
        onFailed: (error) => this.#fail(error),
      },
    })
    const { fresh, regions } = await this.#join()
    const parts = this.#assemble()
    this.#parts = parts
    for (const region of regions) parts.replicas.start(region, fresh)
    for (const install of this.#interrupted) parts.replicas.resume(install)
    this.#disk.log.flush()
    this.#startClocks()
    startGuard(this.#disk.guard, this.#router, this.#transport!, this.storeId)
    this.#ready = true
    logger.info({ store: this.storeId, regions: regions.length }, 'the store is ready')
  }

  /** Identity, registration and regions; the transport too, since PD tells others its address. */
  async #join(): Promise<{ fresh: boolean; regions: Region[] }> {
    const { pd, logger, meta, clock, createTransport } = this.#options
    const disk = this.#disk!
    const ports: BootstrapPorts = {
      engine: disk.engine,
      pd,
      logger,
      sleep,
      isStopping: () => this.#stopping,
      createLogs: (regionIds) => disk.regions.createLogs(regionIds),
    }
    this.#ident = await disk.loadIdent(ports)
    const { clusterId, storeId } = this.#ident
    const made = await createTransport({ clusterId, storeId }, this.#transportEvents())
    this.#transport = made.transport
    this.#startTimeS = Math.floor(clock.wallMs() / 1000)
    const full: StoreMeta = {
      ...meta,
      id: storeId,
      peerAddress: made.peerAddress,
      state: 0,
      startTimestamp: this.#startTimeS,
      lastHeartbeatMs: 0,
      physicallyDestroyed: false,
      deployPath: '',
    }
    await register(ports, full, this.#ident)
    if (!this.#ident.adopted) {
      const regions = await adoptRegions(ports, this.#ident)
      this.#ident = { ...this.#ident, adopted: true }
      return { fresh: true, regions }
    }
    disk.regions.finishDestroying()
    this.#interrupted = await disk.regions.resumeInstalls()
    return { fresh: false, regions: disk.regions.loadRegions() }
  }

  #assemble(): StoreParts {
    const { config, pd, clock, random, scheduler, logger } = this.#options
    return new StoreParts({
      storeId: this.storeId,
      config,
      pd,
      clock,
      random,
      scheduler,
      logger,
      disk: this.#disk!,
      transport: this.#transport!,
      router: this.#router,
      release: (request) => this.#onAnswered(request),
      metrics: this.#metrics,
      startTimeS: this.#startTimeS,
      fail: (error) => this.#fail(error),
      isStopping: () => this.#stopping,
    })
  }

  #startClocks(): void {
    const { config, pd, clock, logger } = this.#options
    const every = (ms: number, message: 'tick' | 'heartbeat-pd' | 'raft-log-gc'): void => {
      this.#timers.push(setInterval(() => this.#router.sendControl({ kind: message }), ms))
    }
    every(config.raftBaseTickIntervalMs, 'tick')
    every(config.pdHeartbeatTickIntervalMs, 'heartbeat-pd')
    every(config.raftLogGcTickIntervalMs, 'raft-log-gc')
    const stale = new StalePeers({
      pd,
      router: this.#router,
      clock,
      logger,
      leaderMissingMs: config.maxLeaderMissingDurationMs,
    })
    this.#timers.push(setInterval(() => stale.check(), config.peerStaleStateCheckIntervalMs))
    this.#timers.push(setInterval(() => this.#gate.look(), GATE_LOOK_MS))
    pd.onRegionOrder((order) => this.#onOrder(order))
    this.#parts!.reporter.start()
  }

  #onOrder(order: RegionOrder): void {
    const message = this.#stopping ? undefined : peerOrderOf(order)
    if (message === undefined) return
    this.#router.sendForced(order.regionId, { tag: PeerTag.PdOrder, order: message })
  }

  #transportEvents(): TransportEvents {
    return {
      onMessages: (envelopes) => {
        let hasEntries = false
        for (const envelope of envelopes) {
          if (envelope.message.entries.length > 0) hasEntries = true
          if (!this.#deliver(envelope)) this.#metrics.raftMessagesDropped++
        }
        if (hasEntries) this.#gate.onCompany()
      },
      onSnapshotOffer: (envelope) =>
        this.#parts?.snapshots.onOffer(envelope) ?? { busy: true, reason: 'the store is starting' },
      onUnreachable: (storeId) => this.#router.sendControl({ kind: 'unreachable', storeId }),
      onSilent: (storeId) => this.#router.sendControl({ kind: 'silent', storeId }),
    }
  }

  #deliver(envelope: RaftEnvelope): boolean {
    if (takeDiskNotice(this.#disk!.guard, envelope)) return true
    return this.#parts?.replicas.deliver(envelope, this.#ready) === true
  }

  #refuse(request: RawRequest, error: RegionError): void {
    request.sink.respond(request, regionErrorResponse(error))
  }

  #runRound(run: () => void): void {
    try {
      this.#gate.onRound()
      run()
    } catch (error) {
      this.#fail(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #fail(error: Error): void {
    if (this.#failed !== undefined) return
    this.#failed = error
    this.#ready = false
    this.#stopping = true
    this.#poller.stop()
    this.#stopClocks()
    const stack = isOperatingError(error) ? {} : { stack: error.stack }
    this.#options.logger.error(
      { store: this.#ident?.storeId, error: errorMessage(error), ...stack },
      'the store failed and stops',
    )
    this.#abandonRequests()
    try {
      if (this.#transport) giveUpLeaders(this.#router.all(), this.#transport, this.#options)
    } finally {
      this.#options.onFatal(error)
    }
  }

  #abandonRequests(): void {
    // Without it nothing was ever taken in.
    const reads = this.#parts?.reads
    if (reads === undefined) return
    this.#gate.close()
    abandonRequests(this.#router.all(), reads, (request) => this.#onAnswered(request))
  }

  async #close(): Promise<void> {
    this.#ready = false
    this.#gate.close()
    const wasFailed = this.#failed !== undefined
    if (!wasFailed) await this.#moveLeadersAway()
    this.#stopping = true
    if (!wasFailed) await this.#waitUntil(() => this.#inflight.requests === 0, DRAIN_WAIT_MS)
    await this.#release()
    this.#options.logger.info({}, 'the store is closed')
  }

  async #moveLeadersAway(): Promise<void> {
    const msMax = electionTimeoutMs(this.#options.config) * TRANSFER_WAIT_ELECTIONS
    this.#router.sendControlForced({ kind: 'transfer-away' })
    await this.#waitUntil(() => !this.#leadsMovable(), msMax)
  }

  /** Leads a region that another store could lead. */
  #leadsMovable(): boolean {
    for (const peer of this.#router.all()) {
      if (peer.isLeader && peer.raft.leadTransferee !== 0) return true
    }
    return this.#router.control.mailbox.length > 0
  }

  async #waitUntil(condition: () => boolean, msMax: number): Promise<void> {
    for (let waitedMs = 0; waitedMs < msMax && this.#failed === undefined; waitedMs += POLL_MS) {
      if (condition()) return
      await sleep(POLL_MS)
    }
  }

  #stopClocks(): void {
    for (const timer of this.#timers) clearInterval(timer)
    this.#timers = []
    this.#parts?.reporter.stop()
    this.#disk?.guard.stop()
  }

  /** Ends threads before what they use; every step may be missing when the start failed half-way. */
  async #release(): Promise<void> {
    this.#stopClocks()
    await this.#transport?.close()
    // No round may write to a log that is closing.
    this.#poller.stop()
    await this.#parts?.snapshots.close()
    await this.#disk?.closeLog()
    await this.#parts?.apply.close()
    await this.#waitUntil(() => (this.#parts?.reads.scansRunning ?? 0) === 0, DRAIN_WAIT_MS)
    this.#abandonRequests()
    await this.#disk?.close()
  }
}
