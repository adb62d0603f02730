/** Time and chance as ports: production uses the machine's, the simulator its own. */

export interface Clock {
  /**
   * Monotonic milliseconds with a fraction; only differences mean anything, and they lack what the
   * machine was suspended for. Leases use this.
   */
  monotonicMs(): number
  /** Unix milliseconds; may jump. For people and timestamps, and to notice that the other stood still. */
  wallMs(): number
}

export interface Random {
  /** Uniform integer in [0, bound). */
  below(bound: number): number
}

/**
 * Runs a batch of work soon, after the events that are already waiting: this is what turns many
 * arrivals into one poller round.
 */
export interface RoundScheduler {
  /** Calls `run` once, later, not from within this call. */
  schedule(run: () => void): void
}

/** Calls `run` once, so much later; what it answers takes that back. */
export type Later = (delayMs: number, run: () => void) => () => void

/** Small generator (mulberry32) with a seed: good enough for time-outs and tests. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0 || 0x9e3779b9
  return {
    below(bound) {
      state = (state + 0x6d2b79f5) >>> 0
      let z = state
      z = Math.imul(z ^ (z >>> 15), z | 1)
      z ^= z + Math.imul(z ^ (z >>> 7), z | 61)
      return ((z ^ (z >>> 14)) >>> 0) % bound
    },
  }
}
