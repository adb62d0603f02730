/** A change of a region's replicas, decided but not yet under way: what checkers and people ask for. */
import type { StoreId } from '../../base/ids.ts'
import type { Peer } from '../../region/region.ts'

/** Carried out in this order; what is undefined is left out. */
export interface PeerPlan {
  /** Short name, for people and logs. */
  readonly reason: string
  /** A new learner here, promoted once it has caught up. */
  readonly add?: StoreId | undefined
  /** A learner that is there already. */
  readonly promote?: Peer | undefined
  readonly leaderTo?: StoreId | undefined
  readonly remove?: Peer | undefined
}
