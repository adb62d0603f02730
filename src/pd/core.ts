/**
 * The placement driver itself, without a network: every request in one method. Answers come after
 * what they promise is durable. Requests that change stores or bootstrap run one after another;
 * region heartbeats take effect in memory at once and are written behind, since the next heartbeat
 * repeats what a crash may lose.
 */
import type { Clock, Random } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { Region } from '../region/region.ts'
import type { PeerCommand } from './checkers/peer-command.ts'
import { Coordinator } from './coordinator.ts'
import { IdAllocator } from './id-allocator.ts'
import type { EndedOperator, Operator } from './operators/operator.ts'
import { type BootstrapPlan, mustBeValidPlan, planIdCount, planRegions } from './plan.ts'
import {
  type RegionHeartbeat,
  type RegionOrder,
  type StoreMeta,
  StoreState,
  type StoreStats,
} from './port.ts'
import * as records from './records.ts'
import type { HeartbeatResult, RegionRecord } from './region-tree.ts'
import { type ScheduleConfig, scheduleConfig } from './schedule-config.ts'
import { Serial } from './serial.ts'
import { mustBeFirstRegion, PdState } from './state.ts'
import type { PdStorage, PdWrite } from './storage.ts'
import { mustBeRemovable } from './store-removal.ts'
import type { StoreRecord } from './store-table.ts'
import { type Timestamp, TimestampOracle } from './tso.ts'

export interface PdCoreOptions {
  readonly storage: PdStorage
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly plan?: BootstrapPlan | undefined
  readonly schedule?: Partial<ScheduleConfig> | undefined
}

/** More would make a mistake of an administrator fill every store. */
const REPLICAS_MAX = 15
/** How often it is written down when the stores were heard last. */
const NOTE_HEARD_MS = 60_000

export type OrderSink = (order: RegionOrder) => void

export class PdCore {
  readonly #state: PdState
  readonly #storage: PdStorage
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #plan: BootstrapPlan | undefined
  readonly #schedule: ScheduleConfig
  readonly #coordinator: Coordinator
  readonly #ids: IdAllocator
  readonly #tso: TimestampOracle
  readonly #serial = new Serial()
  /** Way to each store that leads a region, by its latest heartbeat. */
  readonly #sinks = new Map<StoreId, OrderSink>()
  #heardNotedAtMs: number
  readonly #burying = new Set<StoreId>()
  readonly #counters = { accepted: 0, refused: 0, storeHeartbeats: 0, orders: 0, timestamps: 0 }

  private constructor(state: PdState, options: PdCoreOptions) {
    const { storage, clock, logger } = options
    this.#state = state
    this.#storage = storage
    this.#clock = clock
    this.#logger = logger
    this.#plan = options.plan
    this.#ids = new IdAllocator(storage, state.idWindowEnd)
    this.#tso = new TimestampOracle(storage, clock, logger, state.tsoSaved)
    this.#schedule = scheduleConfig(options.schedule)
    this.#heardNotedAtMs = clock.monotonicMs()
    this.#coordinator = new Coordinator({
      state,
      config: this.#schedule,
      clock,
      logger,
      allocate: (count) => this.#ids.allocate(count),
      send: (order) => this.sendOrder(order),
    })
  }

  static async open(options: PdCoreOptions): Promise<PdCore> {
    const { storage, logger, plan } = options
    if (plan !== undefined) mustBeValidPlan(plan)
    const state = new PdState()
    for (const [key, value] of storage.entries()) state.load(key, value)
    state.resume(options.clock.monotonicMs())
    if (state.clusterId === 0) {
      const clusterId = randomClusterId(options.random)
      await storage.put([records.clusterWrite({ clusterId, maxPeerCount: state.maxPeerCount })])
      state.clusterId = clusterId
    }
    if (plan !== undefined && state.bootstrap !== undefined) {
      logger.info({ ...plan }, 'the cluster is bootstrapped already: the plan has no effect')
    }
    const core = new PdCore(state, options)
    await core.#maybeBootstrapByPlan()
    return core
  }

  get clusterId(): ClusterId {
    return this.#state.clusterId
  }

  get bootstrapped(): boolean {
    return this.#state.bootstrap !== undefined
  }

  /** False once the storage failed: nothing can be promised any more. */
  get healthy(): boolean {
    return this.#storage.healthy
  }

  get maxPeerCount(): number {
    return this.#state.maxPeerCount
  }

  setMaxPeerCount(count: number): Promise<void> {
    if (!Number.isInteger(count) || count < 1 || count > REPLICAS_MAX) {
      const message = `a region has 1 to ${REPLICAS_MAX} replicas, not ${count}`
      return Promise.reject(new PolyraftError('InvalidArgument', message))
    }
    return this.#serial.run(async () => {
      await this.#storage.put([
        records.clusterWrite({ clusterId: this.clusterId, maxPeerCount: count }),
      ])
      this.#state.maxPeerCount = count
    })
  }

  allocId(count: number): Promise<number> {
    return this.#ids.allocate(count)
  }

  async timestamp(count: number): Promise<Timestamp> {
    const timestamp = await this.#tso.take(count)
    this.#counters.timestamps += count
    return timestamp
  }

  bootstrap(store: StoreMeta, region: Region): Promise<void> {
    return this.#serial.run(async () => {
      const done = this.#state.bootstrap
      if (done !== undefined) {
        // The same store asks again, as its first answer got lost.
        if (done.storeId === store.id && done.regionId === region.id) return
        throw new PolyraftError('AlreadyBootstrapped', 'the cluster is bootstrapped already')
      }
      this.#mustHaveNoPlan()
      mustBeFirstRegion(region, store, this.#ids.last)
      const meta = this.#state.admitStore(store, this.#ids.last)
      const record = { storeId: store.id, regionId: region.id }
      const writes = [records.storeWrite(meta), records.regionWrite(region)]
      await this.#storage.put([...writes, records.bootstrapWrite(record)])
      this.#state.stores.put(meta, this.#clock.monotonicMs())
      this.#state.regions.load(region)
      this.#state.bootstrap = record
      this.#logger.info({ storeId: store.id, regionId: region.id }, 'bootstrapped')
    })
  }

  /** Undefined while the plan waits for stores; empty when it had none for this store. */
  initialRegions(storeId: StoreId): readonly Region[] | undefined {
    if (!this.bootstrapped && this.#plan !== undefined) return undefined
    return this.#state.initialRegions.get(storeId) ?? []
  }

  putStore(store: StoreMeta): Promise<void> {
    return this.#serial.run(async () => {
      if (this.#plan === undefined) this.#state.mustBeBootstrapped()
      const meta = this.#state.admitStore(store, this.#ids.last)
      await this.#storage.put([records.storeWrite(meta)])
      this.#state.stores.put(meta, this.#clock.monotonicMs())
      await this.#maybeBootstrapByPlan()
    })
  }

  store(storeId: StoreId): StoreRecord | undefined {
    return this.#state.stores.get(storeId)
  }

  stores(): StoreRecord[] {
    return [...this.#state.stores.all()].sort((a, b) => a.meta.id - b.meta.id)
  }

  /**
   * Takes a store out of the cluster: its peers move to others, and once none is left it is gone for
   * good. Physically destroyed: its data is lost, so nobody waits for it any more. Rejects with
   * InvalidArgument, unless forced, what could never finish or would lose data.
   */
  removeStore(storeId: StoreId, physicallyDestroyed: boolean, force = false): Promise<void> {
    return this.#serial.run(async () => {
      const meta = this.#state.stores.removal(storeId, physicallyDestroyed)
      if (meta === undefined) return
      const { maxStoreDownMs } = this.#schedule
      const times = { nowMs: this.#clock.monotonicMs(), maxStoreDownMs }
      if (!force) mustBeRemovable(this.#state, storeId, physicallyDestroyed, times)
      await this.#storage.put([records.storeWrite(meta)])
      this.#state.stores.change(meta)
      this.#logger.info({ storeId, physicallyDestroyed, force }, 'a store is being removed')
    })
  }

  storeHeartbeat(stats: StoreStats): void {
    this.#state.mustBeBootstrapped()
    this.#state.stores.heartbeat(stats, this.#clock.wallMs(), this.#clock.monotonicMs())
    this.#counters.storeHeartbeats++
  }

  regionHeartbeat(heartbeat: RegionHeartbeat): HeartbeatResult {
    this.#state.mustBeBootstrapped()
    const result = this.#state.regions.applyHeartbeat(heartbeat)
    if (!result.accepted) {
      this.#counters.refused++
      this.#logger.debug({ reason: result.reason }, 'region heartbeat refused')
      return result
    }
    this.#counters.accepted++
    if (result.changed || result.removed.length > 0) {
      const writes = result.removed.map(records.regionDelete)
      writes.push(records.regionWrite(heartbeat.region))
      this.#putBehind(writes, 'cannot store a region')
    }
    this.#coordinator.onHeartbeat(this.#state.regions.get(heartbeat.region.id)!)
    return result
  }

  region(key: Uint8Array): RegionRecord | undefined {
    this.#state.mustBeBootstrapped()
    return this.#state.regions.find(key)
  }

  previousRegion(key: Uint8Array): RegionRecord | undefined {
    this.#state.mustBeBootstrapped()
    return this.#state.regions.findPrevious(key)
  }

  regionById(regionId: RegionId): RegionRecord | undefined {
    this.#state.mustBeBootstrapped()
    return this.#state.regions.get(regionId)
  }

  /** limit 0 = all; an empty end is open. */
  scanRegions(start: Uint8Array, end: Uint8Array, limit: number): RegionRecord[] {
    this.#state.mustBeBootstrapped()
    return this.#state.regions.scan(start, end, limit)
  }

  /** From now on orders for regions that this store leads go to `sink`. */
  attachStore(storeId: StoreId, sink: OrderSink): void {
    this.#sinks.set(storeId, sink)
  }

  detachStore(storeId: StoreId, sink: OrderSink): void {
    if (this.#sinks.get(storeId) === sink) this.#sinks.delete(storeId)
  }

  /** Passes an order to the region's leader; false when it has none that PD can reach. */
  sendOrder(order: RegionOrder): boolean {
    const record = this.#state.regions.get(order.regionId)
    const leader = record?.leader
    const sink = leader && this.#sinks.get(leader.storeId)
    if (sink === undefined) return false
    sink({
      ...order,
      regionEpoch: order.regionEpoch ?? record?.region.epoch,
      targetPeer: order.targetPeer ?? leader,
    })
    this.#counters.orders++
    return true
  }

  get schedule(): ScheduleConfig {
    return this.#schedule
  }

  operators(): Operator[] {
    return [...this.#coordinator.operators.all()].sort((a, b) => a.regionId - b.regionId)
  }

  operatorOf(regionId: RegionId): Operator | EndedOperator | undefined {
    const { operators } = this.#coordinator
    return operators.get(regionId) ?? operators.ended(regionId)
  }

  regionCountOn(storeId: StoreId): number {
    return this.#state.regions.regionsOn(storeId).size
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs()
  }

  /** Rejects with NotFound or InvalidArgument, saying what is wrong with it. */
  async startOperator(command: PeerCommand): Promise<Operator> {
    this.#state.mustBeBootstrapped()
    return this.#coordinator.command(command)
  }

  cancelOperator(regionId: RegionId): void {
    this.#coordinator.cancel(regionId)
  }

  /** A step of the patrol: whoever runs PD calls it a few times a second. */
  tick(): void {
    if (!this.bootstrapped || !this.healthy) return
    this.#coordinator.tick()
    for (const storeId of this.#coordinator.emptied()) this.#bury(storeId)
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#heardNotedAtMs < NOTE_HEARD_MS) return
    this.#heardNotedAtMs = nowMs
    const heard = this.#state.stores.heard(this.#clock.wallMs())
    this.#putBehind([records.heardWrite(heard)], 'cannot note when stores were heard')
  }

  metrics(): Record<string, number> {
    const metrics: Record<string, number> = {
      pd_healthy: this.healthy ? 1 : 0,
      pd_bootstrapped: this.bootstrapped ? 1 : 0,
      pd_stores: this.#state.stores.size,
      pd_regions: this.#state.regions.size,
      pd_last_id: this.#ids.last,
      pd_region_heartbeats_accepted: this.#counters.accepted,
      pd_region_heartbeats_refused: this.#counters.refused,
      pd_store_heartbeats: this.#counters.storeHeartbeats,
      pd_orders: this.#counters.orders,
      pd_region_checks: this.#coordinator.checks,
      pd_operators: this.#coordinator.operators.size,
      pd_operators_started: this.#coordinator.operators.counters.started,
      pd_operators_finished: this.#coordinator.operators.counters.success,
      pd_operators_cancelled: this.#coordinator.operators.counters.cancel,
      pd_operators_timed_out: this.#coordinator.operators.counters.timeout,
      pd_timestamps: this.#counters.timestamps,
    }
    for (const [name, value] of Object.entries(this.#storage.stats())) {
      metrics[`pd_storage_${name}`] = value
    }
    return metrics
  }

  /** Waits for what is being written, then closes the storage. */
  async close(): Promise<void> {
    await this.#serial.idle()
    await this.#tso.close()
    await this.#storage.close()
  }

  #mustHaveNoPlan(): void {
    if (this.#plan === undefined) return
    throw new PolyraftError(
      'InvalidArgument',
      `this cluster bootstraps by its plan, once ${this.#plan.stores} stores are registered: ` +
        'register with PutStore instead of Bootstrap',
    )
  }

  async #maybeBootstrapByPlan(): Promise<void> {
    const plan = this.#plan
    const stores = this.#state.stores.presentIds()
    if (plan === undefined || this.bootstrapped || stores.length < plan.stores) return
    const count = planIdCount(plan, stores.length)
    const lastId = await this.#ids.allocate(count)
    const regions = planRegions(plan, stores, lastId - count + 1)
    const initial = stores.map(
      (id) => [id, regions.filter((region) => region.peers.some((p) => p.storeId === id))] as const,
    )
    const record = { storeId: 0, regionId: 0 }
    await this.#storage.put([
      ...regions.map(records.regionWrite),
      ...initial.map(([id, own]) => records.initialWrite(id, own)),
      records.clusterWrite({ clusterId: this.clusterId, maxPeerCount: plan.replicas }),
      records.bootstrapWrite(record),
    ])
    for (const region of regions) this.#state.regions.load(region)
    for (const [id, own] of initial) this.#state.initialRegions.set(id, own)
    this.#state.maxPeerCount = plan.replicas
    this.#state.bootstrap = record
    this.#logger.info({ stores, regions: regions.length }, 'bootstrapped by plan')
  }

  /** It stays in the list until its new state is durable. */
  #bury(storeId: StoreId): void {
    if (this.#burying.has(storeId)) return
    this.#burying.add(storeId)
    this.#serial
      .run(async () => {
        const { meta } = this.#state.stores.get(storeId)!
        const gone = { ...meta, state: StoreState.Tombstone, physicallyDestroyed: false }
        await this.#storage.put([records.storeWrite(gone)])
        this.#state.stores.change(gone)
        this.#logger.info({ storeId }, 'a store was removed: no region has a peer on it')
      })
      .catch((error: unknown) => {
        this.#logger.error({ storeId, error: errorMessage(error) }, 'cannot remove a store')
      })
      .finally(() => this.#burying.delete(storeId))
  }

  #putBehind(writes: readonly PdWrite[], trouble: string): void {
    this.#storage.put(writes).catch((error: unknown) => {
      this.#logger.error({ error: errorMessage(error) }, trouble)
    })
  }
}

/** Not zero, and small enough to be a number everywhere. */
function randomClusterId(random: Random): ClusterId {
  const high = random.below(0x20_0000)
  const low = random.below(0x1_0000_0000)
  return high * 0x1_0000_0000 + low || 1
}
