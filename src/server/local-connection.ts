/** A client's connection to a store of the same process: no bytes, no copies, no network. */
import type { StoreConnection } from '../client/store-connection.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { StoreService } from '../store/port.ts'

export class LocalStoreConnection implements StoreConnection {
  readonly address: string
  readonly #store: StoreService

  constructor(address: string, store: StoreService) {
    this.address = address
    this.#store = store
  }

  execute(request: RawRequest): void {
    request.sent = true
    this.#store.execute(request)
  }

  /** The store outlives its clients. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}
