/** How long to wait before the next attempt: exponential, with jitter, by what went wrong. */
import type { Random } from '../base/clock.ts'

export interface BackoffCurve {
  readonly baseMs: number
  readonly maxMs: number
}

/** An election is under way, or a replica lags behind: usually over within a second or two. */
export const ELECTION_BACKOFF: BackoffCurve = { baseMs: 10, maxMs: 200 }
/** A store does not answer; short enough that a restarted one is found soon. */
export const CONNECTION_BACKOFF: BackoffCurve = { baseMs: 20, maxMs: 300 }
export const BUSY_BACKOFF: BackoffCurve = { baseMs: 20, maxMs: 1000 }
export const DISK_FULL_BACKOFF: BackoffCurve = { baseMs: 200, maxMs: 2000 }
export const PD_BACKOFF: BackoffCurve = { baseMs: 20, maxMs: 500 }

const EXPONENT_MAX = 16

/** Between half of the curve's value and all of it, so that callers do not return in step. */
export function backoffMs(curve: BackoffCurve, failures: number, random: Random): number {
  const full = Math.min(curve.maxMs, curve.baseMs * 2 ** Math.min(failures, EXPONENT_MAX))
  const half = Math.ceil(full / 2)
  return half + random.below(half + 1)
}
