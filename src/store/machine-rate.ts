/** Rate limits for snapshots as they are on a real machine: with rest when it is busy. */
import { machineClock, machineLater } from '../base/node-clock.ts'
import { MachineLoad } from '../env/machine-load.ts'
import { RateLimit, type RestRatio, restRatio } from './rate-limit.ts'

/** One for each thread: it samples. */
export function machineRest(): RestRatio {
  const load = new MachineLoad(machineClock)
  return () => restRatio(load.idleShare())
}

/** `workFactor`: all the work that a piece makes, by what its caller does of it. */
export function machineRateLimit(bytesPerSec: number, workFactor = 1): RateLimit {
  const rest = machineRest()
  return new RateLimit(bytesPerSec, machineClock, machineLater, () => workFactor * rest())
}
