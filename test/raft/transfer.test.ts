/** Handing leadership over. */
import { describe, expect, test } from 'vitest'
import { MessageType, StateRole } from '../../src/raft/types.ts'
import { Group } from './group.ts'

const DATA = Buffer.from('x')

describe('a transfer', () => {
  test('moves leadership to a follower that is up to date', () => {
    const group = new Group(3, { checkQuorum: true, preVote: true })
    const leader = group.elect(1)
    leader.node.transferLeader(2)
    expect(leader.node.leadTransferee).toBe(2)
    group.settle()
    expect(group.at(2).node.role).toBe(StateRole.Leader)
    expect(leader.node.role).toBe(StateRole.Follower)
    expect(leader.node.leadTransferee).toBe(0)
  })

  test('lets a follower catch up first', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(3)
    leader.node.propose(DATA)
    group.settle()
    group.cut.delete(3)
    leader.node.reportUnreachable(3)
    leader.node.transferLeader(3)
    const [ready] = group.take(1)
    expect(ready!.messages.map(({ type }) => type)).toEqual([MessageType.Append])
    group.settle()
    expect(group.at(3).node.role).toBe(StateRole.Leader)
    expect(group.at(3).appliedData).toEqual(['x'])
  })

  test('refuses proposals while it lasts, and gives up after an election time-out', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(2)
    leader.node.transferLeader(2)
    expect(leader.node.propose(DATA)).toBe('transferring')
    group.tickAll(9)
    expect(leader.node.propose(DATA)).toBe('transferring')
    group.tickAll(1)
    expect(leader.node.propose(DATA)).toBe('ok')
    expect(leader.node.role).toBe(StateRole.Leader)
  })

  test('to another peer replaces one under way', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    group.cut.add(2)
    leader.node.transferLeader(2)
    leader.node.transferLeader(3)
    group.settle()
    expect(group.at(3).node.role).toBe(StateRole.Leader)
  })

  test('asked of a follower reaches the leader', () => {
    const group = new Group(3)
    group.elect(1)
    group.at(2).node.transferLeader(3)
    group.settle()
    expect(group.at(3).node.role).toBe(StateRole.Leader)
  })

  test('to a learner, a stranger or itself does nothing', () => {
    const group = new Group(3, {}, [3])
    const leader = group.elect(1)
    for (const to of [3, 9, 1]) {
      leader.node.transferLeader(to)
      expect(leader.node.leadTransferee).toBe(0)
    }
    expect(leader.node.propose(DATA)).toBe('ok')
  })

  test('the order to campaign is ignored by who may not lead', () => {
    const group = new Group(3, {}, [3])
    const leader = group.elect(1)
    const order = { ...leader.node.ready() }
    leader.node.advanceAppendAsync(order)
    const { node } = group.at(3)
    node.campaign()
    expect(node.role).toBe(StateRole.Follower)
  })
})
