/**
 * How far a leader's log can be compacted: the rule, free of effects.
 *
 *   first ……… replicated ……… applied … last
 *     └─ gentle ─┘   every replica has these; done when there are enough, or after some looks
 *     └──── forced ────┘   too many, too large, or in files that have to go: a replica that lacks
 *                          them gets a snapshot
 *
 * INVARIANTS
 * - Never past what is applied and persisted here; the newest entries always stay.
 * - What a snapshot on its way leads on to stays too, or the replica would need another one at once;
 *   unless the log has grown to twice its limits meanwhile. When snapshots came too late for that,
 *   one after another, the next one gets more time.
 */
import type { LogIndex } from '../base/ids.ts'

/**
 * Entries behind the first from which on a log is looked at: a compaction leaves two, its own entry
 * among them, so that a region at rest comes to rest.
 */
export const ENTRIES_KEPT = 3
/** Times the limits at which even a snapshot on its way cannot hold the log back. */
const HOLD_FACTOR = 2
/** Times that, for each snapshot that came too late; for so many at most, since disks are finite. */
const LATE_FACTOR = 4
const LATE_MAX = 2

export interface LogGcView {
  readonly first: LogIndex
  readonly last: LogIndex
  readonly applied: LogIndex
  readonly persisted: LogIndex
  /** Every replica is known to have this. */
  readonly replicated: LogIndex
  /** Lowest index of a snapshot that is on its way; infinite when none is. */
  readonly snapshot: LogIndex
  /** Snapshots in a row that the log had left behind when they were ready. */
  readonly late: number
  /** Bytes of the log, roughly. */
  readonly bytes: number
}

export interface LogGcLimits {
  readonly raftLogGcThreshold: number
  readonly raftLogGcCountLimit: number
  readonly raftLogGcSizeLimit: number
  readonly raftLogReserveMaxTicks: number
}

/**
 * The last index to compact; 'wait' when a gentle compaction is not worth its while yet; undefined
 * when there is nothing to compact.
 */
export function compactIndex(
  view: LogGcView,
  limits: LogGcLimits,
  skippedTicks: number,
  forcedIndex: LogIndex = 0,
): LogIndex | 'wait' | undefined {
  if (view.last - view.first < ENTRIES_KEPT) return undefined
  const usual = isOver(view, limits, 1) ? forced(view, limits) : gentle(view, limits, skippedTicks)
  // The entry at the target stays.
  const asked = forcedIndex < view.first ? 0 : Math.min(forcedIndex + 1, view.snapshot)
  const target = asked > (typeof usual === 'number' ? usual : 0) ? asked : usual
  if (typeof target !== 'number') return target
  // The entry at the target itself stays, so that a replica there can be probed.
  const index = Math.min(target, view.applied, view.persisted) - 1
  return index < view.first ? undefined : index
}

function isOver(
  { applied, first, bytes }: LogGcView,
  limits: LogGcLimits,
  factor: number,
): boolean {
  return (
    applied - first >= limits.raftLogGcCountLimit * factor ||
    bytes >= limits.raftLogGcSizeLimit * factor
  )
}

function forced(view: LogGcView, limits: LogGcLimits): LogIndex {
  const { first, last, replicated, snapshot } = view
  const target = Math.max(first + Math.floor((last - first) / 2), replicated)
  const hold = HOLD_FACTOR * LATE_FACTOR ** Math.min(view.late, LATE_MAX)
  return isOver(view, limits, hold) ? target : Math.min(target, snapshot)
}

function gentle(
  { first, replicated, snapshot }: LogGcView,
  limits: LogGcLimits,
  skippedTicks: number,
): LogIndex | 'wait' | undefined {
  const target = Math.min(replicated, snapshot)
  if (target <= first) return undefined
  const few = target - first < limits.raftLogGcThreshold
  return few && skippedTicks < limits.raftLogReserveMaxTicks ? 'wait' : target
}
