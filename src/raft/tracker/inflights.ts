/**
 * The window of append messages that were sent to a follower and not yet answered: for each its last
 * index and its bytes, in a ring of plain numbers.
 *
 *   ring: [ i b | i b | . . | . . ]    pair k of the window is at slot (head + k) mod slots
 *
 * The ring is allocated with the first message and doubles up to the limit, so that a group at rest
 * holds none.
 */
import { assert } from '../../base/assert.ts'
import type { LogIndex } from '../../base/ids.ts'

const SLOTS_MIN = 8

export class Inflights {
  readonly #messagesMax: number
  /** 0 = no limit. */
  readonly #bytesMax: number
  #ring: number[] | undefined = undefined
  #slots = 0
  #head = 0
  #count = 0
  #bytes = 0

  constructor(messagesMax: number, bytesMax: number) {
    assert(messagesMax > 0, 'at least one append may be in flight')
    this.#messagesMax = messagesMax
    this.#bytesMax = bytesMax
  }

  get count(): number {
    return this.#count
  }

  get bytes(): number {
    return this.#bytes
  }

  get isFull(): boolean {
    return (
      this.#count === this.#messagesMax || (this.#bytesMax !== 0 && this.#bytes >= this.#bytesMax)
    )
  }

  /** A message up to `index` left. Indexes only rise. */
  add(index: LogIndex, bytes: number): void {
    assert(!this.isFull, 'the in-flight window has room')
    if (this.#count === this.#slots) this.#grow()
    const slot = (this.#head + this.#count) % this.#slots
    const ring = this.#ring!
    ring[slot * 2] = index
    ring[slot * 2 + 1] = bytes
    this.#count++
    this.#bytes += bytes
  }

  /** Everything up to `index` was answered. */
  freeTo(index: LogIndex): void {
    const ring = this.#ring
    if (ring === undefined) return
    while (this.#count > 0 && ring[this.#head * 2]! <= index) {
      this.#bytes -= ring[this.#head * 2 + 1]!
      this.#head = (this.#head + 1) % this.#slots
      this.#count--
    }
  }

  reset(): void {
    this.#ring = undefined
    this.#slots = 0
    this.#head = 0
    this.#count = 0
    this.#bytes = 0
  }

  #grow(): void {
    const slots = Math.min(Math.max(SLOTS_MIN, this.#slots * 2), this.#messagesMax)
    const larger = new Array<number>(slots * 2).fill(0)
    for (let i = 0; i < this.#count * 2; i++) {
      larger[i] = this.#ring![(this.#head * 2 + i) % (this.#slots * 2)]!
    }
    this.#ring = larger
    this.#slots = slots
    this.#head = 0
  }
}
