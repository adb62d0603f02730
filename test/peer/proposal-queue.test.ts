import { describe, expect, it } from 'vitest'
import { type Proposal, ProposalQueue } from '../../src/peer/proposal-queue.ts'
import { type Entry, EntryType } from '../../src/raft/types.ts'

function entry(index: number, term: number): Entry {
  return { index, term, type: EntryType.Normal, data: new Uint8Array() }
}

function proposal(index: number, term: number): Proposal {
  return { index, term, proposedMs: 0, requests: [] }
}

function queueOf(...at: [index: number, term: number][]): ProposalQueue {
  const queue = new ProposalQueue()
  for (const [index, term] of at) queue.push(proposal(index, term))
  return queue
}

/** Commits entries, returns which proposals matched and which became stale, as "index/term". */
function commit(queue: ProposalQueue, ...at: [index: number, term: number][]) {
  const stale: Proposal[] = []
  const name = (p: Proposal) => `${p.index}/${p.term}`
  const matched = at.map(([i, t]) => queue.onCommitted(entry(i, t), stale)).filter((p) => !!p)
  return { matched: matched.map((p) => name(p as Proposal)), stale: stale.map(name) }
}

describe('proposal queue', () => {
  it('matches entries of the same index and term, and skips entries without a proposal', () => {
    const queue = queueOf([11, 3], [13, 3])
    expect(commit(queue, [10, 3], [11, 3], [12, 3], [13, 3])).toEqual({
      matched: ['11/3', '13/3'],
      stale: [],
    })
  })

  it('answers in the order of applying', () => {
    const queue = queueOf([11, 3], [12, 3], [13, 3])
    commit(queue, [11, 3], [12, 3])
    expect(queue.takeApplied(10)).toBeUndefined()
    expect(queue.takeApplied(12)?.index).toBe(11)
    expect(queue.takeApplied(12)?.index).toBe(12)
    // 13 is proposed, but not committed.
    expect(queue.takeApplied(13)).toBeUndefined()
    expect(queue.length).toBe(1)
  })

  it("a new leader's empty entry clears everything of earlier terms, at higher indexes too", () => {
    const queue = queueOf([11, 3], [12, 3], [13, 3])
    expect(commit(queue, [11, 4])).toEqual({ matched: [], stale: ['11/3', '12/3', '13/3'] })
    expect(queue.length).toBe(0)
  })

  it('keeps proposals of a later term while entries of an earlier one commit', () => {
    const queue = queueOf([10, 3], [14, 5])
    expect(commit(queue, [10, 3], [11, 3], [12, 4], [13, 5])).toEqual({
      matched: ['10/3'],
      stale: [],
    })
    expect(commit(queue, [14, 5]).matched).toEqual(['14/5'])
  })

  it('an entry that was overwritten here and commits after all is answered as a success', () => {
    // Proposed at 10/3; this peer's log then held 10/4, but a later leader brought 10/3 back.
    const queue = queueOf([10, 3], [12, 5])
    expect(commit(queue, [10, 3])).toEqual({ matched: ['10/3'], stale: [] })
  })

  it('gives up those of which nothing is known, and keeps what is being applied', () => {
    const queue = queueOf([11, 3], [12, 3])
    commit(queue, [11, 3])
    expect(queue.undecided).toBe(1)
    expect(queue.takeUndecided().map(({ index }) => index)).toEqual([12])
    expect(commit(queue, [12, 3])).toEqual({ matched: [], stale: [] })
    expect(queue.takeApplied(12)?.index).toBe(11)
    expect(queue.length).toBe(0)
  })

  it('hands out everything once when the peer goes away', () => {
    const queue = queueOf([11, 3], [12, 3])
    commit(queue, [11, 3])
    expect(queue.takeAll().map(({ index }) => index)).toEqual([11, 12])
    expect(queue.length).toBe(0)
  })
})
