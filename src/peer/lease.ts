/**
 * How long a leader may answer reads by itself.
 *
 * A follower that took a message of this leader refuses to vote for another until an election
 * time-out has passed. So once a quorum has answered something that was sent at time T, no other
 * leader can exist before T + election time-out, and reads before T + leaseMs are safe as long as
 * leaseMs is shorter by at least the coarseness of the ticks (config asserts that).
 *
 * INVARIANTS
 * - The bound only rises while one leadership lasts, and starts from nothing with each.
 * - A leader that told another to campaign at once is suspect for the rest of its leadership: that
 *   election does not wait for time-outs, and the order to campaign may arrive arbitrarily late.
 * - What was sent before the monotonic clock stood still renews nothing, however late it is answered.
 */
import type { Standstill } from './standstill.ts'

export class Lease {
  readonly #leaseMs: number
  readonly #standstill: Pick<Standstill, 'endedMs'>
  #boundMs = Number.NEGATIVE_INFINITY
  #suspect = false

  constructor(leaseMs: number, standstill: Pick<Standstill, 'endedMs'>) {
    this.#leaseMs = leaseMs
    this.#standstill = standstill
  }

  /** A quorum answered what was sent at `sentMs` (monotonic). */
  renew(sentMs: number): void {
    if (this.#suspect) return
    const bound = sentMs + this.#leaseMs
    if (bound > this.#boundMs) this.#boundMs = bound
  }

  validAt(nowMs: number): boolean {
    return nowMs < this.#boundMs && this.#boundMs > this.#standstill.endedMs + this.#leaseMs
  }

  /** Leadership is being given away. */
  suspect(): void {
    this.#suspect = true
    this.#boundMs = Number.NEGATIVE_INFINITY
  }

  /** Leadership began or ended: nothing is known yet. */
  reset(): void {
    this.#suspect = false
    this.#boundMs = Number.NEGATIVE_INFINITY
  }
}
