/** Bytes a second, shared by all that take from it; those who come too early wait their turn. */
import type { Clock, Later } from '../base/clock.ts'

export class RateLimit {
  readonly #bytesPerMs: number
  readonly #clock: Clock
  readonly #later: Later
  /** Everything taken so far is paid for at this time. */
  #paidMs = 0

  constructor(bytesPerSecond: number, clock: Clock, later: Later) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#clock = clock
    this.#later = later
  }

  /** Resolves when the bytes may be moved. */
  take(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs, this.#paidMs)
    this.#paidMs = startMs + bytes / this.#bytesPerMs
    if (startMs <= nowMs) return Promise.resolve()
    return new Promise((resolve) => void this.#later(startMs - nowMs, resolve))
  }
}
