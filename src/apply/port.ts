/**
 * Apply as its callers see it: committed entries go in, results come back, per region in order.
 * The apply pool runs in worker threads; a simulator runs the same code in virtual time.
 *
 * INVARIANTS
 * - A region's tasks are applied by one worker, in the order of the calls.
 * - A result is told only after its writes are in the engine; its apply state may follow.
 * - appliedIndex of a region's results never falls, and never passes what was handed in.
 */
import type { LogIndex, RegionId, Term } from '../base/ids.ts'
import type { Entry } from '../raft/types.ts'
import type { Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'

export interface ApplyTask {
  readonly regionId: RegionId
  /** Contiguous, continuing where the region's previous task ended. */
  readonly entries: readonly Entry[]
}

/** A deterministic refusal of a whole entry: the same on every replica. */
export interface ApplyRejection {
  readonly index: LogIndex
  readonly code: 'EpochNotMatch' | 'InvalidChange'
}

export interface ApplyResult {
  readonly regionId: RegionId
  readonly appliedIndex: LogIndex
  readonly appliedTerm: Term
  /** Ascending by index; empty almost always. */
  readonly rejections: readonly ApplyRejection[]
  readonly writtenKeys: number
  readonly writtenBytes: number
  /** The log up to here is not needed any more, and never will be: the engine's state is on disk. */
  readonly truncatedIndex?: LogIndex | undefined
  /** The replica applied its own removal: what it was handed behind that is never applied. */
  readonly removed?: true | undefined
}

/** The state of a region behind everything it was handed before, fixed while it does not apply. */
export interface SnapshotPinned {
  readonly regionId: RegionId
  readonly id: number
  /** Undefined when the region is not here any more. */
  readonly region: Region | undefined
  readonly index: LogIndex
  readonly term: Term
}

export interface SnapshotResult {
  readonly regionId: RegionId
  /** The caller's, given to snapshot(). */
  readonly id: number
  /** Describes the files, in the form that travels; undefined when it failed, as `error` says. */
  readonly meta: Uint8Array | undefined
  readonly error: string
}

export interface ApplyEvents {
  /** All results of one worker round. */
  onApplied(results: ApplyResult[]): void
  onSnapshot(result: SnapshotResult): void
  /** Applying failed: fatal to the store. */
  onFailed(error: Error): void
}

export interface ApplyClient {
  /** Starts applying a region from `state`. */
  register(region: Region, state: ApplyState): void
  /** Queues into the round. */
  apply(task: ApplyTask): void
  /**
   * As apply(), for entries that nobody waits for, as on a follower: they may be held back for a
   * few milliseconds, to share the work of later rounds.
   */
  applyLater(task: ApplyTask): void
  /** Somebody waits for the region after all: what was held back goes with this round. */
  hurry(regionId: RegionId): void
  /**
   * Builds a snapshot of the region as it is behind all tasks handed in so far, while later ones
   * are applied. Ends in one onSnapshot with this id.
   */
  snapshot(regionId: RegionId, id: number): void
  /** The region's snapshot is not wanted any more: it ends early if it can. */
  cancelSnapshot(regionId: RegionId): void
  /** Stops applying a region; results of earlier tasks still come. */
  destroy(regionId: RegionId): void
  /** Ends the round: at most one message to each worker. */
  flush(): void
  /** Waits for all handed-in work, then stops the workers. */
  close(): Promise<void>
}
