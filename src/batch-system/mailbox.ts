/**
 * What waits for one FSM. Bounded, so that a slow region answers "busy" instead of eating memory;
 * messages that must not be lost (results of what the store itself asked for) pass the bound, since
 * what they answer was bounded when it was asked.
 *
 * INVARIANTS
 * - Messages leave in the order they came.
 * - A closed mailbox takes nothing in; what is already inside can still be taken out.
 * - `queued` belongs to the poller: true while an open FSM waits for its turn.
 */
import { assert } from '../base/assert.ts'
import { Ring } from '../base/ring.ts'

/** A region at rest holds a ring of this size. */
const RING_START = 4
/** A ring that held more than this is given back once empty: a burst costs no memory for ever. */
const RING_KEPT_MAX = 256

export class Mailbox<M> {
  readonly capacity: number
  queued = false
  #closed = false
  #peak = 0
  #ring = new Ring<M>(RING_START)

  constructor(capacity: number) {
    assert(capacity > 0, 'a mailbox holds at least one message')
    this.capacity = capacity
  }

  get length(): number {
    return this.#ring.length
  }

  get closed(): boolean {
    return this.#closed
  }

  push(message: M): 'ok' | 'full' | 'closed' {
    if (this.#closed) return 'closed'
    if (this.#ring.length >= this.capacity) return 'full'
    this.#put(message)
    return 'ok'
  }

  /** For messages that must not be lost: ignores the capacity. */
  pushForced(message: M): 'ok' | 'closed' {
    if (this.#closed) return 'closed'
    this.#put(message)
    return 'ok'
  }

  /** The oldest message, or undefined when nothing waits. */
  take(): M | undefined {
    const message = this.#ring.shift()
    if (this.#peak > RING_KEPT_MAX && this.#ring.length === 0) this.#shrink()
    return message
  }

  close(): void {
    this.#closed = true
  }

  #put(message: M): void {
    this.#ring.push(message)
    if (this.#ring.length > this.#peak) this.#peak = this.#ring.length
  }

  #shrink(): void {
    this.#ring = new Ring<M>(RING_START)
    this.#peak = 0
  }
}
