/** A client's connection to a store of the same process: no bytes, no copies, no network. */
import type { Clock } from '../base/clock.ts'
import { beginAttempt } from '../client/attempt.ts'
import type { StoreConnection } from '../client/store-connection.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { StoreService } from '../store/port.ts'

export class LocalStoreConnection implements StoreConnection {
  readonly address: string
  /** The store has a request as soon as it is executed. */
  readonly bytesUnderWay = 0
  readonly #store: StoreService
  readonly #clock: Clock

  constructor(address: string, store: StoreService, clock: Clock) {
    this.address = address
    this.#store = store
    this.#clock = clock
  }

  execute(request: RawRequest): void {
    beginAttempt(request, this.#clock.monotonicMs(), 0)
    this.#store.execute(request)
  }

  giveUp(): void {}

  /** The store outlives its clients. */
  close(): Promise<void> {
    return Promise.resolve()
  }
}
