/**
 * A FIFO queue over a power-of-two ring that grows by doubling and never shrinks below its start.
 *
 *   items: [ . . h x x x t . ]     head = h, length = 4; push writes at t, shift reads at h
 *
 * Slots are cleared when read, so the ring keeps nothing alive.
 */
export class Ring<T> {
  #items: (T | undefined)[]
  #head = 0
  #length = 0

  constructor(capacity = 16) {
    let size = 2
    while (size < capacity) size *= 2
    this.#items = new Array<T | undefined>(size).fill(undefined)
  }

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === this.#items.length) this.#grow()
    this.#items[(this.#head + this.#length) & (this.#items.length - 1)] = item
    this.#length++
  }

  shift(): T | undefined {
    if (this.#length === 0) return undefined
    const item = this.#items[this.#head]
    this.#items[this.#head] = undefined
    this.#head = (this.#head + 1) & (this.#items.length - 1)
    this.#length--
    return item
  }

  peek(): T | undefined {
    return this.#length === 0 ? undefined : this.#items[this.#head]
  }

  /** Item at `position` from the head; undefined outside. */
  at(position: number): T | undefined {
    if (position < 0 || position >= this.#length) return undefined
    return this.#items[(this.#head + position) & (this.#items.length - 1)]
  }

  clear(): void {
    while (this.#length > 0) this.shift()
  }

  #grow(): void {
    const larger = new Array<T | undefined>(this.#items.length * 2).fill(undefined)
    for (let i = 0; i < this.#length; i++) {
      larger[i] = this.#items[(this.#head + i) & (this.#items.length - 1)]
    }
    this.#items = larger
    this.#head = 0
  }
}
