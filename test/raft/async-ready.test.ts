/** The next ready may be taken before the last one is durable. */
import { describe, expect, test } from 'vitest'
import { MessageType, StateRole } from '../../src/raft/types.ts'
import { entry, Group, messageFrom, START_INDEX, START_TERM } from './group.ts'

describe('a leader', () => {
  test('sends appends before its own entries are durable', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    const [ready] = group.take(1)
    expect(ready!.entries).toHaveLength(1)
    expect(ready!.messages.map(({ type, to }) => [type, to])).toEqual([
      [MessageType.Append, 2],
      [MessageType.Append, 3],
    ])
    expect(ready!.persistedMessages).toEqual([])
  })

  test('counts its own copy only once it is durable', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    const before = leader.node.commitIndex
    leader.node.propose(Buffer.from('x'))
    group.take(1)
    group.cut.add(3)
    group.deliver()
    group.take(2)
    group.persist(2)
    group.deliver(1)
    expect(leader.node.commitIndex).toBe(before)
    group.persist(1)
    expect(leader.node.commitIndex).toBe(before + 1)
  })

  test('commits by its followers, but applies only what it holds durably itself', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    const before = leader.node.commitIndex
    leader.node.propose(Buffer.from('x'))
    group.take(1)
    group.deliver()
    for (const id of [2, 3]) {
      group.take(id)
      group.persist(id)
    }
    group.deliver(1)
    expect(leader.node.commitIndex).toBe(before + 1)
    const committed = group.take(1).flatMap((ready) => ready.committedEntries)
    expect(committed).toEqual([])
    group.persist(1)
    const after = group.take(1).flatMap((ready) => ready.committedEntries)
    expect(after.map(({ index }) => index)).toEqual([before + 1])
  })

  test('takes many readies ahead, and a higher number covers the lower ones', () => {
    const group = new Group(1)
    const leader = group.elect(1)
    const numbers: number[] = []
    for (const data of ['a', 'b', 'c']) {
      leader.node.propose(Buffer.from(data))
      numbers.push(...group.take(1).map((ready) => ready.number))
    }
    expect(leader.unpersisted).toHaveLength(3)
    expect(leader.node.persistedIndex).toBe(leader.node.lastIndex - 3)
    leader.node.onPersistReady(numbers[1]!)
    expect(leader.node.persistedIndex).toBe(leader.node.lastIndex - 1)
    leader.node.onPersistReady(numbers[0]!)
    expect(leader.node.persistedIndex).toBe(leader.node.lastIndex - 1)
    leader.node.onPersistReady(numbers[2]!)
    expect(leader.node.commitIndex).toBe(leader.node.lastIndex)
    group.take(1)
    expect(leader.appliedData).toEqual(['a', 'b', 'c'])
  })

  test('a ready number rises by one with every ready', () => {
    const group = new Group(1)
    group.elect(1)
    const { node } = group.at(1)
    node.propose(Buffer.from('a'))
    const [first] = group.take(1)
    node.propose(Buffer.from('b'))
    const [second] = group.take(1)
    expect(second!.number).toBe(first!.number + 1)
  })
})

describe('a follower', () => {
  const append = (index: number) =>
    messageFrom(1, 2, MessageType.Append, {
      term: START_TERM + 1,
      index,
      logTerm: index === START_INDEX ? START_TERM : START_TERM + 1,
      entries: [entry(index + 1, START_TERM + 1)],
      commit: index,
    })

  test('acknowledges only what is durable', () => {
    const group = new Group(3)
    group.at(2).node.step(append(START_INDEX))
    const [ready] = group.take(2)
    expect(ready!.messages).toEqual([])
    expect(ready!.persistedMessages.map(({ type, index }) => [type, index])).toEqual([
      [MessageType.AppendResponse, START_INDEX + 1],
    ])
    expect(ready!.mustSync).toBe(true)
  })

  test('applies committed entries only once they are durable', () => {
    const group = new Group(3)
    const { node } = group.at(2)
    node.step(append(START_INDEX))
    group.take(2)
    node.step(append(START_INDEX + 1))
    const [second] = group.take(2)
    expect(second!.commitIndex).toBe(START_INDEX + 1)
    expect(second!.committedEntries).toEqual([])
    expect(node.hasReady()).toBe(false)
    group.persist(2)
    const [third] = group.take(2)
    expect(third!.committedEntries.map(({ index }) => index)).toEqual([START_INDEX + 1])
    expect(third!.mustSync).toBe(false)
  })

  test('commits only what the leader proved to be its own', () => {
    const group = new Group(3)
    const { node } = group.at(2)
    const tail = [entry(START_INDEX + 1, 2), entry(START_INDEX + 2, 2)]
    const from = { index: START_INDEX, logTerm: START_TERM }
    node.step(messageFrom(1, 2, MessageType.Append, { ...from, term: 2, entries: tail }))
    // Another leader knows more to be committed than it shows to be common.
    node.step(messageFrom(3, 2, MessageType.Append, { ...from, term: 3, commit: START_INDEX + 2 }))
    expect(node.lastIndex).toBe(START_INDEX + 2)
    expect(node.commitIndex).toBe(START_INDEX)
  })

  test('votes only once its vote is durable', () => {
    const group = new Group(3)
    const request = messageFrom(1, 2, MessageType.RequestVote, {
      term: START_TERM + 1,
      index: START_INDEX,
      logTerm: START_TERM,
    })
    group.at(2).node.step(request)
    const [ready] = group.take(2)
    expect(ready!.messages).toEqual([])
    expect(ready!.hardState).toEqual({ term: START_TERM + 1, vote: 1, commit: START_INDEX })
    expect(ready!.persistedMessages.map(({ type, reject }) => [type, reject])).toEqual([
      [MessageType.RequestVoteResponse, false],
    ])
  })

  test('answers heartbeats of a term that it holds durably at once, and others after that', () => {
    const group = new Group(3)
    const heartbeat = messageFrom(1, 2, MessageType.Heartbeat, { term: START_TERM + 1 })
    group.at(2).node.step(heartbeat)
    const [first] = group.take(2)
    expect(first!.messages).toEqual([])
    expect(first!.persistedMessages).toHaveLength(1)
    group.persist(2)
    group.at(2).node.step(heartbeat)
    const [second] = group.take(2)
    expect(second!.messages.map(({ type }) => type)).toEqual([MessageType.HeartbeatResponse])
  })
})

describe('a candidate', () => {
  test('asks for votes, and counts its own, only once its vote is durable', () => {
    const group = new Group(1)
    const { node } = group.at(1)
    node.campaign()
    const [ready] = group.take(1)
    expect(ready!.hardState).toEqual({ term: START_TERM + 1, vote: 1, commit: START_INDEX })
    expect(node.role).toBe(StateRole.Candidate)
    group.persist(1)
    expect(node.role).toBe(StateRole.Leader)
  })

  test('tells nobody of a campaign that a crash could make it forget', () => {
    const group = new Group(3)
    group.at(1).node.campaign()
    const [ready] = group.take(1)
    expect(ready!.messages).toEqual([])
    expect(ready!.persistedMessages.map(({ type, to }) => [type, to])).toEqual([
      [MessageType.RequestVote, 2],
      [MessageType.RequestVote, 3],
    ])
  })

  test('a vote of an earlier campaign that becomes durable late does not count for a later one', () => {
    const group = new Group(1)
    const { node } = group.at(1)
    node.campaign()
    const [first] = group.take(1)
    node.campaign()
    const [second] = group.take(1)
    node.onPersistReady(first!.number)
    expect(node.role).toBe(StateRole.Candidate)
    node.onPersistReady(second!.number)
    expect(node.role).toBe(StateRole.Leader)
    expect(node.term).toBe(START_TERM + 2)
  })
})

describe('synchronous persistence', () => {
  test('tells at once what became possible', () => {
    const group = new Group(1)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    const ready = leader.node.ready()
    expect(ready.committedEntries).toEqual([])
    leader.storage.append(ready.entries)
    const light = leader.node.advanceAppend(ready)
    expect(light.commitIndex).toBe(leader.node.lastIndex)
    expect(light.committedEntries.map(({ index }) => index)).toEqual([leader.node.lastIndex])
    leader.apply(light.committedEntries)
    expect(leader.node.hasReady()).toBe(false)
  })

  test('refuses calls between a ready and its advance', () => {
    const group = new Group(1)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    leader.node.ready()
    expect(() => leader.node.tick()).toThrow('advanced over first')
    expect(() => leader.node.ready()).toThrow('advanced over first')
  })

  test('refuses to advance over entries that storage was not given', () => {
    const group = new Group(1)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    const ready = leader.node.ready()
    expect(() => leader.node.advanceAppendAsync(ready)).toThrow('storage ends at')
  })
})
