/** Linearizable reads: rounds, leases, and when neither may be trusted. */
import { describe, expect, test } from 'vitest'
import { MessageType, ReadOnlyOption, StateRole } from '../../src/raft/types.ts'
import { Group, messageFrom, START_INDEX } from './group.ts'

const READ = Buffer.from('read')

function contexts(reads: readonly { context: Uint8Array }[]): string[] {
  return reads.map(({ context }) => Buffer.from(context).toString())
}

describe('safe reads', () => {
  test('wait for a quorum to answer a round that started after them', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    expect(leader.node.readIndex(READ)).toBe('ok')
    expect(leader.node.hasReady()).toBe(true)
    const [ready] = group.take(1)
    expect(ready!.messages.map(({ type }) => type)).toEqual([
      MessageType.Heartbeat,
      MessageType.Heartbeat,
    ])
    expect(leader.reads).toEqual([])
    group.settle()
    expect(leader.reads).toEqual([{ index: leader.node.commitIndex, context: READ }])
  })

  test('share one round when they arrive together', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    for (const name of ['a', 'b', 'c']) leader.node.readIndex(Buffer.from(name))
    const [ready] = group.take(1)
    expect(ready!.messages).toHaveLength(2)
    group.settle()
    expect(contexts(leader.reads)).toEqual(['a', 'b', 'c'])
  })

  test('even the only voter waits for its own term', () => {
    const group = new Group(1)
    const { node, reads } = group.at(1)
    node.campaign()
    group.take(1)
    group.persist(1)
    expect(node.role).toBe(StateRole.Leader)
    node.readIndex(READ)
    group.take(1)
    expect(reads).toEqual([])
    group.settle()
    expect(reads).toEqual([{ index: START_INDEX + 1, context: READ }])
  })

  test('answers to an earlier round do not confirm a later read', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.readIndex(Buffer.from('first'))
    group.take(1)
    group.deliver()
    group.take(2)
    leader.node.readIndex(Buffer.from('second'))
    group.deliver(1)
    group.take(1)
    expect(contexts(leader.reads)).toEqual(['first'])
    group.settle()
    expect(contexts(leader.reads)).toEqual(['first', 'second'])
  })

  test('a lost round is repeated with the next heartbeat', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.readIndex(READ)
    group.take(1)
    group.queue = []
    group.settle()
    expect(leader.reads).toEqual([])
    group.tickAll(2)
    expect(contexts(leader.reads)).toEqual(['read'])
  })

  test('a leader without its quorum answers none', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(1)
    leader.node.readIndex(READ)
    group.tickAll(5)
    expect(leader.reads).toEqual([])
  })

  test('are forgotten when the leader loses its office', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(1)
    leader.node.readIndex(READ)
    group.settle()
    group.elect(2)
    group.cut.delete(1)
    group.tickAll(4)
    expect(leader.node.role).toBe(StateRole.Follower)
    expect(leader.reads).toEqual([])
  })

  test('a follower asks its leader', () => {
    const group = new Group(3)
    group.elect(1)
    const { node, reads } = group.at(3)
    node.readIndex(READ)
    group.settle()
    expect(reads).toEqual([{ index: START_INDEX + 1, context: READ }])
    expect(group.at(1).reads).toEqual([])
  })

  test('nobody can be asked without a leader', () => {
    expect(new Group(3).at(2).node.readIndex(READ)).toBe('no-leader')
  })
})

describe('lease-based reads', () => {
  const LEASED = { readOnlyOption: ReadOnlyOption.LeaseBased, checkQuorum: true }

  test('need no round while the lease holds', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    expect(leader.node.inLease()).toBe(false)
    group.tickAll(2)
    expect(leader.node.inLease()).toBe(true)
    leader.node.readIndex(READ)
    const [ready] = group.take(1)
    expect(ready!.readStates).toEqual([{ index: leader.node.commitIndex, context: READ }])
    expect(ready!.messages).toEqual([])
  })

  test('the lease ends a tick before followers would vote again', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    group.tickAll(2)
    group.cut.add(1)
    const ticks: boolean[] = []
    for (let i = 1; i <= 9; i++) {
      leader.node.tick()
      ticks.push(leader.node.inLease())
    }
    expect(ticks).toEqual([true, true, true, true, true, true, true, true, false])
  })

  test('the lease starts when the heartbeat leaves, not when its answer comes', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    leader.node.tick()
    leader.node.tick()
    group.take(1)
    for (let i = 0; i < 9; i++) leader.node.tick()
    group.deliver(2, 3)
    group.settle()
    expect(leader.node.inLease()).toBe(false)
  })

  test('a restarted voter keeps the promise that it gave before', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    group.tickAll(2)
    const voter = group.at(2)
    voter.restart(voter.node.appliedIndex)
    const request = messageFrom(3, 2, MessageType.RequestVote, {
      term: leader.node.term + 1,
      index: leader.node.lastIndex,
      logTerm: leader.node.term,
    })
    voter.node.step(request)
    expect(voter.node.hasReady()).toBe(false)
    for (let i = 0; i < 10; i++) voter.node.tick()
    voter.node.step(request)
    expect(voter.node.term).toBe(leader.node.term + 1)
    expect(voter.node.vote).toBe(3)
  })

  test('a voter that owes the lease does not campaign out of turn', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    // Peer 3 hears nothing for an election time-out, peer 2 all the while.
    group.cut.add(3)
    for (const { node } of group.members) node.setElectionTimeout(1000)
    group.tickAll(10)
    expect(leader.node.inLease()).toBe(true)
    group.cut.clear()
    group.cut.add(1)
    expect(group.at(2).node.campaign()).toBe('lease')
    group.settle()
    expect(group.at(2).node.role).toBe(StateRole.Follower)
    group.tickAll(9)
    expect(leader.node.inLease()).toBe(false)
    group.tickAll(1)
    expect(group.at(2).node.campaign()).toBe('ok')
    group.settle()
    expect(group.at(2).node.role).toBe(StateRole.Leader)
  })

  test('rest on checkQuorum', () => {
    expect(() => new Group(1, { ...LEASED, checkQuorum: false })).toThrow('checkQuorum')
  })
})
