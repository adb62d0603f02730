import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { PendingReads } from '../../src/peer/pending-reads.ts'
import { RawKind, RawRequest, type ResponseSink } from '../../src/protocol/raw.ts'

const sink: ResponseSink = { respond: () => {} }

function add(reads: PendingReads, ...tokens: number[]): void {
  for (const token of tokens) reads.add(new RawRequest(RawKind.Get, sink, token))
}

function takeTokens(reads: PendingReads, applied: number): number[] {
  const tokens: number[] = []
  for (let b = reads.takeReadable(applied); b !== undefined; b = reads.takeReadable(applied)) {
    tokens.push(...b.map(({ token }) => token))
  }
  return tokens
}

describe('pending reads', () => {
  it('run once confirmed and applied far enough', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1, 2)
    const context = reads.issue(100)
    expect(takeTokens(reads, 50)).toEqual([])
    expect(reads.onReadState(context, 51)).toBe(100)
    expect(takeTokens(reads, 50)).toEqual([])
    expect(takeTokens(reads, 51)).toEqual([1, 2])
    expect(reads.length).toBe(0)
  })

  it('a read that comes while a batch is in flight is not confirmed by its answer', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1)
    const first = reads.issue(100)
    add(reads, 2)
    reads.onReadState(first, 10)
    expect(takeTokens(reads, 99)).toEqual([1])
    const second = reads.issue(110)
    reads.onReadState(second, 20)
    expect(takeTokens(reads, 99)).toEqual([2])
  })

  it('an answer to a later batch confirms the earlier ones, at the later index', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1)
    reads.issue(100)
    add(reads, 2)
    const second = reads.issue(105)
    expect(reads.onReadState(second, 20)).toBe(105)
    expect(takeTokens(reads, 19)).toEqual([])
    expect(takeTokens(reads, 20)).toEqual([1, 2])
  })

  it('a retry uses a new context, and the answer to the old one confirms nothing', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1)
    const first = reads.issue(100)
    add(reads, 2)
    reads.issue(101)
    expect(reads.reissueOlderThan(100, 500)).toHaveLength(0)
    const retry = reads.reissueOlderThan(200, 500)
    expect(retry.equals(first)).toBe(false)
    expect(reads.onReadState(first, 10)).toBeUndefined()
    expect(takeTokens(reads, 99)).toEqual([])
    expect(reads.onReadState(retry, 30)).toBe(500)
    expect(takeTokens(reads, 30)).toEqual([1, 2])
  })

  it('ignores contexts that are not its own', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1)
    reads.issue(100)
    expect(reads.onReadState(Buffer.from('x'), 10)).toBeUndefined()
    expect(takeTokens(reads, 99)).toEqual([])
  })

  it('gives up everything that waits, whatever its stage', () => {
    const reads = new PendingReads(seededRandom(1))
    add(reads, 1)
    reads.onReadState(reads.issue(100), 10)
    add(reads, 2)
    reads.issue(100)
    add(reads, 3)
    expect(
      reads
        .takeAll()
        .map(({ token }) => token)
        .sort(),
    ).toEqual([1, 2, 3])
    expect(reads.length).toBe(0)
  })

  it('contexts of an earlier run mean nothing', () => {
    for (let seed = 1; seed < 20; seed++) {
      const earlier = new PendingReads(seededRandom(seed))
      add(earlier, 1)
      const late = earlier.issue(100)
      const reads = new PendingReads(seededRandom(seed + 100))
      add(reads, 2)
      reads.issue(200)
      expect(reads.onReadState(late, 7)).toBeUndefined()
      expect(takeTokens(reads, 99)).toEqual([])
    }
  })

  it('those that are confirmed elsewhere only wait to be applied', () => {
    const reads = new PendingReads(seededRandom(1))
    const requests = [1, 2].map((token) => new RawRequest(RawKind.Get, sink, token))
    reads.addConfirmed(10, requests)
    expect(takeTokens(reads, 9)).toEqual([])
    expect(takeTokens(reads, 10)).toEqual([1, 2])
  })
})
