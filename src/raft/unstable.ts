/**
 * The end of the log that storage has not been given yet: what was appended since the last ready.
 *
 *   storage: [ first … offset-1 ]   unstable: [ offset … ]
 *
 * A snapshot that was received but not given away stands in front of the entries. Arrays that were
 * handed out (in a ready, in messages) are never changed afterwards.
 */
import type { LogIndex, Term } from '../base/ids.ts'
import { NO_ENTRIES } from './message.ts'
import type { Entry, Snapshot } from './types.ts'

export class Unstable {
  snapshot: Snapshot | undefined = undefined
  offset: LogIndex
  #entries: Entry[] | undefined = undefined
  /** Last slice: the followers of a group mostly want the same one. */
  #slice: readonly Entry[] = NO_ENTRIES
  #sliceLow: LogIndex = 0

  constructor(offset: LogIndex) {
    this.offset = offset
  }

  get length(): number {
    return this.#entries === undefined ? 0 : this.#entries.length
  }

  /** All of them, to be given away; not to be changed by the caller. */
  get entries(): readonly Entry[] {
    return this.#entries ?? NO_ENTRIES
  }

  term(index: LogIndex): Term | undefined {
    const position = index - this.offset
    if (position >= 0 && position < this.length) return this.#entries![position]!.term
    const metadata = this.snapshot?.metadata
    return metadata !== undefined && metadata.index === index ? metadata.term : undefined
  }

  /** Entries from `low` on within `bytesMax`, at least one. */
  from(low: LogIndex, bytesMax: number): readonly Entry[] {
    if (this.#slice.length > 0 && this.#sliceLow === low) return this.#slice
    const entries = this.#entries
    if (entries === undefined) return NO_ENTRIES
    const start = low - this.offset
    let end = start
    let bytes = 0
    while (end < entries.length) {
      bytes += entries[end]!.data.length
      if (bytes > bytesMax && end > start) break
      end++
    }
    this.#slice = entries.slice(start, end)
    this.#sliceLow = low
    return this.#slice
  }

  append(entry: Entry): void {
    this.#forgetSlice()
    if (this.#entries === undefined) this.#entries = [entry]
    else this.#entries.push(entry)
  }

  /** Drops everything from `index` on; below the offset it is storage that will be overwritten. */
  truncateFrom(index: LogIndex): void {
    this.#forgetSlice()
    if (index <= this.offset) {
      this.offset = index
      this.#entries = undefined
    } else if (this.#entries !== undefined) {
      this.#entries = this.#entries.slice(0, index - this.offset)
    }
  }

  restore(snapshot: Snapshot): void {
    this.#forgetSlice()
    this.snapshot = snapshot
    this.offset = snapshot.metadata.index + 1
    this.#entries = undefined
  }

  /** Storage has everything now. */
  giveAway(): void {
    this.#forgetSlice()
    this.offset += this.length
    this.#entries = undefined
    this.snapshot = undefined
  }

  #forgetSlice(): void {
    this.#slice = NO_ENTRIES
  }
}
