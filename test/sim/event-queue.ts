/** Virtual time: what is to happen, by time and then by the order in which it was asked for. */
export class EventQueue {
  nowMs = 0
  /** The last event may have settled promises: what hangs on them belongs to it. */
  unsettled = false
  #seq = 0
  readonly #heap: { readonly ms: number; readonly seq: number; readonly run: () => void }[] = []

  get length(): number {
    return this.#heap.length
  }

  at(ms: number, run: () => void): void {
    const heap = this.#heap
    heap.push({ ms: Math.max(ms, this.nowMs), seq: this.#seq++, run })
    let i = heap.length - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (!this.#before(i, parent)) break
      this.#swap(i, parent)
      i = parent
    }
  }

  after(delayMs: number, run: () => void): void {
    this.at(this.nowMs + delayMs, run)
  }

  /** Time of the next event; Infinity when there is none. */
  get nextMs(): number {
    return this.#heap[0]?.ms ?? Number.POSITIVE_INFINITY
  }

  /** Runs the next event; false when there is none. */
  step(): boolean {
    const heap = this.#heap
    const next = heap[0]
    if (next === undefined) return false
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      this.#sink()
    }
    this.nowMs = next.ms
    next.run()
    return true
  }

  #sink(): void {
    let i = 0
    for (;;) {
      let least = i
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.#heap.length && this.#before(child, least)) least = child
      }
      if (least === i) return
      this.#swap(i, least)
      i = least
    }
  }

  #before(a: number, b: number): boolean {
    const x = this.#heap[a]!
    const y = this.#heap[b]!
    return x.ms < y.ms || (x.ms === y.ms && x.seq < y.seq)
  }

  #swap(a: number, b: number): void {
    const x = this.#heap[a]!
    this.#heap[a] = this.#heap[b]!
    this.#heap[b] = x
  }
}
