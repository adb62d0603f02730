import { describe, expect, test } from 'vitest'
import { Log } from '../../src/raft/log.ts'
import { NO_ENTRIES } from '../../src/raft/message.ts'
import type { Entry } from '../../src/raft/types.ts'
import { Unstable } from '../../src/raft/unstable.ts'
import { entry, START_INDEX, startSnapshot } from './group.ts'
import { confStateOf, MemoryStorage } from './script/storage.ts'

const UNLIMITED = Number.MAX_SAFE_INTEGER

/** Entries 11… of the given terms: so many in storage, the rest given to the log. */
function logOf(terms: readonly number[], stored: number): { log: Log; storage: MemoryStorage } {
  const storage = new MemoryStorage(startSnapshot(confStateOf([1])))
  const entries = terms.map((term, i) => entry(START_INDEX + 1 + i, term))
  storage.append(entries.slice(0, stored))
  const log = new Log(storage, START_INDEX, START_INDEX)
  for (const one of entries.slice(stored)) log.append(one)
  return { log, storage }
}

function indexes(entries: readonly Entry[] | string): number[] {
  if (typeof entries === 'string') throw new Error(entries)
  return entries.map(({ index }) => index)
}

describe('Log', () => {
  test('knows terms over the seam of storage and memory', () => {
    const { log } = logOf([2, 2, 3, 4], 2)
    expect([10, 11, 12, 13, 14].map((index) => log.term(index))).toEqual([1, 2, 2, 3, 4])
    expect(log.term(9)).toBe('compacted')
    expect(log.term(15)).toBe('unavailable')
  })

  test('reads over the seam, within bytes', () => {
    const { log } = logOf([2, 2, 3, 4], 2)
    expect(indexes(log.entries(11, UNLIMITED, 1))).toEqual([11, 12, 13, 14])
    expect(indexes(log.entries(12, UNLIMITED, 1))).toEqual([12, 13, 14])
    expect(indexes(log.entries(11, 15, 1))).toEqual([11, 12, 13])
    expect(indexes(log.entries(11, 1, 1))).toEqual([11])
    expect(indexes(log.entries(13, 1, 1))).toEqual([13])
    expect(log.entries(15, UNLIMITED, 1)).toBe(NO_ENTRIES)
    expect(log.entries(10, UNLIMITED, 1)).toBe('compacted')
  })

  test('finds where a leader and it part', () => {
    const { log } = logOf([2, 2, 3, 4], 2)
    expect(log.findConflict([entry(12, 2), entry(13, 3)])).toBe(2)
    expect(log.findConflict([entry(12, 2), entry(13, 4)])).toBe(1)
    expect(log.findConflict([entry(14, 4), entry(15, 4)])).toBe(1)
  })

  test('skips terms that cannot match', () => {
    const { log } = logOf([2, 2, 5, 5], 4)
    expect(log.findAtMost(4, 14)).toBe(12)
    expect(log.findAtMost(5, 14)).toBe(14)
    expect(log.findAtMost(0, 14)).toBe(9)
  })

  test('never overwrites what is committed, and leaves no gap', () => {
    const { log } = logOf([2, 2], 2)
    log.commitTo(11)
    expect(() => log.overwrite([entry(11, 3)], 0)).toThrow('would overwrite')
    expect(() => log.overwrite([entry(14, 3)], 0)).toThrow('leaves a gap')
    log.overwrite([entry(12, 3)], 0)
    expect(log.lastTerm).toBe(3)
    expect(log.persisted).toBe(11)
  })

  test('commits nothing that it does not have', () => {
    const { log } = logOf([2], 1)
    expect(() => log.commitTo(12)).toThrow("behind the log's end")
    log.commitTo(11)
    log.commitTo(10)
    expect(log.commit).toBe(11)
  })

  test('applied indexes only rise, up to what was handed out', () => {
    const { log } = logOf([2, 2], 2)
    log.commitTo(11)
    expect(indexes(log.takeCommitted(UNLIMITED))).toEqual([11])
    expect(() => log.applyTo(12)).toThrow('was not handed out')
    log.applyTo(11)
    expect(() => log.applyTo(10)).toThrow('never falls')
  })

  test('compares itself with a candidate by term, then by length', () => {
    const { log } = logOf([2, 3], 2)
    expect(log.isUpToDate(3, 12)).toBe(true)
    expect(log.isUpToDate(4, 1)).toBe(true)
    expect(log.isUpToDate(3, 11)).toBe(false)
    expect(log.isUpToDate(2, 99)).toBe(false)
  })
})

describe('Unstable', () => {
  test('never changes what it handed out', () => {
    const unstable = new Unstable(5)
    unstable.append(entry(5, 1))
    unstable.append(entry(6, 1))
    const slice = unstable.from(5, UNLIMITED)
    const all = unstable.entries
    unstable.giveAway()
    unstable.append(entry(7, 1))
    expect(indexes(slice)).toEqual([5, 6])
    expect(indexes(all)).toEqual([5, 6])
    expect(indexes(unstable.entries)).toEqual([7])
  })

  test('gives the same slice to all followers, until it changes', () => {
    const unstable = new Unstable(5)
    unstable.append(entry(5, 1))
    expect(unstable.from(5, UNLIMITED)).toBe(unstable.from(5, UNLIMITED))
    unstable.append(entry(6, 1))
    expect(indexes(unstable.from(5, UNLIMITED))).toEqual([5, 6])
    unstable.truncateFrom(6)
    expect(indexes(unstable.from(5, UNLIMITED))).toEqual([5])
  })
})
