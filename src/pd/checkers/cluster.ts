/** What checkers and operators ask about a cluster. Live, or made up by a test. */
import type { StoreId } from '../../base/ids.ts'
import type { StoreCondition } from '../store-condition.ts'

export interface StoreFacts {
  readonly id: StoreId
  readonly condition: StoreCondition
  /** It reported lately, whatever its condition: a store that is leaving still serves. */
  readonly alive: boolean
  /** Label `host`. */
  readonly host: string | undefined
  /** Peers on it, and on their way to it. */
  readonly peers: number
  readonly leaders: number
  /** Up, with room on its disk and for another snapshot. */
  readonly takesPeers: boolean
}

export interface ClusterFacts {
  /** Wanted voters of a region. */
  readonly replicas: number
  store(storeId: StoreId): StoreFacts | undefined
  /** In the order of their ids. */
  stores(): readonly StoreFacts[]
}
