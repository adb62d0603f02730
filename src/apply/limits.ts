/** When an apply round writes early and when a region gives way. Defaults are TiKV's. */
import { KIB, MIB } from '../base/limits.ts'

export interface ApplyLimits {
  /** Operations above which the batch is written before the round ends. */
  readonly batchOpsMax: number
  /** Bytes above which it is: bounds the memory of a batch whatever the size of values. */
  readonly batchBytesMax: number
  /** After an early write a region that staged this much in its turn gives way to others, … */
  readonly yieldBytes: number
  /** … and so does one whose turn took this long. */
  readonly yieldMs: number
  /** Regions that one round serves. */
  readonly regionsMax: number
  /** Tasks of one region that one round takes. */
  readonly tasksMax: number
}

export const DEFAULT_APPLY_LIMITS: ApplyLimits = {
  batchOpsMax: 256,
  batchBytesMax: MIB,
  yieldBytes: 32 * KIB,
  yieldMs: 500,
  regionsMax: 256,
  tasksMax: 4096,
}
