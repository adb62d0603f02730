/**
 * Requests that wait for their entry to be committed and applied, in the order (term, index) in
 * which they were proposed.
 *
 *   push ──▶ [ proposed … ] ── onCommitted(entry) ──▶ [ applying … ] ── onApplied(index) ──▶ answered
 *
 * An entry (i, t) that commits decides every proposal before it: the same (i, t) is being applied;
 * a lower term, or the same term at a lower index, can no longer commit anywhere, because terms in a
 * committed log never fall. So those are answered StaleCommand, and a new leader's empty entry
 * clears what its predecessor left.
 */
import { assert } from '../base/assert.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { Ring } from '../base/ring.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { Entry } from '../raft/types.ts'

export interface Proposal {
  readonly index: LogIndex
  readonly term: Term
  /** Monotonic time at which it was handed to raft: the lease is renewed from it. */
  readonly proposedMs: number
  readonly requests: readonly RawRequest[]
}

export class ProposalQueue {
  readonly #proposed = new Ring<Proposal>(8)
  readonly #applying = new Ring<Proposal>(8)

  get length(): number {
    return this.#proposed.length + this.#applying.length
  }

  /** Proposals of which nothing is known yet. */
  get undecided(): number {
    return this.#proposed.length
  }

  push(proposal: Proposal): void {
    this.#proposed.push(proposal)
  }

  /**
   * The entry commits: moves its proposal to the applying ones and returns it; proposals that it
   * rules out are added to `stale`.
   */
  onCommitted(entry: Entry, stale: Proposal[]): Proposal | undefined {
    for (;;) {
      const head = this.#proposed.peek()
      if (head === undefined || head.term > entry.term) return undefined
      if (head.term === entry.term && head.index > entry.index) return undefined
      this.#proposed.shift()
      if (head.term === entry.term && head.index === entry.index) {
        this.#applying.push(head)
        return head
      }
      stale.push(head)
    }
  }

  /** Next proposal that is applied at `appliedIndex`, or undefined. */
  takeApplied(appliedIndex: LogIndex): Proposal | undefined {
    const head = this.#applying.peek()
    if (head === undefined || head.index > appliedIndex) return undefined
    return this.#applying.shift()
  }

  /** Those of which nothing is known yet: their entries may commit later, and answer nobody. */
  takeUndecided(): Proposal[] {
    const all: Proposal[] = []
    for (let p = this.#proposed.shift(); p !== undefined; p = this.#proposed.shift()) all.push(p)
    return all
  }

  /** Everything, when the peer goes away: outcomes are not known. */
  takeAll(): Proposal[] {
    const all: Proposal[] = []
    for (let p = this.#applying.shift(); p !== undefined; p = this.#applying.shift()) all.push(p)
    all.push(...this.takeUndecided())
    assert(this.length === 0, 'all proposals were taken')
    return all
  }
}
