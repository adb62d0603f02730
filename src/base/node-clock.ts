/** The machine's clock and chance, and rounds on its event loop. */
import type { Clock, Later, Random, RoundScheduler } from './clock.ts'

export const machineClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
}

export const machineRandom: Random = {
  below: (bound) => Math.floor(Math.random() * bound),
}

export const machineLater: Later = (delayMs, run) => {
  const timer = setTimeout(run, delayMs)
  return () => clearTimeout(timer)
}

/** setImmediate runs behind everything that one poll of the event loop brought: one round serves it. */
export const eventLoopScheduler: RoundScheduler = {
  schedule: (run) => {
    setImmediate(run)
  },
}
