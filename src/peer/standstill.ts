/**
 * Time that the monotonic clock does not know of. It stands still while the machine is suspended, and
 * with it a leader's lease, while others elect a leader and take writes. The wall clock goes on: it has
 * gained on the other one when the machine wakes.
 *
 * A wall clock that is set forwards looks the same, and costs leaders one question to a quorum. One that
 * is set back, or stood still itself as those of some virtual machines do, tells nothing.
 *
 * INVARIANT: looked at before anything of a round is handled. What the round was given had arrived when
 * it began: should the machine stop within it, the lease still held between question and answer.
 */

/** Both clocks follow one oscillator: between two looks they part by what it takes to read them. */
const GAIN_MS_MAX = 25

export class Standstill {
  /** Monotonic: what was sent up to here may be older than it seems. */
  endedMs = Number.NEGATIVE_INFINITY
  /** Of the wall clock before the monotonic one, at the last look. */
  #aheadMs = Number.POSITIVE_INFINITY

  /** Once a round; answers as gainedMs() does, and from now on nothing from before counts. */
  look(nowMs: number, wallMs: number): number {
    const gainedMs = this.gainedMs(nowMs, wallMs)
    this.#aheadMs = wallMs - nowMs
    if (gainedMs > 0) this.endedMs = nowMs
    return gainedMs
  }

  /** How long the monotonic clock stood still since the last look; 0 if nothing speaks for it. */
  gainedMs(nowMs: number, wallMs: number): number {
    const gainedMs = wallMs - nowMs - this.#aheadMs
    return gainedMs > GAIN_MS_MAX ? gainedMs : 0
  }
}
