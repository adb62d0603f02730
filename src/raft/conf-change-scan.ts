/** Looks for membership changes that are committed but not applied: such a node must not campaign. */
import type { Log } from './log.ts'
import { EntryType } from './types.ts'

const SCAN_BYTES_MAX = 1024 * 1024

/** True also when it cannot be told now: the log is being fetched, or a snapshot is to be applied. */
export function hasUnappliedConfChange(log: Log): boolean {
  let low = log.applied + 1
  while (low <= log.commit) {
    const entries = log.entries(low, SCAN_BYTES_MAX, 0)
    if (typeof entries === 'string') return true
    for (const entry of entries) {
      if (entry.index > log.commit) return false
      if (entry.type !== EntryType.Normal) return true
    }
    low += entries.length
  }
  return false
}
