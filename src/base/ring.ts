/**
 * A FIFO queue whose first item is in the queue itself, with a power-of-two ring behind it that is
 * made when a second one comes, grows by doubling and never shrinks below its start.
 *
 *   first: f     rest: [ . . h x x t . . ]     push writes at t, shift moves h to the front
 *
 * Thousands of regions have a few queues each that hold one item at most, most of the time: those
 * cost no array, and no look at memory that is cold.
 *
 * Slots are cleared when read, so the ring keeps nothing alive.
 */
export class Ring<T> {
  #first: T | undefined = undefined
  #length = 0
  /** As long as `#restStart` when it is made. */
  #rest: (T | undefined)[] | undefined = undefined
  #head = 0
  readonly #restStart: number

  constructor(capacity = 16) {
    let size = 2
    while (size < capacity) size *= 2
    this.#restStart = size
  }

  get length(): number {
    return this.#length
  }

  push(item: T): void {
    if (this.#length === 0) this.#first = item
    else this.#pushRest(item)
    this.#length++
  }

  shift(): T | undefined {
    const item = this.#first
    if (this.#length <= 1) {
      this.#first = undefined
      this.#length = 0
      return item
    }
    const rest = this.#rest!
    this.#first = rest[this.#head]
    rest[this.#head] = undefined
    this.#head = (this.#head + 1) & (rest.length - 1)
    this.#length--
    return item
  }

  peek(): T | undefined {
    return this.#first
  }

  /** Item at `position` from the head; undefined outside. */
  at(position: number): T | undefined {
    if (position < 0 || position >= this.#length) return undefined
    if (position === 0) return this.#first
    const rest = this.#rest!
    return rest[(this.#head + position - 1) & (rest.length - 1)]
  }

  clear(): void {
    while (this.#length > 0) this.shift()
  }

  #pushRest(item: T): void {
    this.#rest ??= new Array<T | undefined>(this.#restStart).fill(undefined)
    const behind = this.#length - 1
    if (behind === this.#rest.length) this.#grow(this.#rest)
    this.#rest[(this.#head + behind) & (this.#rest.length - 1)] = item
  }

  #grow(rest: (T | undefined)[]): void {
    const larger = new Array<T | undefined>(rest.length * 2).fill(undefined)
    for (let i = 0; i < rest.length; i++) larger[i] = rest[(this.#head + i) & (rest.length - 1)]
    this.#rest = larger
    this.#head = 0
  }
}
