/**
 * What each ready that is not persisted yet will make durable.
 *
 * INVARIANTS
 * - Numbers rise; persisting one covers every lower one.
 * - A record never vouches for an entry that was overwritten after its ready was taken, not even
 *   when the same index and term came back later: the overwriting ready may still be lost in a
 *   crash. So overwriting from index i cuts all records down to i - 1.
 */
import { assert } from '../base/assert.ts'
import type { LogIndex, PeerId, ReadyNumber, Term } from '../base/ids.ts'

interface PersistRecord {
  readonly number: ReadyNumber
  /** Entries up to here become durable; 0 = none. */
  lastIndex: LogIndex
  /** The log up to here comes by snapshot; 0 = none. */
  snapshotIndex: LogIndex
  readonly term: Term
  readonly vote: PeerId
}

/** What is durable after a ready. */
export interface Persisted {
  /** Highest index, 0 = no news. */
  index: LogIndex
  snapshotIndex: LogIndex
  /** Last hard state that carried a new term or vote; term 0 = none. */
  term: Term
  vote: PeerId
}

export class PersistRecords {
  #records: PersistRecord[] | undefined = undefined

  get count(): number {
    return this.#records?.length ?? 0
  }

  push(
    number: ReadyNumber,
    lastIndex: LogIndex,
    snapshotIndex: LogIndex,
    term: Term,
    vote: PeerId,
  ): void {
    const record = { number, lastIndex, snapshotIndex, term, vote }
    if (this.#records === undefined) this.#records = [record]
    else {
      assert(this.#records.at(-1)!.number < number, 'ready numbers rise')
      this.#records.push(record)
    }
  }

  /** Entries from `index` on are about to be overwritten. */
  truncateFrom(index: LogIndex): void {
    for (const record of this.#records ?? []) {
      if (record.lastIndex >= index) record.lastIndex = index - 1
    }
  }

  /** The whole log is about to be replaced by a snapshot. */
  voidAll(): void {
    for (const record of this.#records ?? []) {
      record.lastIndex = 0
      record.snapshotIndex = 0
    }
  }

  /** Takes out all records up to `number` and adds them up. */
  takeUpTo(number: ReadyNumber): Persisted | undefined {
    const records = this.#records
    if (records === undefined || records[0]!.number > number) return undefined
    const sum: Persisted = { index: 0, snapshotIndex: 0, term: 0, vote: 0 }
    let taken = 0
    while (taken < records.length && records[taken]!.number <= number) {
      const record = records[taken++]!
      sum.index = Math.max(sum.index, record.lastIndex, record.snapshotIndex)
      sum.snapshotIndex = Math.max(sum.snapshotIndex, record.snapshotIndex)
      if (record.term > 0) {
        sum.term = record.term
        sum.vote = record.vote
      }
    }
    if (taken === records.length) this.#records = undefined
    else records.splice(0, taken)
    return sum
  }
}
