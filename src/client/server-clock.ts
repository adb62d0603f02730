/**
 * What the clock of a store shows, as far as its client can tell.
 *
 * INVARIANT: `atLeast` is never ahead of the store's clock, so that what expires by it has expired
 * there too. An answer was some time under way, and the clocks of two machines do not go at quite the
 * same speed: both only put it further behind. A store whose machine was suspended, so that its clock
 * stood still, runs nothing more of the stream and ends it (server/batch-stream.ts).
 */

/** Far above what clocks differ by. A stream at rest for hours is behind by seconds until it is told. */
const DRIFT = 0.001

export class ServerClock {
  #toldMs = 0
  #atMs = 0

  get known(): boolean {
    return this.#toldMs > 0
  }

  /** The store said so, and it was heard at `nowMs`. */
  told(clockMs: number, nowMs: number): void {
    if (this.known && clockMs <= this.atLeast(nowMs)) return
    this.#toldMs = clockMs
    this.#atMs = nowMs
  }

  atLeast(nowMs: number): number {
    return this.#toldMs + (nowMs - this.#atMs) * (1 - DRIFT)
  }
}
