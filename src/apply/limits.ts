/**
 * When an apply round writes early, when a region gives way, and how far its apply state on disk may
 * be behind its data. Defaults are TiKV's, but for the lag: TiKV writes the state with every batch.
 */
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
  /** The apply state is written once it would be so many operations behind the data … */
  readonly stateLagOpsMax: number
  /** … or so many bytes. */
  readonly stateLagBytesMax: number
}

export const DEFAULT_APPLY_LIMITS: ApplyLimits = {
  batchOpsMax: 256,
  batchBytesMax: MIB,
  yieldBytes: 32 * KIB,
  yieldMs: 500,
  regionsMax: 256,
  tasksMax: 4096,
  stateLagOpsMax: 64,
  stateLagBytesMax: MIB,
}
