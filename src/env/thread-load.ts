/**
 * How hard it is for this thread to get on: the share of time in which it ran, and in which it could
 * have run but waited for a processor. The second tells of a machine that has too few of them,
 * whoever takes them.
 */
import { readFileSync } from 'node:fs'
import type { Clock } from '../base/clock.ts'

/** Of Linux: nanoseconds on a processor, nanoseconds of waiting for one, time slices. */
const SCHEDULER_FILE = '/proc/thread-self/schedstat'

export interface ThreadTimes {
  readonly ranMs: number
  readonly waitedMs: number
}

/** Shares of the time between two looks, 0 to 1. */
export interface LoadShares {
  readonly ran: number
  readonly waited: number
}

const NO_LOAD: LoadShares = { ran: 0, waited: 0 }

export class ThreadLoad {
  readonly #clock: Clock
  readonly #read: () => ThreadTimes
  #lookedAtMs: number
  #last: ThreadTimes

  constructor(clock: Clock, read: () => ThreadTimes = readThreadTimes) {
    this.#clock = clock
    this.#read = read
    this.#lookedAtMs = clock.monotonicMs()
    this.#last = read()
  }

  /** Since the last look. To be called on the thread that is meant. */
  look(): LoadShares {
    const nowMs = this.#clock.monotonicMs()
    const times = this.#read()
    const elapsedMs = nowMs - this.#lookedAtMs
    const last = this.#last
    this.#lookedAtMs = nowMs
    this.#last = times
    if (elapsedMs <= 0) return NO_LOAD
    return {
      ran: clamp((times.ranMs - last.ranMs) / elapsedMs),
      waited: clamp((times.waitedMs - last.waitedMs) / elapsedMs),
    }
  }
}

function clamp(share: number): number {
  return Math.min(1, Math.max(0, share))
}

/** Where the system does not tell, what the event loop was busy stands for having run. */
export function readThreadTimes(): ThreadTimes {
  return readSchedulerTimes() ?? { ranMs: performance.eventLoopUtilization().active, waitedMs: 0 }
}

let hasSchedulerFile = true

function readSchedulerTimes(): ThreadTimes | undefined {
  if (!hasSchedulerFile) return undefined
  try {
    const [ran, waited] = readFileSync(SCHEDULER_FILE, 'latin1').split(' ')
    return { ranMs: Number(ran) / 1e6, waitedMs: Number(waited) / 1e6 }
  } catch {
    // Another system, or a kernel without it: it will not come later.
    hasSchedulerFile = false
    return undefined
  }
}
