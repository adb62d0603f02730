/** A change of one region under way: its steps, the one it is at, and what became of it. */
import type { RegionId, StoreId } from '../../base/ids.ts'
import type { RegionEpoch } from '../../region/region.ts'
import type { RegionRecord } from '../region-tree.ts'
import { confChanges, type Step } from './step.ts'

export type OperatorOrigin = 'checker' | 'admin'
export type OperatorOutcome = 'success' | 'timeout' | 'cancel'

export interface OperatorStart {
  readonly regionId: RegionId
  readonly reason: string
  readonly origin: OperatorOrigin
  readonly steps: readonly Step[]
  /** Of the region for which it was planned. */
  readonly epoch: RegionEpoch
  /** Monotonic. */
  readonly nowMs: number
}

export class Operator {
  readonly regionId: RegionId
  readonly reason: string
  readonly origin: OperatorOrigin
  readonly steps: readonly Step[]
  readonly startedAtMs: number
  readonly #startConfVer: number
  stepIndex = 0
  stepAtMs: number
  /** When the order of the present step left last; undefined = not yet. */
  sentAtMs: number | undefined = undefined

  constructor(start: OperatorStart) {
    this.regionId = start.regionId
    this.reason = start.reason
    this.origin = start.origin
    this.steps = start.steps
    this.startedAtMs = start.nowMs
    this.stepAtMs = start.nowMs
    this.#startConfVer = start.epoch.confVer
  }

  /** Undefined = all are done. */
  get step(): Step | undefined {
    return this.steps[this.stepIndex]
  }

  /** The store that gets a new peer. */
  get addsTo(): StoreId | undefined {
    const add = this.steps.find((step) => step.kind === 'add-learner')
    return add?.peer.storeId
  }

  nextStep(nowMs: number): void {
    this.stepIndex++
    this.stepAtMs = nowMs
    this.sentAtMs = undefined
  }

  /** Whether somebody else changed the region's replicas since the operator was planned. */
  isOvertaken(record: RegionRecord): boolean {
    let own = 0
    for (let i = 0; i < this.stepIndex; i++) {
      own += this.steps[i]!.kind === 'transfer-leader' ? 0 : 1
    }
    if (this.step !== undefined) own += confChanges(this.step, record)
    return record.region.epoch.confVer - this.#startConfVer > own
  }
}

/** What is left of an operator that ended. */
export interface EndedOperator {
  readonly operator: Operator
  readonly outcome: OperatorOutcome
  /** Why, unless it succeeded. */
  readonly note: string
  readonly endedAtMs: number
}
