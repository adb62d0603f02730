/**
 * One simulated store: what lies on its disk, how fast that is, and the life of the process that
 * runs over it.
 */
import type { ApplyResult, ApplyTask } from '../../src/apply/port.ts'
import { assert } from '../../src/base/assert.ts'
import type { Clock, Random } from '../../src/base/clock.ts'
import type { LogIndex, RegionId, StoreId } from '../../src/base/ids.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { PdClient } from '../../src/pd/port.ts'
import type { Peer } from '../../src/peer/peer.ts'
import type { RawRequest } from '../../src/protocol/raw.ts'
import { openRaftLog } from '../../src/raftlog/open.ts'
import type { RaftLog, RaftLogEvents } from '../../src/raftlog/port.ts'
import type { Region } from '../../src/region/region.ts'
import type { BuildSizes } from '../../src/snap/builder.ts'
import { adoptRegions } from '../../src/store/bootstrap.ts'
import type { StoreConfig } from '../../src/store/config.ts'
import type { SnapRequest } from '../../src/store/snap-tasks.ts'
import { StoreRegions } from '../../src/store/store-regions.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import type { EventQueue } from './event-queue.ts'
import { SimLife, SNAP_DIR } from './sim-life.ts'
import type { Receiver, SimNetwork } from './sim-network.ts'
import { SimSink } from './sim-sink.ts'
import type { LinkHolder, SimSnapshotLink } from './sim-snapshot-link.ts'

export interface SimStoreOptions {
  readonly id: StoreId
  readonly queue: EventQueue
  readonly network: SimNetwork
  readonly random: Random
  readonly config: StoreConfig
  readonly events: SimStoreEvents
  /** Local milliseconds for a true one. */
  readonly clockRate: number
  /** Of the snapshots that are made here: small, so that little data takes many steps. */
  readonly buildSizes: BuildSizes
}

export interface SimStoreEvents {
  onCommitted(store: SimStore, task: ApplyTask): void
  /** At the moment at which apply has written. */
  onWritten(store: SimStore, results: readonly ApplyResult[]): void
  /** Entries are about to be given up. */
  onCompact(store: SimStore, regionId: RegionId, index: LogIndex): void
  /** A read was found safe. */
  onRead(store: SimStore, regionId: RegionId): void
  /** The snapshot worker has done it. */
  onSnapTask(store: SimStore, request: SnapRequest): void
  /** Something that no fault of the world explains. */
  onBug(store: SimStore, error: Error): void
  /** The production code found the store unusable. */
  onFatal(store: SimStore, error: Error): void
}

const RAFT_DIR = '/raft'
const PURGE_SEGMENTS = 3
const ROUND_MS = 0.05
const SYNC_MS = 0.4
const APPLY_MS = 0.1
const SNAP_IO_MS = 0.3

export class SimStore implements Receiver {
  readonly id: StoreId
  readonly options: SimStoreOptions
  readonly clock: Clock
  readonly #clockOffset: number
  fs = new MemoryFileSystem()
  engine: MemoryEngine = openMemoryEngine()
  life: SimLife | undefined = undefined
  pausedUntilMs = 0
  /** An fsync ends when this is false again. */
  diskHeld = false
  syncMs = SYNC_MS
  applyMs = APPLY_MS
  /** A task of the snapshot worker, a batch of an ingestion, a piece of a long read. */
  snapIoMs = SNAP_IO_MS
  /** Faults for the next fsyncs of this life. */
  faults: FaultyFileSystem = new FaultyFileSystem(this.fs)
  readonly #held: (() => void)[] = []
  #faultsOfNextLife: FaultyFileSystem | undefined = undefined

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

  /** Without writer threads, since nothing runs yet. */
  async #createLogs(regionIds: readonly RegionId[]): Promise<void> {
    let regions: StoreRegions | undefined
    const log = await this.#openLog(undefined, {
      onPersisted: (regionId, readyNumber) => regions!.onPersisted(regionId, readyNumber),
      onFailed: (error: Error) => {
        throw error
      },
    })
    regions = new StoreRegions({
      engine: this.engine,
      log,
      fs: this.faults,
      snapshotDir: SNAP_DIR,
    })
    await regions.createLogs(regionIds)
    await log.close()
  }

  /** Rejects when the disk fails meanwhile. */
  async start(fresh: boolean): Promise<void> {
    assert(this.life === undefined, `store ${this.id} runs once at a time`)
    this.faults = this.#faultsOfNextLife ?? new FaultyFileSystem(this.fs)
    this.#faultsOfNextLife = undefined
    this.diskHeld = false
    this.life = new SimLife(this)
    await this.life.begin(fresh)
  }

  /** The next start meets these. */
  prepareFaults(): FaultyFileSystem {
    this.#faultsOfNextLife = new FaultyFileSystem(this.fs)
    return this.#faultsOfNextLife
  }

  openLog(life: SimLife, events: RaftLogEvents): Promise<RaftLog> {
    return this.#openLog(life, events)
  }

  #openLog(life: SimLife | undefined, events: RaftLogEvents): Promise<RaftLog> {
    const { config } = this.options
    const writers = life === undefined ? 0 : config.storeIoPoolSize
    return openRaftLog({
      dir: RAFT_DIR,
      fs: this.faults,
      writers,
      segmentBytes: config.raftLogSegmentBytes,
      cacheBytes: config.raftLogCacheBytes,
      logger: silentLogger,
      events,
      purgeBytes: PURGE_SEGMENTS * config.raftLogSegmentBytes,
      scheduler: { schedule: (run) => void life?.later(ROUND_MS, run) },
      ...(writers > 0 && {
        openSink: (at, sinkEvents) =>
          new SimSink(this.faults, at, sinkEvents, (done) =>
            this.later(this.syncMs, life, () => this.#synced(done)),
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
    for (const done of this.#held.splice(0)) this.later(0, this.life, done)
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
    }
    // What goes on of the old life touches nothing of the next one.
    this.fs = this.fs.afterProcess()
    this.engine = this.engine.reopen()
  }

  /** Work of a life, `delayMs` from now; never within a pause, nor after its end. */
  later(delayMs: number, life: SimLife | undefined, run: () => void): void {
    const { queue } = this.options
    const attempt = (): void => {
      if (life === undefined || this.life !== life) return
      if (queue.nowMs < this.pausedUntilMs) queue.at(this.pausedUntilMs, attempt)
      else run()
    }
    queue.after(delayMs, attempt)
  }

  receive(from: StoreId, envelopes: RaftEnvelope[]): void {
    const { life } = this
    this.later(0, life, () => {
      life!.heard(from)
      life!.receive(envelopes)
    })
  }

  unreachable(storeId: StoreId): void {
    const { life } = this
    this.later(0, life, () => life!.router.sendControl({ kind: 'unreachable', storeId }))
  }

  acceptSnapshot(open: (holder: LinkHolder) => SimSnapshotLink): void {
    this.life?.acceptSnapshot(open(this.life))
  }

  execute(request: RawRequest): void {
    assert(this.life !== undefined, `store ${this.id} is up`)
    this.life.execute(request)
  }
}
