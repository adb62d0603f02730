/**
 * The operators under way: at most one a region. Each look at a region, by a heartbeat or a tick,
 * moves its operator on, sends the order of its step (again, when nothing came of it), or ends it.
 * All of it is in memory: after a restart of PD the checkers find what is left to do.
 *
 * INVARIANT: every order was judged against the newest record of its region and its stores.
 */
import { assert } from '../../base/assert.ts'
import type { RegionId, StoreId } from '../../base/ids.ts'
import type { Logger } from '../../base/logger.ts'
import type { ClusterFacts } from '../checkers/cluster.ts'
import type { RegionOrder } from '../port.ts'
import type { RegionRecord } from '../region-tree.ts'
import type { ScheduleConfig } from '../schedule-config.ts'
import type { EndedOperator, Operator, OperatorOutcome } from './operator.ts'
import { describeStep, isDone, judge, orderOf } from './step.ts'

/** Ended operators that are remembered, for those who ask what became of them. */
const ENDED_MAX = 1024

export interface ControllerOptions {
  readonly config: ScheduleConfig
  readonly cluster: ClusterFacts
  readonly logger: Logger
  /** False when the region's leader cannot be reached now. */
  readonly send: (order: RegionOrder) => boolean
}

export class OperatorController {
  readonly counters = { started: 0, success: 0, timeout: 0, cancel: 0, orders: 0 }
  readonly #options: ControllerOptions
  readonly #running = new Map<RegionId, Operator>()
  /** In the order of their ends. */
  readonly #ended = new Map<RegionId, EndedOperator>()
  /** Operators that give a store a new peer. */
  readonly #adding = new Map<StoreId, number>()
  #ofCheckers = 0

  constructor(options: ControllerOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#running.size
  }

  get hasRoom(): boolean {
    return this.#ofCheckers < this.#options.config.replicaScheduleLimit
  }

  all(): IterableIterator<Operator> {
    return this.#running.values()
  }

  get(regionId: RegionId): Operator | undefined {
    return this.#running.get(regionId)
  }

  ended(regionId: RegionId): EndedOperator | undefined {
    return this.#ended.get(regionId)
  }

  addingTo(storeId: StoreId): number {
    return this.#adding.get(storeId) ?? 0
  }

  /** Takes an operator and sends its first order. */
  start(operator: Operator, record: RegionRecord, nowMs: number): void {
    const { regionId, reason, origin, addsTo } = operator
    assert(!this.#running.has(regionId), `region ${regionId} has an operator`)
    assert(operator.step !== undefined, `operator ${reason} has no steps`)
    this.#running.set(regionId, operator)
    if (addsTo !== undefined) this.#adding.set(addsTo, this.addingTo(addsTo) + 1)
    if (origin === 'checker') this.#ofCheckers++
    this.counters.started++
    const steps = operator.steps.map(describeStep)
    this.#options.logger.info({ regionId, reason, origin, steps }, 'operator started')
    this.advance(record, nowMs)
  }

  /** Looks at a region anew. */
  advance(record: RegionRecord, nowMs: number): void {
    const operator = this.#running.get(record.region.id)
    if (operator === undefined) return
    while (operator.step !== undefined && isDone(operator.step, record)) operator.nextStep(nowMs)
    const { step } = operator
    if (operator.isOvertaken(record)) {
      this.#end(operator, 'cancel', 'the replicas were changed by somebody else', nowMs)
    } else if (step === undefined) this.#end(operator, 'success', '', nowMs)
    else {
      const verdict = judge(step, record, this.#options.cluster)
      if (verdict.kind === 'cancel') this.#end(operator, 'cancel', verdict.reason, nowMs)
      else if (verdict.kind === 'send') this.#maybeSend(operator, record, nowMs)
    }
  }

  /** Orders that went nowhere, and operators that lost their time or their region. */
  tick(regionOf: (regionId: RegionId) => RegionRecord | undefined, nowMs: number): void {
    for (const operator of this.#running.values()) {
      const record = regionOf(operator.regionId)
      if (record === undefined) this.#end(operator, 'cancel', 'the region is gone', nowMs)
      else {
        this.advance(record, nowMs)
        this.#maybeTimeOut(operator, nowMs)
      }
    }
  }

  /** False when the region has none. */
  cancel(regionId: RegionId, note: string, nowMs: number): boolean {
    const operator = this.#running.get(regionId)
    if (operator === undefined) return false
    this.#end(operator, 'cancel', note, nowMs)
    return true
  }

  #maybeSend(operator: Operator, record: RegionRecord, nowMs: number): void {
    const { sentAtMs } = operator
    if (sentAtMs !== undefined && nowMs - sentAtMs < this.#options.config.resendMs) return
    if (!this.#options.send(orderOf(operator.step!, record))) return
    operator.sentAtMs = nowMs
    this.counters.orders++
  }

  #maybeTimeOut(operator: Operator, nowMs: number): void {
    if (this.#running.get(operator.regionId) !== operator || operator.step === undefined) return
    if (nowMs - operator.stepAtMs <= this.#options.config.operatorTimeoutMs) return
    const note = `no progress in: ${describeStep(operator.step)}`
    this.#end(operator, 'timeout', note, nowMs)
  }

  #end(operator: Operator, outcome: OperatorOutcome, note: string, nowMs: number): void {
    const { regionId, reason, origin, addsTo } = operator
    this.#running.delete(regionId)
    if (addsTo !== undefined) this.#adding.set(addsTo, this.addingTo(addsTo) - 1)
    if (origin === 'checker') this.#ofCheckers--
    this.counters[outcome]++
    this.#ended.delete(regionId)
    this.#ended.set(regionId, { operator, outcome, note, endedAtMs: nowMs })
    if (this.#ended.size > ENDED_MAX) this.#ended.delete(this.#ended.keys().next().value!)
    this.#options.logger.info({ regionId, reason, outcome, note }, 'operator ended')
  }
}
