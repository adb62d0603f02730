/** Everything is bounded: proposals, readies, messages in flight; and storage may need time. */
import { describe, expect, test } from 'vitest'
import type { Ready } from '../../src/raft/ready.ts'
import { MessageType, StateRole } from '../../src/raft/types.ts'
import { Group, messageFrom } from './group.ts'

const TEN = Buffer.from('0123456789')

function appendsTo(readies: readonly Ready[], id: number): number[][] {
  return readies
    .flatMap(({ messages }) => messages)
    .filter(({ type, to }) => type === MessageType.Append && to === id)
    .map(({ entries }) => entries.map(({ index }) => index))
}

describe('uncommitted bytes', () => {
  test('are limited until entries commit', () => {
    const group = new Group(3, { maxUncommittedSize: 25 })
    const { node } = group.elect(1)
    group.cut.add(2).add(3)
    expect(node.propose(TEN)).toBe('ok')
    expect(node.propose(TEN)).toBe('ok')
    expect(node.propose(TEN)).toBe('uncommitted-limit')
    expect(node.propose(Buffer.alloc(0))).toBe('ok')
    group.settle()
    group.cut.clear()
    group.tickAll(2)
    group.settle()
    expect(node.commitIndex).toBe(node.lastIndex)
    expect(node.propose(TEN)).toBe('ok')
  })

  test('one proposal of any size fits when nothing else waits', () => {
    const group = new Group(1, { maxUncommittedSize: 5 })
    const { node } = group.elect(1)
    expect(node.propose(TEN)).toBe('ok')
    expect(node.propose(TEN)).toBe('uncommitted-limit')
    group.settle()
    expect(node.propose(TEN)).toBe('ok')
  })

  test('start at nothing with each leader', () => {
    const group = new Group(3, { maxUncommittedSize: 15 })
    const old = group.elect(1)
    group.cut.add(1)
    old.node.propose(TEN)
    expect(old.node.propose(TEN)).toBe('uncommitted-limit')
    group.settle()
    const next = group.elect(2)
    expect(next.node.role).toBe(StateRole.Leader)
    expect(next.node.propose(TEN)).toBe('ok')
  })
})

describe('committed entries', () => {
  test('come in pages of bytes, at least one entry each', () => {
    const group = new Group(1, { maxCommittedSizePerReady: 25 })
    const { node } = group.elect(1)
    const first = node.lastIndex + 1
    for (let i = 0; i < 5; i++) node.propose(TEN)
    node.propose(Buffer.alloc(100))
    group.take(1)
    group.persist(1)
    const pages = group.take(1).map((r) => r.committedEntries.map(({ index }) => index - first))
    expect(pages.filter((page) => page.length > 0)).toEqual([[0, 1], [2, 3], [4], [5]])
  })
})

describe('appends in flight', () => {
  test('are cut to the message size, at least one entry each', () => {
    const group = new Group(2, { maxSizePerMsg: 25 })
    const { node } = group.elect(1)
    group.cut.add(2)
    const first = node.lastIndex + 1
    for (let i = 0; i < 5; i++) node.propose(TEN)
    group.settle()
    node.reportUnreachable(2)
    group.cut.delete(2)
    node.tick()
    node.tick()
    let sent: number[][] = []
    for (let i = 0; i < 4; i++) {
      sent = sent.concat(appendsTo(group.take(1), 2))
      group.persist(1)
      group.deliver()
      group.take(2)
      group.persist(2)
      group.deliver()
    }
    const withEntries = sent.filter((page) => page.length > 0)
    expect(withEntries.map((page) => page.map((i) => i - first))).toEqual([[0, 1], [2, 3], [4]])
  })

  test('are limited in number', () => {
    const group = new Group(2, { maxInflightMsgs: 3 })
    const { node } = group.elect(1)
    for (let i = 0; i < 6; i++) node.propose(TEN)
    expect(appendsTo(group.take(1), 2)).toHaveLength(3)
    expect(node.progressOf(2)!.isPaused).toBe(true)
    group.settle()
    expect(node.commitIndex).toBe(node.lastIndex)
    expect(node.progressOf(2)!.inflights.count).toBe(0)
  })

  test('are limited in bytes', () => {
    const group = new Group(2, { maxInflightBytes: 25 })
    const { node } = group.elect(1)
    for (let i = 0; i < 6; i++) node.propose(TEN)
    expect(appendsTo(group.take(1), 2)).toHaveLength(3)
    group.settle()
    expect(node.commitIndex).toBe(node.lastIndex)
  })
})

describe('entries that are temporarily unavailable', () => {
  function behind(): Group {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(3)
    leader.node.propose(TEN)
    group.settle()
    leader.node.reportUnreachable(3)
    leader.storage.unavailableTo.add(3)
    group.cut.delete(3)
    return group
  }

  test('hold back that follower alone, and are asked for once', () => {
    const group = behind()
    const { node, storage } = group.at(1)
    node.tick()
    node.tick()
    group.settle()
    const asked = storage.asked.filter(({ to }) => to === 3).length
    expect(asked).toBe(1)
    expect(node.progressOf(3)!.fetching).toBe(true)
    node.propose(TEN)
    group.settle()
    expect(storage.asked.filter(({ to }) => to === 3)).toHaveLength(asked)
    expect(group.at(2).node.commitIndex).toBe(node.lastIndex)
    expect(group.at(3).node.commitIndex).toBeLessThan(node.lastIndex)
  })

  test('leave as soon as they are fetched', () => {
    const group = behind()
    const { node, storage } = group.at(1)
    node.tick()
    node.tick()
    group.settle()
    storage.unavailableTo.delete(3)
    node.onEntriesFetched(3)
    group.settle()
    expect(group.at(3).node.lastIndex).toBe(node.lastIndex)
    expect(group.at(3).node.commitIndex).toBe(node.lastIndex)
  })

  test('are asked for again with the next heartbeat, should nobody tell', () => {
    const group = behind()
    const { node, storage } = group.at(1)
    node.tick()
    node.tick()
    group.settle()
    storage.unavailableTo.delete(3)
    group.tickAll(2)
    expect(group.at(3).node.lastIndex).toBe(node.lastIndex)
  })

  test('of this node itself make no ready until they are fetched', () => {
    const group = new Group(1)
    const { node, storage } = group.elect(1)
    node.propose(TEN)
    storage.unavailableTo.add(0)
    group.take(1)
    group.persist(1)
    const applied = node.appliedIndex
    group.take(1)
    expect(node.hasReady()).toBe(false)
    expect(node.appliedIndex).toBe(applied)
    storage.unavailableTo.delete(0)
    expect(node.hasReady()).toBe(false)
    node.onEntriesFetched(0)
    expect(node.hasReady()).toBe(true)
    const [ready] = group.take(1)
    expect(ready!.committedEntries.map(({ index }) => index)).toEqual([applied + 1])
  })

  test('of this node itself are wanted no more once a snapshot contains them', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.propose(TEN)
    const { node, storage } = group.at(2)
    storage.unavailableTo.add(0)
    group.settle()
    expect(node.appliedIndex).toBeLessThan(node.commitIndex)
    storage.unavailableTo.delete(0)
    leader.node.propose(TEN)
    group.cut.add(2)
    group.settle()
    const snapshot = leader.storage.latest
    const { term } = leader.node
    node.step(messageFrom(1, 2, MessageType.Snapshot, { term, snapshot }))
    group.cut.clear()
    leader.node.propose(TEN)
    group.settle()
    // The answer to the first fetch never came.
    expect(node.appliedIndex).toBe(leader.node.commitIndex)
  })

  test('a fetch that ends after the leader lost its office means nothing', () => {
    const group = behind()
    const { node } = group.at(1)
    node.tick()
    node.tick()
    group.settle()
    group.elect(2)
    node.onEntriesFetched(3)
    group.settle()
    expect(node.role).toBe(StateRole.Follower)
  })
})

describe('skipping commit broadcasts', () => {
  test('halves the messages; followers learn with the next append or heartbeat', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    node.skipCommitBroadcast(true)
    node.propose(TEN)
    group.settle()
    expect(node.commitIndex).toBe(node.lastIndex)
    expect(group.at(2).node.commitIndex).toBe(node.lastIndex - 1)
    node.propose(TEN)
    group.settle()
    expect(group.at(2).node.commitIndex).toBe(node.lastIndex - 1)
    group.tickAll(2)
    expect(group.at(2).node.commitIndex).toBe(node.lastIndex)
    expect(group.at(3).node.commitIndex).toBe(node.lastIndex)
  })
})
