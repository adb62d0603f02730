/**
 * Who has fallen silent: stores that sent something and then nothing for some checks in a row. Where
 * there is nothing to say, links carry an empty frame between checks, so silence means that a store,
 * or the way from it, is gone.
 *
 * Checks are counted, not time: one that was late because this process was busy is one all the same.
 */
import type { StoreId } from '../base/ids.ts'

/** Checks without a word before a store counts as silent. */
const CHECKS_MAX = 4

export class Silence {
  /** Checks since each store was heard of; the silent ones are not in it. */
  readonly #checks = new Map<StoreId, number>()

  // @hot: once a frame
  heard(storeId: StoreId): void {
    this.#checks.set(storeId, 0)
  }

  /** One interval is over; answers who has fallen silent by it. */
  check(): StoreId[] {
    const silent: StoreId[] = []
    for (const [storeId, checks] of this.#checks) {
      if (checks + 1 < CHECKS_MAX) this.#checks.set(storeId, checks + 1)
      else silent.push(storeId)
    }
    for (const storeId of silent) this.#checks.delete(storeId)
    return silent
  }

  /** The link is closed. False when it was silent already. */
  closed(storeId: StoreId): boolean {
    return this.#checks.delete(storeId)
  }
}
