/** How eagerly PD repairs, in one place. Times in milliseconds. */
import { assert } from '../base/assert.ts'

export interface ScheduleConfig {
  /** Silence after which the peers of a store are replaced. */
  readonly maxStoreDownMs: number
  /** An operator whose step makes no progress for this long ends. */
  readonly operatorTimeoutMs: number
  /**
   * An order that was not carried out is sent again after this long. A follower that has not applied
   * a membership change yet declines to campaign, so moving a leader right behind one takes two.
   */
  readonly resendMs: number
  /** Operators of the replica checker under way at once. */
  readonly replicaScheduleLimit: number
  /** Operators that give one store a new peer, and so a snapshot, under way at once. */
  readonly addingPeersMax: number
  /** Regions that one tick looks at, on each store that is being left and in the whole. */
  readonly patrolRegions: number
}

export const SCHEDULE_DEFAULT: ScheduleConfig = {
  maxStoreDownMs: 30 * 60_000,
  operatorTimeoutMs: 10 * 60_000,
  resendMs: 2_000,
  replicaScheduleLimit: 64,
  addingPeersMax: 8,
  patrolRegions: 128,
}

/** A store sends a heartbeat every ten seconds: one that missed two is disconnected. */
export const DISCONNECTED_AFTER_MS = 20_000

/**
 * Least maxStoreDownMs that an operator may choose; programs may choose less. Below it a pause that
 * is nothing would have all replicas of a store made anew.
 */
export const STORE_DOWN_MS_MIN = DISCONNECTED_AFTER_MS + 10_000

export function scheduleConfig(changes: Partial<ScheduleConfig> = {}): ScheduleConfig {
  const config = { ...SCHEDULE_DEFAULT, ...changes }
  for (const [name, value] of Object.entries(config)) {
    assert(Number.isFinite(value) && value > 0, `${name} is ${value}`)
  }
  return config
}
