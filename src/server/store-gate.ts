/**
 * A StoreService that exists before the store does: ports are bound, and tell "busy, starting", while
 * the store recovers; clients that know the address from before wait instead of failing.
 */
import { assert } from '../base/assert.ts'
import type { RegionId } from '../base/ids.ts'
import { type RawRequest, type RegionError, regionErrorResponse } from '../protocol/raw.ts'
import type { RegionStatus, StoreService, StoreStatus } from '../store/port.ts'

const STARTING: RegionError = {
  code: 'ServerIsBusy',
  message: 'the store is starting',
  reason: 'the store is starting',
  backoffMs: 100,
}

const NOT_OPEN: StoreStatus = {
  clusterId: 0,
  storeId: 0,
  ready: false,
  regionCount: 0,
  leaderCount: 0,
}

export class StoreGate implements StoreService {
  #store: StoreService | undefined = undefined
  #stopping = false

  open(store: StoreService): void {
    assert(this.#store === undefined, 'a gate is opened once')
    this.#store = store
  }

  execute(request: RawRequest): void {
    if (this.#store === undefined) request.sink.respond(request, regionErrorResponse(STARTING))
    else this.#store.execute(request)
  }

  status(): StoreStatus {
    const status = this.#store?.status() ?? NOT_OPEN
    return this.#stopping ? { ...status, ready: false } : status
  }

  regionStatus(regionId: RegionId): RegionStatus | undefined {
    return this.#store?.regionStatus(regionId)
  }

  regions(): RegionId[] {
    return this.#store?.regions() ?? []
  }

  metrics(): Record<string, number> {
    return this.#store?.metrics() ?? { store_ready: 0 }
  }

  close(): Promise<void> {
    this.#stopping = true
    return this.#store?.close() ?? Promise.resolve()
  }
}
