/** Followers that the log can no longer help. */
import { describe, expect, test } from 'vitest'
import { ProgressState } from '../../src/raft/tracker/progress.ts'
import { EntryType, MessageType } from '../../src/raft/types.ts'
import { Group, messageFrom, START_INDEX } from './group.ts'

/** Peer 3 missed what the leader's log no longer has. */
function behind(): Group {
  const group = new Group(3)
  const leader = group.elect(1)
  group.cut.add(3)
  for (const data of ['a', 'b', 'c']) leader.node.propose(Buffer.from(data))
  group.settle()
  leader.storage.compact(leader.node.appliedIndex)
  leader.node.reportUnreachable(3)
  return group
}

describe('a follower behind the log', () => {
  test('gets a snapshot and then follows on', () => {
    const group = behind()
    const { node } = group.at(1)
    group.cut.delete(3)
    group.tickAll(2)
    expect(group.at(3).node.appliedIndex).toBe(node.commitIndex)
    expect(group.at(3).node.firstIndex).toBe(node.commitIndex + 1)
    expect(node.progressOf(3)!.state).toBe(ProgressState.Replicate)
    node.propose(Buffer.from('d'))
    group.settle()
    expect(group.at(3).appliedData).toEqual(['d'])
  })

  test('is sent nothing else until the snapshot is answered', () => {
    const group = behind()
    const { node } = group.at(1)
    group.at(1).node.step(messageFrom(3, 1, MessageType.HeartbeatResponse, { term: node.term }))
    const [first] = group.take(1)
    expect(first!.messages.map(({ type }) => type)).toEqual([MessageType.Snapshot])
    node.propose(Buffer.from('d'))
    const [second] = group.take(1)
    expect(second!.messages.map(({ to }) => to)).toEqual([2])
  })

  test('a failed snapshot is tried again after a heartbeat', () => {
    const group = behind()
    const { node } = group.at(1)
    const alive = messageFrom(3, 1, MessageType.HeartbeatResponse, { term: node.term })
    node.step(alive)
    group.take(1)
    node.reportSnapshot(3, false)
    expect(node.progressOf(3)!.state).toBe(ProgressState.Probe)
    expect(node.progressOf(3)!.isPaused).toBe(true)
    expect(node.hasReady()).toBe(false)
    node.step(alive)
    const [ready] = group.take(1)
    expect(ready!.messages.map(({ type }) => type)).toEqual([MessageType.Snapshot])
  })

  test('after a snapshot that arrived it is probed behind it', () => {
    const group = behind()
    const { node } = group.at(1)
    node.step(messageFrom(3, 1, MessageType.HeartbeatResponse, { term: node.term }))
    group.take(1)
    node.reportSnapshot(3, true)
    expect(node.progressOf(3)!.next).toBe(node.commitIndex + 1)
    expect(node.progressOf(3)!.isPaused).toBe(true)
  })

  test('who was not heard of lately gets none', () => {
    const group = behind()
    const { node } = group.at(1)
    for (let i = 0; i < 10; i++) node.tick()
    expect(
      group
        .take(1)
        .flatMap((r) => r.messages)
        .map(({ type }) => type),
    ).not.toContain(MessageType.Snapshot)
  })
})

describe('a snapshot', () => {
  const confStateOfGroup = (group: Group) => group.at(1).storage.confState

  test('must be synced before it is acknowledged, though nothing else is to be written', () => {
    const group = new Group(3)
    const { node } = group.at(2)
    // Its term and leader are known and durable.
    node.step(messageFrom(1, 2, MessageType.Heartbeat, { term: 2 }))
    group.take(2)
    group.persist(2)
    const metadata = { index: START_INDEX + 5, term: 2, confState: confStateOfGroup(group) }
    const snapshot = { metadata, data: Buffer.alloc(0) }
    node.step(messageFrom(1, 2, MessageType.Snapshot, { term: 2, snapshot }))
    const [ready] = group.take(2)
    expect(ready!.entries).toEqual([])
    expect(ready!.mustSync).toBe(true)
    expect(ready!.persistedMessages.map(({ index }) => index)).toEqual([START_INDEX + 5])
  })

  test('that contains a membership change under way makes it one to be skipped', () => {
    const group = new Group(3)
    const { node, storage } = group.at(2)
    const fields = { term: 2, index: START_INDEX, logTerm: 1, commit: START_INDEX + 1 }
    const data = Buffer.from([0x12, 0x04, 0x08, 0x02, 0x10, 0x09])
    const added = { index: START_INDEX + 1, term: 2, type: EntryType.ConfChangeV2, data }
    node.step(messageFrom(1, 2, MessageType.Append, { ...fields, entries: [added] }))
    const ready = node.ready()
    storage.hardState = ready.hardState!
    storage.append(ready.entries)
    node.advanceAppendAsync(ready)
    node.onPersistReady(ready.number)
    const handedOut = node.ready()
    node.advanceAppendAsync(handedOut)
    expect(handedOut.committedEntries).toEqual([added])
    // Before it is applied, a snapshot comes that has this change and another one.
    const confState = { ...storage.confState, learners: [8, 9] }
    const metadata = { index: START_INDEX + 2, term: 2, confState }
    const snapshot = { metadata, data: Buffer.alloc(0) }
    node.step(messageFrom(1, 2, MessageType.Snapshot, { term: 2, snapshot }))
    expect(added.index).toBeLessThan(node.firstIndex)
    expect(node.confState.learners).toEqual([8, 9])
  })

  test('that the log covers already only raises the commit index', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(3)
    leader.node.propose(Buffer.from('x'))
    group.take(1)
    group.persist(1)
    group.deliver()
    const { node } = group.at(2)
    const metadata = {
      index: node.lastIndex,
      term: leader.node.term,
      confState: confStateOfGroup(group),
    }
    const snapshot = { metadata, data: Buffer.alloc(0) }
    node.step(messageFrom(1, 2, MessageType.Snapshot, { term: leader.node.term, snapshot }))
    expect(node.commitIndex).toBe(node.lastIndex)
    const [ready] = group.take(2)
    expect(ready!.snapshot).toBeUndefined()
  })

  test('of the past is answered with the commit index', () => {
    const group = new Group(3)
    const metadata = { index: START_INDEX - 3, term: 1, confState: confStateOfGroup(group) }
    const snapshot = { metadata, data: Buffer.alloc(0) }
    group.at(2).node.step(messageFrom(1, 2, MessageType.Snapshot, { term: 2, snapshot }))
    const [ready] = group.take(2)
    expect(ready!.snapshot).toBeUndefined()
    expect(ready!.persistedMessages.map(({ index }) => index)).toEqual([START_INDEX])
  })

  test('of a group without this peer is refused', () => {
    const group = new Group(3)
    const confState = { ...confStateOfGroup(group), voters: [1, 3] }
    const snapshot = { metadata: { index: 50, term: 2, confState }, data: Buffer.alloc(0) }
    group.at(2).node.step(messageFrom(1, 2, MessageType.Snapshot, { term: 2, snapshot }))
    expect(group.at(2).node.lastIndex).toBe(START_INDEX)
  })
})

describe('a requested snapshot', () => {
  test('comes though the log would do', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    group.settle()
    const { node } = group.at(2)
    expect(node.requestSnapshot()).toBe('ok')
    expect(node.requestSnapshot()).toBe('dropped')
    leader.node.propose(Buffer.from('y'))
    leader.node.propose(Buffer.from('z'))
    group.settle()
    group.tickAll(4)
    expect(node.firstIndex).toBe(START_INDEX + 3)
    expect(node.commitIndex).toBe(leader.node.commitIndex)
    expect(leader.node.progressOf(2)!.state).toBe(ProgressState.Replicate)
  })

  test('needs a leader to ask', () => {
    const group = new Group(3)
    expect(group.at(2).node.requestSnapshot()).toBe('dropped')
    const leader = group.elect(1)
    expect(leader.node.requestSnapshot()).toBe('dropped')
  })
})
