/**
 * The working parts of an open store and how they are connected: threads, replicas and what the
 * poller calls. Store decides when they start and in which order they end.
 *
 * INVARIANT: a failure of any part comes out through `fail`, once or more often.
 */
import type { Clock, Random, RoundScheduler } from '../base/clock.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { machineLater } from '../base/node-clock.ts'
import type { PdClient } from '../pd/port.ts'
import { type PeerSignal, PeerTag } from '../peer/messages.ts'
import type { PeerMetrics } from '../peer/metrics.ts'
import { PeerHandler } from '../peer/peer-handler.ts'
import type { PeerPorts } from '../peer/ports.ts'
import { Standstill } from '../peer/standstill.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { Transport } from '../transport/port.ts'
import { ApplyPool } from './apply-pool.ts'
import type { StoreConfig } from './config.ts'
import { machineRest } from './machine-rate.ts'
import { PdReporter } from './pd-reporter.ts'
import { Replicas } from './replicas.ts'
import { RoundReads } from './round-reads.ts'
import { SnapPool } from './snap-pool.ts'
import { Snapshots } from './snapshots.ts'
import type { StoreDisk } from './store-disk.ts'
import { isCurrentRegion, StoreHandler, type StoreRouter } from './store-handler.ts'

export interface StorePartsOptions {
  readonly storeId: StoreId
  readonly config: StoreConfig
  readonly pd: PdClient
  readonly clock: Clock
  readonly random: Random
  readonly scheduler: RoundScheduler
  readonly logger: Logger
  readonly disk: StoreDisk
  readonly transport: Transport
  readonly router: StoreRouter
  /** A request is answered. */
  readonly release: (request: RawRequest) => void
  readonly metrics: PeerMetrics
  readonly startTimeS: number
  readonly fail: (error: Error) => void
  /** What peers ask of the disk fails while it closes: then that is no failure. */
  readonly isStopping: () => boolean
}

export class StoreParts {
  readonly apply: ApplyPool
  readonly snapshots: Snapshots
  readonly replicas: Replicas
  readonly reads: RoundReads
  readonly reporter: PdReporter
  readonly handler: StoreHandler
  readonly awake: ReadonlySet<RegionId>
  readonly #options: StorePartsOptions

  constructor(options: StorePartsOptions) {
    const { disk, router, release, logger } = options
    this.#options = options
    this.apply = this.#openApply()
    const { engine, log } = disk
    const pool = new SnapPool({
      engineHandle: engine.handle,
      dir: disk.snapshotDir,
      bytesPerSec: options.config.snapIoMaxBytesPerSec,
    })
    this.snapshots = this.#openSnapshots(pool)
    this.replicas = new Replicas({
      router,
      engine,
      mailboxCapacity: options.config.mailboxCapacity,
      applyStateOf: (regionId) => disk.regions.applyStateOf(regionId),
      bury: async (tombstone) => {
        await pool.call({ op: 'bury', tombstone })
      },
      fail: (error) => this.#failUnlessStopping(error),
    })
    this.reads = new RoundReads({
      engine,
      logger,
      release,
      scheduler: options.scheduler,
      later: machineLater,
      isCurrent: (region) => isCurrentRegion(router, region),
      count: (regionId, keys, bytes) => router.get(regionId)?.traffic.addRead(keys, bytes),
    })
    this.reporter = this.#openReporter()
    const ports = this.#ports()
    this.replicas.attach(ports)
    const peers = new PeerHandler(ports)
    this.handler = new StoreHandler(peers, this.reads, () => router, log, ports.awake)
    this.awake = ports.awake
  }

  #openApply(): ApplyPool {
    const { storeId, config, disk, logger, router, fail } = this.#options
    return new ApplyPool({
      storeId,
      workers: config.applyPoolSize,
      engineHandle: disk.engine.handle,
      snapshotDir: disk.snapshotDir,
      buildBytesPerSec: config.snapIoMaxBytesPerSec,
      logger,
      events: {
        onSnapshot: (result) => this.snapshots.onBuilt(result),
        onApplied: (results) => {
          for (const result of results) {
            router.sendForced(result.regionId, { tag: PeerTag.Applied, result })
          }
        },
        onFailed: fail,
      },
    })
  }

  #openSnapshots(pool: SnapPool): Snapshots {
    const { config, transport, disk, clock, logger, router, fail } = this.#options
    return new Snapshots({
      config,
      pool,
      transport,
      room: () => disk.guard.roomBytes,
      clock,
      later: machineLater,
      rest: machineRest(),
      logger,
      peer: (regionId) => router.get(regionId),
      notify: (regionId, signal) => router.sendForced(regionId, signal),
      fail,
    })
  }

  #openReporter(): PdReporter {
    const { pd, storeId, startTimeS, disk, clock, logger, config, fail } = this.#options
    return new PdReporter({
      pd,
      storeId,
      startTimeS,
      fail,
      disk: () => disk.guard.figures,
      clock,
      logger,
      intervalMs: config.pdStoreHeartbeatTickIntervalMs,
      figures: () => ({ regionCount: this.replicas.initialisedCount, isBusy: false }),
    })
  }

  #ports(): PeerPorts {
    const { storeId, config, clock, random, logger, disk, transport } = this.#options
    const { router, release, metrics } = this.#options
    return {
      storeId,
      config,
      clock,
      standstill: new Standstill(),
      random,
      logger,
      log: disk.log,
      transport,
      apply: this.apply,
      reads: this.reads,
      snapshots: this.snapshots,
      replicas: this.replicas,
      disks: disk.guard,
      metrics,
      awake: new Set(),
      notify: (regionId: RegionId, signal: PeerSignal) => router.sendForced(regionId, signal),
      reportRegion: (report) => this.reporter.reportRegion(report),
      release,
      fail: (error) => this.#failUnlessStopping(error),
    }
  }

  #failUnlessStopping(error: Error): void {
    const { isStopping, fail } = this.#options
    if (!isStopping()) fail(error)
  }
}
