/**
 * What keeps the replicas where they should be: looks at regions, starts operators, moves them on.
 *
 * A region is looked at when its heartbeat arrives, and by the patrol. A tick of the patrol looks at a
 * bounded number of regions: those on each store that is being left, which an index finds, and the
 * next ones in the order of keys. So a tick costs the same with ten regions and with ten thousand.
 */
import { EMPTY_BYTES } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { NO_ID, type PeerId, type RegionId, type StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { type PeerCommand, planOfCommand } from './checkers/peer-command.ts'
import type { PeerPlan } from './checkers/peer-plan.ts'
import { checkReplicas } from './checkers/replica-checker.ts'
import { LiveCluster } from './live-cluster.ts'
import { OperatorController } from './operators/controller.ts'
import { Operator, type OperatorOrigin } from './operators/operator.ts'
import { judge, stepsOf } from './operators/step.ts'
import { PeerIds } from './peer-ids.ts'
import type { RegionOrder } from './port.ts'
import type { RegionRecord } from './region-tree.ts'
import type { ScheduleConfig } from './schedule-config.ts'
import type { PdState } from './state.ts'
import { mustBeLeft } from './store-condition.ts'

export interface CoordinatorOptions {
  readonly state: PdState
  readonly config: ScheduleConfig
  readonly clock: Clock
  readonly logger: Logger
  readonly allocate: (count: number) => Promise<number>
  readonly send: (order: RegionOrder) => boolean
}

export class Coordinator {
  readonly cluster: LiveCluster
  readonly operators: OperatorController
  readonly #options: CoordinatorOptions
  readonly #ids: PeerIds
  /** Looks at regions so far. */
  checks = 0
  /** Where the patrol of the key space goes on. */
  #cursor: Buffer = EMPTY_BYTES
  /** Where the patrol of each store that is being left goes on. */
  readonly #leaving = new Map<StoreId, Iterator<RegionId>>()

  constructor(options: CoordinatorOptions) {
    const { state, config, clock, logger, send, allocate } = options
    this.#options = options
    this.cluster = new LiveCluster({
      state,
      config,
      clock,
      addingTo: (storeId) => this.operators.addingTo(storeId),
    })
    this.operators = new OperatorController({ config, cluster: this.cluster, logger, send })
    this.#ids = new PeerIds(allocate, (error) => {
      logger.error({ error: errorMessage(error) }, 'cannot allocate peer ids')
    })
  }

  onHeartbeat(record: RegionRecord): void {
    this.operators.advance(record, this.#now())
    this.#check(record)
  }

  tick(): void {
    const { regions, stores } = this.#options.state
    this.operators.tick((regionId) => regions.get(regionId), this.#now())
    for (const { id, condition } of this.cluster.stores()) {
      if (mustBeLeft(condition)) this.#patrolStore(id)
      else this.#leaving.delete(id)
    }
    if (stores.size > 0) this.#patrolKeys()
  }

  /** Stores that are being removed, and that nothing holds any more. */
  emptied(): StoreId[] {
    return this.cluster
      .stores()
      .filter(({ condition }) => condition === 'offline' || condition === 'destroyed')
      .filter(({ peers }) => peers === 0)
      .map(({ id }) => id)
  }

  /** Starts an operator that somebody asked for, or throws why not. */
  async command(command: PeerCommand): Promise<Operator> {
    const { allocate } = this.#options
    // Asked first, so that the region does not change between the checks and the start.
    const adds = command.kind === 'add-peer' || command.kind === 'transfer-peer'
    const peerId = adds ? await allocate(1) : NO_ID
    const record = this.#mustBeFree(command.regionId)
    const plan = planOfCommand(command, this.cluster, record)
    const operator = this.#operatorOf(plan, record, 'admin', peerId)
    const verdict = judge(operator.step!, record, this.cluster)
    if (verdict.kind === 'cancel') throw refused(verdict.reason)
    this.operators.start(operator, record, this.#now())
    return operator
  }

  cancel(regionId: RegionId): void {
    if (this.operators.cancel(regionId, 'removed by an administrator', this.#now())) return
    throw new PolyraftError('NotFound', `region ${regionId} has no operator under way`, {
      regionId,
    })
  }

  #now(): number {
    return this.#options.clock.monotonicMs()
  }

  #mustBeFree(regionId: RegionId): RegionRecord {
    const record = this.#options.state.regions.get(regionId)
    if (record === undefined) {
      throw new PolyraftError('NotFound', `PD knows no region with the id ${regionId}`, {
        regionId,
      })
    }
    const running = this.operators.get(regionId)
    if (running === undefined) return record
    throw refused(
      `region ${regionId} has an operator under way (${running.reason}): wait for it, ` +
        `or end it with polyraft ctl operator remove ${regionId}`,
    )
  }

  #patrolStore(storeId: StoreId): void {
    const { regions } = this.#options.state
    const ids = this.#leaving.get(storeId) ?? regions.regionsOn(storeId).values()
    this.#leaving.set(storeId, ids)
    for (let left = this.#options.config.patrolRegions; left > 0; left--) {
      if (!this.operators.hasRoom) return
      const next = ids.next()
      if (next.done) {
        this.#leaving.delete(storeId)
        return
      }
      this.#check(regions.get(next.value)!)
    }
  }

  #patrolKeys(): void {
    const { regions } = this.#options.state
    const found = regions.scan(this.#cursor, EMPTY_BYTES, this.#options.config.patrolRegions)
    for (const record of found) {
      if (!this.operators.hasRoom) return
      this.#check(record)
      this.#cursor = record.region.endKey
    }
    if (found.length < this.#options.config.patrolRegions) this.#cursor = EMPTY_BYTES
  }

  #check(record: RegionRecord): void {
    const busy = this.operators.get(record.region.id) !== undefined
    if (busy || !this.operators.hasRoom) return
    this.checks++
    const plan = checkReplicas(this.cluster, record)
    if (plan === undefined) return
    const peerId = plan.add === undefined ? NO_ID : this.#ids.take()
    if (peerId === undefined) return
    const operator = this.#operatorOf(plan, record, 'checker', peerId)
    if (judge(operator.step!, record, this.cluster).kind === 'cancel') return
    this.operators.start(operator, record, this.#now())
  }

  #operatorOf(
    plan: PeerPlan,
    record: RegionRecord,
    origin: OperatorOrigin,
    newPeerId: PeerId,
  ): Operator {
    return new Operator({
      regionId: record.region.id,
      reason: plan.reason,
      origin,
      steps: stepsOf(plan, newPeerId),
      epoch: record.region.epoch,
      nowMs: this.#now(),
    })
  }
}

function refused(message: string): PolyraftError {
  return new PolyraftError('InvalidArgument', message)
}
