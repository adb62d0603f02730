/** Coming back from what was stored, and refusing what cannot have been stored. */
import { describe, expect, test } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { RawNode } from '../../src/raft/raw-node.ts'
import { MessageType, StateRole } from '../../src/raft/types.ts'
import {
  entry,
  Group,
  messageFrom,
  START_INDEX,
  START_TERM,
  startSnapshot,
  testConfig,
} from './group.ts'
import { confStateOf, MemoryStorage } from './script/storage.ts'

const CONF = confStateOf([1, 2, 3])

describe('a restarted node', () => {
  test('continues with its term, vote, commit and log', () => {
    const group = new Group(3)
    group.elect(1)
    group.at(1).node.propose(Buffer.from('x'))
    group.settle()
    const member = group.at(2)
    const before = member.node.status()
    member.restart(START_INDEX)
    const after = member.node.status()
    const log = { ...before.log, applied: START_INDEX, handedOut: START_INDEX }
    const { electionElapsed, electionTimeout } = after
    expect(after).toEqual({ ...before, leaderId: 0, log, electionElapsed, electionTimeout })
  })

  test('hands out again what lies behind the applied index, and nothing else', () => {
    const group = new Group(3)
    group.elect(1)
    for (const data of ['a', 'b', 'c']) group.at(1).node.propose(Buffer.from(data))
    group.settle()
    const member = group.at(2)
    member.restart(START_INDEX + 2)
    expect(member.node.hasReady()).toBe(true)
    const ready = member.node.ready()
    expect(ready.committedEntries.map(({ index }) => index)).toEqual([
      START_INDEX + 3,
      START_INDEX + 4,
    ])
    expect(ready.softState).toBeUndefined()
    expect(ready.hardState).toBeUndefined()
    expect(ready.mustSync).toBe(false)
    member.node.advanceAppendAsync(ready)
    expect(member.node.hasReady()).toBe(false)
  })

  test('has nothing to do when everything is applied', () => {
    const group = new Group(3)
    group.elect(1)
    const member = group.at(2)
    member.restart(member.node.appliedIndex)
    expect(member.node.hasReady()).toBe(false)
  })

  test('knows that what it applied is committed, though the hard state says less', () => {
    const storage = new MemoryStorage(startSnapshot(CONF))
    storage.append([entry(11, 2), entry(12, 2)])
    storage.hardState = { term: 2, vote: 0, commit: START_INDEX }
    const node = new RawNode(testConfig(1, { applied: 12 }), storage, seededRandom(1))
    expect(node.commitIndex).toBe(12)
    expect(node.hasReady()).toBe(false)
  })

  test('a leader comes back as a follower, and does not vote twice in its term', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    const { term } = leader.node
    leader.restart(leader.node.appliedIndex)
    expect(leader.node.role).toBe(StateRole.Follower)
    const fields = { term, index: START_INDEX + 5, logTerm: term }
    leader.node.step(messageFrom(2, 1, MessageType.RequestVote, fields))
    const [ready] = group.take(1)
    expect(ready!.persistedMessages.map(({ reject }) => reject)).toEqual([true])
  })

  test('an unsynced tail that is lost is fetched again from the leader', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    const member = group.at(2)
    const disk = member.storage.clone()
    leader.node.propose(Buffer.from('x'))
    group.take(1)
    group.deliver()
    group.take(2)
    member.storage = disk
    member.restart(START_INDEX)
    group.settle()
    group.tickAll(4)
    expect(member.node.lastIndex).toBe(leader.node.lastIndex)
    expect(member.appliedData).toEqual(['x'])
  })

  test('refuses a hard state that is ahead of the log', () => {
    const storage = new MemoryStorage(startSnapshot(CONF))
    storage.hardState = { term: 2, vote: 0, commit: START_INDEX + 1 }
    expect(() => new RawNode(testConfig(1), storage, seededRandom(1))).toThrow('lost its tail')
  })

  test('refuses a term that is behind the log', () => {
    const storage = new MemoryStorage(startSnapshot(CONF))
    storage.append([entry(11, 4)])
    storage.hardState = { term: 2, vote: 0, commit: START_INDEX }
    expect(() => new RawNode(testConfig(1), storage, seededRandom(1))).toThrow('behind the log')
  })
})

describe('a heartbeat', () => {
  test('with a commit index behind the end of a log that lost its tail does no harm', () => {
    const group = new Group(3)
    const { node } = group.at(2)
    node.step(messageFrom(1, 2, MessageType.Heartbeat, { term: START_TERM + 1, commit: 99 }))
    expect(node.commitIndex).toBe(START_INDEX)
    expect(node.leaderId).toBe(1)
  })
})
