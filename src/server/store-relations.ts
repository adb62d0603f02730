/** Relations between settings of a store that safety or sense rests on, in the names of whoever asks. */
import { electionTimeoutMs } from '../peer/ports.ts'
import type { StoreConfig } from '../store/config.ts'

export interface BrokenRelation {
  readonly field: keyof StoreConfig
  /** What the field must be: "must be below …". */
  readonly problem: string
}

/** `nameOf`: what its user calls another field. */
export function brokenRelation(
  config: StoreConfig,
  nameOf: (field: keyof StoreConfig) => string,
): BrokenRelation | undefined {
  const electionMs = electionTimeoutMs(config)
  if (config.raftHeartbeatTicks >= config.raftElectionTimeoutTicks) {
    const problem = `must be below ${nameOf('raftElectionTimeoutTicks')}`
    return { field: 'raftHeartbeatTicks', problem }
  }
  if (config.raftStoreMaxLeaderLeaseMs > electionMs - config.raftBaseTickIntervalMs) {
    const problem = `must be at least one tick shorter than the election time-out (${electionMs} ms)`
    return { field: 'raftStoreMaxLeaderLeaseMs', problem }
  }
  if (config.raftEntryMaxSize > config.inflightBytesMax) {
    const problem = `must hold at least one entry of ${nameOf('raftEntryMaxSize')}`
    return { field: 'inflightBytesMax', problem }
  }
  return undefined
}
