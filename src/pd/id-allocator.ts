/**
 * Cluster-wide ids, from 1 upwards. A window of ids is made durable before the first of it is given
 * out, so after a crash the rest of a window is lost and no id is ever given twice.
 */
import { PolyraftError } from '../base/errors.ts'
import { IDS_KEY, numberWrite } from './records.ts'
import { Serial } from './serial.ts'
import type { PdStorage } from './storage.ts'

const WINDOW = 1000
/** Ids in one request; more is a mistake of the caller. */
const COUNT_MAX = 1_000_000

export class IdAllocator {
  readonly #storage: PdStorage
  readonly #serial = new Serial()
  /** Last id given out, and last one that the durable window allows. */
  #last: number
  #windowEnd: number

  constructor(storage: PdStorage, windowEnd: number) {
    this.#storage = storage
    this.#last = windowEnd
    this.#windowEnd = windowEnd
  }

  /** No id above this was ever given out. */
  get last(): number {
    return this.#last
  }

  /** Last id of a fresh block of `count` in a row. */
  allocate(count: number): Promise<number> {
    if (!Number.isInteger(count) || count < 1 || count > COUNT_MAX) {
      return Promise.reject(
        new PolyraftError('InvalidArgument', `asked for ${count} ids: 1 to ${COUNT_MAX} at a time`),
      )
    }
    return this.#serial.run(async () => {
      if (this.#last + count > this.#windowEnd) await this.#extend(count)
      this.#last += count
      return this.#last
    })
  }

  async #extend(count: number): Promise<void> {
    const end = this.#last + Math.max(count, WINDOW)
    await this.#storage.put([numberWrite(IDS_KEY, end)])
    this.#windowEnd = end
  }
}
