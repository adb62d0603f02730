/**
 * Requests that wait for an answer, by the id they were sent under. An id is a slot and how often
 * the slot was used before, so that ids of one table never repeat and a stray answer finds nothing.
 *
 *   id = uses × SLOTS_MAX + slot
 */
import { assert } from '../base/assert.ts'
import type { RawRequest } from '../protocol/raw.ts'

const SLOTS_MAX = 65_536

export class RequestSlots {
  readonly #capacity: number
  readonly #requests: (RawRequest | undefined)[] = []
  readonly #uses: number[] = []
  readonly #free: number[] = []

  constructor(capacity: number) {
    assert(capacity > 0 && capacity <= SLOTS_MAX, 'a slot number fits an id')
    this.#capacity = capacity
  }

  get length(): number {
    return this.#requests.length - this.#free.length
  }

  get full(): boolean {
    return this.length === this.#capacity
  }

  /** The id under which to send it. @hot */
  add(request: RawRequest): number {
    assert(!this.full, 'a request is sent while there is a slot for its answer')
    const slot = this.#free.pop() ?? this.#newSlot()
    this.#requests[slot] = request
    return this.#uses[slot]! * SLOTS_MAX + slot
  }

  /** The request that was sent under this id and is not answered yet. @hot */
  take(id: number): RawRequest | undefined {
    const slot = id % SLOTS_MAX
    const request = this.#requests[slot]
    if (request === undefined || id !== this.#uses[slot]! * SLOTS_MAX + slot) return undefined
    this.#release(slot)
    return request
  }

  /** Everything that waits; the table is empty afterwards. */
  takeAll(): RawRequest[] {
    const requests: RawRequest[] = []
    for (let slot = 0; slot < this.#requests.length; slot++) {
      const request = this.#requests[slot]
      if (request === undefined) continue
      requests.push(request)
      this.#release(slot)
    }
    return requests
  }

  #release(slot: number): void {
    this.#requests[slot] = undefined
    this.#uses[slot]!++
    this.#free.push(slot)
  }

  #newSlot(): number {
    this.#uses.push(0)
    return this.#requests.push(undefined) - 1
  }
}
