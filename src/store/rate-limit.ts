/**
 * Bytes a second, shared by all that take from it; those who come too early wait their turn.
 *
 * It also leaves a busy machine to requests: after each piece there is rest, a multiple of the time that
 * the piece took. A machine with idle processors needs none, and the rate is what counts.
 */
import type { Clock, Later } from '../base/clock.ts'
import { MIB } from '../base/limits.ts'

/** Rest for each millisecond of work. */
export type RestRatio = () => number

/** Idle processors above this share: no rest … */
const IDLE_PLENTY = 0.6
/** … below this one: the most. */
const IDLE_LITTLE = 0.3
/** A ninth of the time is work then. */
const REST_MAX = 8
/** Rest alone never makes it slower than this: a machine that is slow as well must get done, too. */
const RESTED_BYTES_PER_MS_MIN = (12 * MIB) / 1000
/** What lies between two takes is no longer work of one piece above this. */
const WORK_MS_MAX = 20

export function restRatio(idleShare: number): number {
  const busy = (IDLE_PLENTY - idleShare) / (IDLE_PLENTY - IDLE_LITTLE)
  return REST_MAX * Math.min(1, Math.max(0, busy))
}

export class RateLimit {
  readonly #bytesPerMs: number
  readonly #clock: Clock
  readonly #later: Later
  readonly #rest: RestRatio
  /** Everything taken so far is paid for at this time. */
  #paidMs = 0
  /** When the last one could begin, and how much it took. */
  #startedMs = Number.NEGATIVE_INFINITY
  #startedBytes = 0
  #stopped = false
  readonly #waiting = new Set<{ cancel: () => void; readonly resolve: () => void }>()

  constructor(bytesPerSecond: number, clock: Clock, later: Later, rest: RestRatio) {
    this.#bytesPerMs = bytesPerSecond / 1000
    this.#clock = clock
    this.#later = later
    this.#rest = rest
  }

  /** Resolves when the bytes may be moved; the caller takes again when it is done with them. */
  take(bytes: number): Promise<void> {
    const nowMs = this.#clock.monotonicMs()
    const startMs = Math.max(nowMs + this.#restMs(nowMs), this.#paidMs)
    this.#startedMs = startMs
    this.#startedBytes = bytes
    this.#paidMs = startMs + bytes / this.#bytesPerMs
    if (startMs <= nowMs || this.#stopped) return Promise.resolve()
    return new Promise((resolve) => {
      const waiter = { cancel: () => {}, resolve }
      this.#waiting.add(waiter)
      waiter.cancel = this.#later(startMs - nowMs, () => {
        this.#waiting.delete(waiter)
        resolve()
      })
    })
  }

  /** None when somebody waits already, or nothing was under way. */
  #restMs(nowMs: number): number {
    const workMs = nowMs - this.#startedMs
    if (workMs <= 0 || workMs > WORK_MS_MAX) return 0
    return Math.min(workMs * this.#rest(), this.#startedBytes / RESTED_BYTES_PER_MS_MIN)
  }

  /** Nobody waits any more: whoever does would hold up the end of a thread or store. */
  stop(): void {
    this.#stopped = true
    for (const { cancel, resolve } of this.#waiting) {
      cancel()
      resolve()
    }
    this.#waiting.clear()
  }
}
