/** ClusterFacts of the cluster that PD serves, at the present moment. */
import type { Clock } from '../base/clock.ts'
import type { StoreId } from '../base/ids.ts'
import type { ClusterFacts, StoreFacts } from './checkers/cluster.ts'
import { DISCONNECTED_AFTER_MS, type ScheduleConfig } from './schedule-config.ts'
import type { PdState } from './state.ts'
import { isGone, storeCondition } from './store-condition.ts'
import type { StoreRecord } from './store-table.ts'

/** A disk with less room than this takes no new peers. */
const AVAILABLE_SHARE_MIN = 0.05

export interface LiveClusterOptions {
  readonly state: PdState
  readonly config: ScheduleConfig
  readonly clock: Clock
  /** Operators that give the store a new peer. */
  readonly addingTo: (storeId: StoreId) => number
}

export class LiveCluster implements ClusterFacts {
  readonly #options: LiveClusterOptions

  constructor(options: LiveClusterOptions) {
    this.#options = options
  }

  get replicas(): number {
    return this.#options.state.maxPeerCount
  }

  store(storeId: StoreId): StoreFacts | undefined {
    const record = this.#options.state.stores.get(storeId)
    return record && this.#factsOf(record)
  }

  stores(): readonly StoreFacts[] {
    const facts: StoreFacts[] = []
    for (const record of this.#options.state.stores.all()) facts.push(this.#factsOf(record))
    return facts.sort((a, b) => a.id - b.id)
  }

  #factsOf({ meta, stats, heardAtMs }: StoreRecord): StoreFacts {
    const { state, config, clock, addingTo } = this.#options
    const silentMs = clock.monotonicMs() - heardAtMs
    const condition = storeCondition(meta, silentMs, config.maxStoreDownMs)
    const adding = addingTo(meta.id)
    // Without a heartbeat to this process nothing is known of its disk.
    const roomy = stats !== undefined && stats.available >= AVAILABLE_SHARE_MIN * stats.capacity
    return {
      id: meta.id,
      condition,
      alive: silentMs <= DISCONNECTED_AFTER_MS && !isGone(meta),
      host: meta.labels.host,
      peers: state.regions.regionsOn(meta.id).size + adding,
      leaders: state.regions.leadersOn(meta.id),
      takesPeers: condition === 'up' && roomy && adding < config.addingPeersMax,
    }
  }
}
