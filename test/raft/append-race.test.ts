/**
 * Writes that were overtaken: what is told to be durable may have been overwritten meanwhile, even
 * by an entry with the same index and term (the "append ABA race").
 */
import { describe, expect, test } from 'vitest'
import { PersistRecords } from '../../src/raft/persist-records.ts'
import { MessageType } from '../../src/raft/types.ts'
import { entry, Group, messageFrom, START_INDEX, START_TERM } from './group.ts'

const FIRST = START_INDEX + 1

/** An append of entries with the given terms behind the start of the log. */
function append(from: number, term: number, terms: readonly number[], commit = START_INDEX) {
  return messageFrom(from, 1, MessageType.Append, {
    term,
    index: START_INDEX,
    logTerm: START_TERM,
    entries: terms.map((of, i) => entry(FIRST + i, of)),
    commit,
  })
}

describe('a follower whose writes lag behind', () => {
  test('an overwritten entry does not count when its own write becomes durable', () => {
    const group = new Group(7)
    const { node } = group.at(1)
    node.step(append(2, 2, [2]))
    const [first] = group.take(1)
    node.step(append(3, 3, [3], FIRST))
    const [second] = group.take(1)
    node.onPersistReady(first!.number)
    expect(node.persistedIndex).toBe(START_INDEX)
    expect(node.hasReady()).toBe(false)
    node.onPersistReady(second!.number)
    expect(node.persistedIndex).toBe(FIRST)
    const [third] = group.take(1)
    expect(third!.committedEntries.map(({ term }) => term)).toEqual([3])
  })

  test('the same entry, overwritten and come back, counts only with its last write', () => {
    const group = new Group(7)
    const { node } = group.at(1)
    // Entry 11 of term 2, then of term 3, then the one of term 2 again from a leader of term 4.
    node.step(append(2, 2, [2]))
    const [first] = group.take(1)
    node.step(append(3, 3, [3]))
    const [second] = group.take(1)
    node.step(append(4, 4, [2, 4], FIRST))
    const [third] = group.take(1)
    expect(third!.entries.map(({ term }) => term)).toEqual([2, 4])
    // Index and term of the first write match the log again, but a crash now would leave term 3.
    node.onPersistReady(first!.number)
    expect(node.persistedIndex).toBe(START_INDEX)
    expect(node.hasReady()).toBe(false)
    node.onPersistReady(second!.number)
    expect(node.persistedIndex).toBe(START_INDEX)
    node.onPersistReady(third!.number)
    expect(node.persistedIndex).toBe(FIRST + 1)
    const [last] = group.take(1)
    expect(last!.committedEntries.map(({ index, term }) => [index, term])).toEqual([[FIRST, 2]])
  })

  test('what was below the overwritten entry counts with its own write', () => {
    const group = new Group(7)
    const { node } = group.at(1)
    node.step(append(2, 2, [2, 2, 2]))
    const [first] = group.take(1)
    node.step(append(3, 3, [2, 2, 3]))
    const [second] = group.take(1)
    expect(second!.entries.map(({ index }) => index)).toEqual([FIRST + 2])
    node.onPersistReady(first!.number)
    expect(node.persistedIndex).toBe(FIRST + 1)
    node.onPersistReady(second!.number)
    expect(node.persistedIndex).toBe(FIRST + 2)
  })

  test('durable entries that are overwritten are durable no more', () => {
    const group = new Group(7)
    const { node } = group.at(1)
    node.step(append(2, 2, [2, 2]))
    group.take(1)
    group.persist(1)
    expect(node.persistedIndex).toBe(FIRST + 1)
    node.step(append(3, 3, [2, 3]))
    expect(node.persistedIndex).toBe(FIRST)
  })

  test('a snapshot voids the writes that it overtakes', () => {
    const group = new Group(7)
    const { node, storage } = group.at(1)
    node.step(append(2, 2, [2, 2, 2]))
    const [first] = group.take(1)
    const snapshot = {
      metadata: { index: FIRST + 1, term: 3, confState: storage.confState },
      data: Buffer.alloc(0),
    }
    node.step(messageFrom(3, 1, MessageType.Snapshot, { term: 3, snapshot }))
    const [second] = group.take(1)
    expect(second!.snapshot).toBe(snapshot)
    node.onPersistReady(first!.number)
    expect(node.persistedIndex).toBe(START_INDEX)
    expect(node.isPromotable).toBe(false)
    node.onPersistReady(second!.number)
    expect(node.persistedIndex).toBe(FIRST + 1)
    expect(node.isPromotable).toBe(true)
  })
})

describe('PersistRecords', () => {
  test('adds up all readies that a number covers', () => {
    const records = new PersistRecords()
    records.push(1, 5, 0, 2, 7)
    records.push(3, 6, 0, 0, 0)
    records.push(4, 9, 0, 0, 0)
    expect(records.takeUpTo(0)).toBeUndefined()
    expect(records.takeUpTo(3)).toEqual({ index: 6, snapshotIndex: 0, term: 2, vote: 7 })
    expect(records.takeUpTo(3)).toBeUndefined()
    expect(records.takeUpTo(9)).toEqual({ index: 9, snapshotIndex: 0, term: 0, vote: 0 })
  })

  test('refuses numbers that do not rise', () => {
    const records = new PersistRecords()
    records.push(2, 5, 0, 0, 0)
    expect(() => records.push(2, 6, 0, 0, 0)).toThrow('ready numbers rise')
  })
})
