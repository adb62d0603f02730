/** Membership changes as a group lives through them. */
import { describe, expect, test } from 'vitest'
import {
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
  EntryType,
  MessageType,
  StateRole,
} from '../../src/raft/types.ts'
import { entry, Group, messageFrom } from './group.ts'
import { parseChanges } from './script/changes.ts'

function change(text: string, transition: ConfChangeTransition = 0): ConfChangeV2 {
  return { transition, changes: parseChanges(text), context: Buffer.alloc(0) }
}

describe('a change', () => {
  test('takes effect when it is applied, on all members', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    expect(node.proposeConfChange(change('l3'))).toBe('ok')
    expect(node.confState.learners).toEqual([])
    group.settle()
    for (const member of group.members) {
      expect(member.node.confState).toEqual({
        voters: [1, 2],
        votersOutgoing: [],
        learners: [3],
        learnersNext: [],
        autoLeave: false,
      })
    }
  })

  test('one at a time', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    const first = node.lastIndex + 1
    expect(node.proposeConfChange(change('l3'), true)).toBe('ok')
    expect(node.pendingConfIndex).toBe(first)
    expect(node.proposeConfChange(change('r2'))).toBe('conf-change-pending')
    expect(node.lastIndex).toBe(first)
    group.settle()
    expect(node.proposeConfChange(change('r2'))).toBe('ok')
  })

  test('that makes no membership is refused', () => {
    const { node } = new Group(2).elect(1)
    expect(node.proposeConfChange(change('r1 r2'))).toBe('invalid-conf-change')
    expect(node.proposeConfChange(change(''))).toBe('not-joint')
  })

  test('that is forwarded and refused becomes an empty entry', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    const refused = { ...entry(0, 0, ''), type: EntryType.ConfChangeV2 }
    node.step(messageFrom(2, 1, MessageType.Propose, { entries: [refused] }))
    const [ready] = group.take(1)
    expect(ready!.entries.map(({ type }) => type)).toEqual([EntryType.Normal])
  })

  test('must be asked of the leader', () => {
    const group = new Group(3)
    group.elect(1)
    expect(group.at(2).node.proposeConfChange(change('r3'))).toBe('not-leader')
  })
})

describe('a joint state', () => {
  test('refuses everything but leaving', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    node.proposeConfChange(change('l3', ConfChangeTransition.Explicit))
    group.settle()
    expect(node.confState.votersOutgoing).toEqual([1, 2, 3])
    expect(node.confState.learnersNext).toEqual([3])
    expect(node.proposeConfChange(change('l2'))).toBe('already-joint')
    expect(node.proposeConfChange(change(''))).toBe('ok')
    group.settle()
    expect(node.confState.learners).toEqual([3])
  })

  test('commits need both majorities', () => {
    const group = new Group(5)
    const { node } = group.elect(1)
    node.proposeConfChange(change('r4 r5 r3', ConfChangeTransition.Explicit))
    group.settle()
    expect(node.confState.voters).toEqual([1, 2])
    group.cut.add(2)
    const before = node.commitIndex
    node.propose(Buffer.from('x'))
    group.settle()
    // Four of the five old voters are there, but only one of the two new ones.
    expect(node.commitIndex).toBe(before)
    group.cut.clear()
    group.tickAll(2)
    expect(node.commitIndex).toBe(before + 1)
  })

  test('elections need both majorities', () => {
    const group = new Group(5)
    const { node } = group.elect(1)
    node.proposeConfChange(change('r4 r5 r3', ConfChangeTransition.Explicit))
    group.settle()
    group.cut.add(1)
    group.elect(2)
    // Four of the five old voters, but one of the two new ones.
    expect(group.at(2).node.role).toBe(StateRole.Candidate)
    group.cut.clear()
    for (const id of [3, 4, 5]) group.cut.add(id)
    group.elect(2)
    // Both new voters, but two of the five old ones.
    expect(group.at(2).node.role).toBe(StateRole.Candidate)
    group.cut.delete(5)
    group.elect(2)
    expect(group.at(2).node.role).toBe(StateRole.Leader)
  })
})

describe('a joint state that is to be left by itself', () => {
  test('is left after a transfer that kept the leader from doing so has failed', () => {
    const group = new Group(4)
    const { node } = group.elect(1)
    group.cut.add(2)
    node.proposeConfChange(change('l4', ConfChangeTransition.Implicit))
    node.transferLeader(2)
    group.settle()
    expect(node.confState.autoLeave).toBe(true)
    expect(node.leadTransferee).toBe(2)
    // Nothing is proposed meanwhile that would bring it about in passing.
    group.tickAll(10)
    expect(node.leadTransferee).toBe(0)
    expect(node.confState).toMatchObject({ votersOutgoing: [], learners: [4] })
  })

  test('is left when the leader calls the transfer off', () => {
    const group = new Group(4)
    const { node } = group.elect(1)
    group.cut.add(2)
    node.proposeConfChange(change('l4', ConfChangeTransition.Implicit))
    node.transferLeader(2)
    group.settle()
    node.transferLeader(1)
    group.settle()
    expect(node.confState).toMatchObject({ votersOutgoing: [], learners: [4] })
  })
})

describe('a removed leader', () => {
  test('steps down when it applied its removal', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    node.proposeConfChange(change('r1'))
    group.settle()
    expect(node.role).toBe(StateRole.Follower)
    expect(node.isPromotable).toBe(false)
    group.elect(2)
    expect(group.at(2).node.role).toBe(StateRole.Leader)
  })

  test('of two leaves the survivor able to lead', () => {
    const group = new Group(2)
    const leader = group.elect(1)
    leader.node.proposeConfChange(change('r1'))
    leader.node.propose(Buffer.from('tail'))
    group.take(1)
    group.persist(1)
    group.deliver()
    group.take(2)
    group.persist(2)
    group.deliver(1)
    group.at(1).take()
    // The word that the change is committed is lost.
    group.queue = []
    expect(leader.node.role).toBe(StateRole.Follower)
    expect(group.at(2).node.confState.voters).toEqual([1, 2])
    group.elect(2)
    expect(group.at(2).node.role).toBe(StateRole.Leader)
    expect(group.at(2).node.confState.voters).toEqual([2])
  })

  test('that stays in office refuses proposals and counts no copy of its own', () => {
    const group = new Group(3, { stepDownOnRemoval: false })
    const { node } = group.elect(1)
    node.proposeConfChange(change('r1'))
    group.settle()
    expect(node.role).toBe(StateRole.Leader)
    expect(node.propose(Buffer.from('x'))).toBe('removed')
    expect(node.progressOf(1)).toBeUndefined()
  })
})

describe('a newcomer', () => {
  test('starts as a learner without a log and catches up', () => {
    const group = new Group(3, {}, [3])
    const { node } = group.elect(1)
    node.propose(Buffer.from('x'))
    group.settle()
    expect(node.proposeConfChange(change('v3'))).toBe('ok')
    group.settle()
    expect(node.progressOf(3)!.isLearner).toBe(false)
    expect(group.at(3).node.isPromotable).toBe(true)
    expect(group.at(3).appliedData).toEqual(['x'])
  })

  test('types keep their numbers', () => {
    expect(ConfChangeType).toEqual({
      AddNode: 0,
      RemoveNode: 1,
      AddLearnerNode: 2,
      UpdateNode: 3,
    })
  })
})
