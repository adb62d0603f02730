/** Says how far a long recovery is, so that nobody takes it for one that hangs. */

import { MIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'

const EVERY_MS = 2000

export class RecoveryProgress {
  readonly #logger: Logger
  readonly #now: () => number
  readonly #bytes: number
  readonly #segments: number
  readonly #start: number
  #lastTold: number
  #done = 0
  #segmentsDone = 0

  constructor(bytes: number, segments: number, logger: Logger, now: () => number) {
    this.#logger = logger
    this.#now = now
    this.#bytes = bytes
    this.#segments = segments
    this.#start = now()
    this.#lastTold = this.#start
  }

  /** A segment of so many bytes was read. */
  segment(bytes: number): void {
    this.#done += bytes
    this.#segmentsDone++
    const now = this.#now()
    if (now - this.#lastTold < EVERY_MS) return
    this.#lastTold = now
    const elapsed = now - this.#start
    const secondsLeft = Math.round((elapsed / this.#done) * (this.#bytes - this.#done)) / 1000
    this.#logger.info({ ...this.#fields(elapsed), secondsLeft }, 'raft log: recovering')
  }

  finish(regions: number): void {
    const elapsed = this.#now() - this.#start
    if (this.#segments === 0) return
    this.#logger.info({ ...this.#fields(elapsed), regions }, 'raft log: recovered')
  }

  #fields(elapsedMs: number) {
    return {
      segments: `${this.#segmentsDone} of ${this.#segments}`,
      MiB: `${Math.round(this.#done / MIB)} of ${Math.round(this.#bytes / MIB)}`,
      ms: Math.round(elapsedMs),
    }
  }
}
