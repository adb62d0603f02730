/** How much of the machine's processors is idle, by the operating system's own count. */
import { cpus } from 'node:os'
import type { Clock } from '../base/clock.ts'

/** Systems count in ticks of 10 ms: below this a share would be noise. */
const SAMPLE_MS = 250

export interface ProcessorTimes {
  readonly idleMs: number
  readonly totalMs: number
}

export class MachineLoad {
  readonly #clock: Clock
  readonly #read: () => ProcessorTimes
  #sampledAtMs = Number.NEGATIVE_INFINITY
  #last: ProcessorTimes
  #idleShare = 1

  constructor(clock: Clock, read: () => ProcessorTimes = readProcessorTimes) {
    this.#clock = clock
    this.#read = read
    this.#last = read()
  }

  /** 0 to 1, since the sample before the last one; 1 before there was any. */
  idleShare(): number {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - this.#sampledAtMs < SAMPLE_MS) return this.#idleShare
    this.#sampledAtMs = nowMs
    const times = this.#read()
    const totalMs = times.totalMs - this.#last.totalMs
    if (totalMs <= 0) return this.#idleShare
    this.#idleShare = Math.min(1, Math.max(0, (times.idleMs - this.#last.idleMs) / totalMs))
    this.#last = times
    return this.#idleShare
  }
}

function readProcessorTimes(): ProcessorTimes {
  let idleMs = 0
  let totalMs = 0
  for (const { times } of cpus()) {
    idleMs += times.idle
    totalMs += times.idle + times.user + times.nice + times.sys + times.irq
  }
  return { idleMs, totalMs }
}
