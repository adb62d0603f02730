/**
 * Readies on their way to disk, by number.
 *
 *   ready 7 (writes) ──▶ [ 7: messages ] ──▶ Persisted(7): send them, tell raft
 *   ready 8 (nothing to write) attaches to 7: its messages must not overtake 7's fsync, and
 *           Persisted(7) completes 8 too (maxEmpty = 8)
 *
 * INVARIANTS
 * - Numbers rise strictly, in and out.
 * - A message leaves only after every ready up to its own is persisted.
 */
import { assert } from '../base/assert.ts'
import type { ReadyNumber } from '../base/ids.ts'
import { Ring } from '../base/ring.ts'
import type { Message } from '../raft/types.ts'

interface UnpersistedReady {
  readonly number: ReadyNumber
  /** Highest number of a ready without I/O that waits behind this one. */
  maxEmpty: ReadyNumber
  readonly batches: (readonly Message[])[]
}

export class PersistQueue {
  readonly #queue = new Ring<UnpersistedReady>(4)
  #lastNumber: ReadyNumber = 0
  #persisted: ReadyNumber = 0

  /** Readies with I/O under way. */
  get length(): number {
    return this.#queue.length
  }

  get persistedNumber(): ReadyNumber {
    return this.#persisted
  }

  pushWrite(number: ReadyNumber, messages: readonly Message[]): void {
    this.#mustRise(number)
    this.#queue.push({ number, maxEmpty: number, batches: messages.length > 0 ? [messages] : [] })
  }

  /** A ready without I/O. False when nothing is under way: then it is complete at once. */
  attachEmpty(number: ReadyNumber, messages: readonly Message[]): boolean {
    this.#mustRise(number)
    const last = this.#queue.at(this.#queue.length - 1)
    if (last === undefined) {
      this.#persisted = number
      return false
    }
    last.maxEmpty = number
    if (messages.length > 0) last.batches.push(messages)
    return true
  }

  /**
   * Everything up to `number` is durable. Hands over the messages that may leave now and returns the
   * highest complete ready, or 0 when nothing was waiting (a report that an earlier one covered).
   */
  onPersisted(number: ReadyNumber, release: (messages: readonly Message[]) => void): ReadyNumber {
    let complete: ReadyNumber = 0
    for (let head = this.#queue.peek(); head !== undefined; head = this.#queue.peek()) {
      if (head.number > number) break
      this.#queue.shift()
      complete = head.maxEmpty
      for (const messages of head.batches) release(messages)
    }
    if (complete > 0) this.#persisted = complete
    return complete
  }

  #mustRise(number: ReadyNumber): void {
    assert(number > this.#lastNumber, () => `ready ${number} came after ready ${this.#lastNumber}`)
    this.#lastNumber = number
  }
}
