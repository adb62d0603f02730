/**
 * Deletes dead segments, but only once everything that made them dead is on disk: a segment whose
 * entries were compacted must not go while the compaction mark could still be lost.
 */
import type { Segment, SegmentTable } from './segment.ts'

interface Doomed {
  readonly name: string
  /** Must be durable in all streams first. */
  readonly sequence: number
}

export class Purge {
  readonly #table: SegmentTable
  #doomed: Doomed[] = []
  #purged = 0

  constructor(table: SegmentTable) {
    this.#table = table
  }

  get purged(): number {
    return this.#purged
  }

  /** Oldest segments that only the states of some regions keep. */
  heldByStates(): Segment[] {
    const held: Segment[] = []
    for (const segment of this.#table.oldest()) {
      if (segment.liveEntries === 0 && segment.liveStates > 0) held.push(segment)
    }
    return held
  }

  /** Dooms what is dead now; `sequence` is the last one given out. */
  mark(sequence: number): void {
    for (const { name } of this.#table.takeDead()) this.#doomed.push({ name, sequence })
  }

  /** Names to delete, in order, when everything up to `durable` is on disk. */
  takeDeletable(durable: number): string[] {
    const names: string[] = []
    while (this.#doomed.length > 0 && this.#doomed[0]!.sequence <= durable) {
      names.push(this.#doomed.shift()!.name)
      this.#purged++
    }
    return names
  }
}
