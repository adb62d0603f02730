/**
 * Requests that say which cluster they are meant for. The store's own cluster is asked for once: the
 * check runs for every request of clients that name theirs.
 */
import type { ClusterId } from '../base/ids.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { StoreService } from '../store/port.ts'

export class ClusterCheck {
  readonly #store: StoreService
  /** 0 until the store knows it. */
  #clusterId: ClusterId = 0

  constructor(store: StoreService) {
    this.#store = store
  }

  /** What is wrong with the cluster of a request, if anything. @hot */
  mismatch(request: RawRequest): string | undefined {
    if (request.clusterId === 0 || request.clusterId === this.#clusterId) return undefined
    if (this.#clusterId === 0) this.#clusterId = this.#store.status().clusterId
    // A store that still starts cannot tell, and executes nothing.
    if (this.#clusterId === 0 || this.#clusterId === request.clusterId) return undefined
    return (
      `the request is for cluster ${request.clusterId}, ` +
      `this store belongs to cluster ${this.#clusterId}`
    )
  }
}
