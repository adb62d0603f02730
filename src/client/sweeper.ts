/**
 * The one timer of a client. It runs only while something is pending: coarsely for deadlines, and
 * finer while something backs off. `sweep` does what is due and says when to come again.
 */

/** How late a deadline may be noticed. */
export const SWEEP_MS = 50
/** Wake-ups closer together than this share one sweep. */
const WAKE_MS_MIN = 5

/** Monotonic time at which the next sweep is wanted; undefined = nothing is pending. */
export type Sweep = () => number | undefined

export class Sweeper {
  #sweep: Sweep
  #nowMs: () => number
  #timer: NodeJS.Timeout | undefined = undefined
  #dueMs = Number.POSITIVE_INFINITY

  constructor(sweep: Sweep, nowMs: () => number) {
    this.#sweep = sweep
    this.#nowMs = nowMs
  }

  get running(): boolean {
    return this.#timer !== undefined
  }

  /** Makes sure that a sweep comes at `dueMs` or before. */
  wake(dueMs: number, nowMs: number): void {
    if (this.#timer !== undefined) {
      if (this.#dueMs <= dueMs + WAKE_MS_MIN) return
      clearTimeout(this.#timer)
    }
    this.#dueMs = Math.max(dueMs, nowMs + WAKE_MS_MIN)
    this.#timer = setTimeout(this.#run, this.#dueMs - nowMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#dueMs = Number.POSITIVE_INFINITY
  }

  #run = (): void => {
    this.stop()
    const dueMs = this.#sweep()
    if (dueMs !== undefined) this.wake(dueMs, this.#nowMs())
  }
}
