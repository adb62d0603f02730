/**
 * A few peer ids in hand, so that a decision about a region need not wait for the allocator and find
 * the region changed. Ids that are not used are lost, which the allocator permits.
 */
import type { PeerId } from '../base/ids.ts'

const BLOCK = 32

export class PeerIds {
  readonly #allocate: (count: number) => Promise<number>
  readonly #onFailure: (error: unknown) => void
  #next = 1
  #last = 0
  #refilling = false

  /** `allocate` gives the last id of a block. */
  constructor(allocate: (count: number) => Promise<number>, onFailure: (error: unknown) => void) {
    this.#allocate = allocate
    this.#onFailure = onFailure
  }

  /** Undefined while a block is being fetched: ask again later. */
  take(): PeerId | undefined {
    if (this.#next <= this.#last) return this.#next++
    if (!this.#refilling) this.#refill()
    return undefined
  }

  #refill(): void {
    this.#refilling = true
    this.#allocate(BLOCK)
      .then((last) => {
        this.#last = last
        this.#next = last - BLOCK + 1
      }, this.#onFailure)
      .finally(() => {
        this.#refilling = false
      })
  }
}
