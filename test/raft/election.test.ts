/** Campaigns and votes, with the known ways in which they went wrong elsewhere. */
import { describe, expect, test } from 'vitest'
import { TRANSFER_CONTEXT } from '../../src/raft/message.ts'
import { MessageType, StateRole } from '../../src/raft/types.ts'
import { entry, Group, messageFrom, START_INDEX, START_TERM } from './group.ts'

describe('a campaign', () => {
  test('starts after a random time without a leader', () => {
    const group = new Group(3)
    const { node } = group.at(1)
    node.setElectionTimeout(node.electionElapsed + 3)
    expect(node.tick()).toBe(false)
    expect(node.tick()).toBe(false)
    expect(node.tick()).toBe(true)
    expect(node.role).toBe(StateRole.Candidate)
    expect(node.term).toBe(START_TERM + 1)
  })

  test('is not for learners', () => {
    const group = new Group(3, {}, [3])
    const { node } = group.at(3)
    expect(node.isPromotable).toBe(false)
    node.campaign()
    expect(node.role).toBe(StateRole.Follower)
  })

  test('of pre-votes uses up no term', () => {
    const group = new Group(3, { preVote: true })
    group.cut.add(1)
    group.elect(1)
    expect(group.at(1).node.role).toBe(StateRole.PreCandidate)
    expect(group.at(1).node.term).toBe(START_TERM)
  })

  test('fails as soon as a majority refuses', () => {
    const group = new Group(3)
    group.elect(1)
    group.cut.add(3)
    group.at(1).node.propose(Buffer.from('x'))
    group.settle()
    group.cut.clear()
    group.elect(3)
    expect(group.at(3).node.role).toBe(StateRole.Follower)
    expect(group.at(1).node.role).toBe(StateRole.Follower)
  })

  test('waits while a committed membership change is not applied', () => {
    const group = new Group(3, { commitByVote: false })
    group.elect(1)
    const leader = group.at(1).node
    const change = { transition: 0 as const, changes: [{ type: 2 as const, nodeId: 4 }] }
    expect(leader.proposeConfChange({ ...change, context: Buffer.alloc(0) })).toBe('ok')
    group.take(1)
    group.persist(1)
    group.deliver()
    const { node, storage } = group.at(2)
    group.take(2)
    group.persist(2)
    const commit = { term: leader.term, commit: leader.lastIndex }
    storage.unavailableTo.add(0)
    node.step(messageFrom(1, 2, MessageType.Heartbeat, commit))
    group.take(2)
    node.campaign()
    expect(node.role).toBe(StateRole.Follower)
  })
})

describe('a voter', () => {
  const request = (fields: object) =>
    messageFrom(2, 1, MessageType.RequestVote, {
      term: START_TERM + 1,
      index: START_INDEX,
      logTerm: START_TERM,
      ...fields,
    })

  function rejects(group: Group): boolean[] {
    return group.take(1).flatMap(({ persistedMessages }) => persistedMessages.map((m) => m.reject))
  }

  test('votes once in a term, and again for the same candidate', () => {
    const group = new Group(3)
    const { node } = group.at(1)
    node.step(request({}))
    node.step(request({}))
    node.step(request({ from: 3 }))
    expect(rejects(group)).toEqual([false, false, true])
    expect(node.vote).toBe(2)
  })

  test('refuses a log that is older than its own', () => {
    const group = new Group(3)
    group.at(1).node.step(request({ index: START_INDEX - 1 }))
    group.at(1).node.step(request({ index: START_INDEX + 9, logTerm: START_TERM - 1 }))
    expect(rejects(group)).toEqual([true, true])
    expect(group.at(1).node.vote).toBe(0)
  })

  test('who heard its leader lately ignores candidates, except one that the leader ordered', () => {
    const group = new Group(3, { checkQuorum: true })
    group.elect(3)
    const { node } = group.at(1)
    const fields = { term: 9, index: 99, logTerm: 9 }
    node.step(request(fields))
    expect(node.hasReady()).toBe(false)
    node.step(request({ ...fields, context: TRANSFER_CONTEXT }))
    expect(node.term).toBe(9)
    expect(node.vote).toBe(2)
  })

  test('votes again once the leader was silent for an election time-out', () => {
    const group = new Group(3, { checkQuorum: true })
    group.elect(3)
    const { node } = group.at(1)
    node.setElectionTimeout(1000)
    for (let i = 0; i < 10; i++) node.tick()
    node.step(request({ term: 9, index: 99, logTerm: 9 }))
    expect(node.vote).toBe(2)
  })
})

describe('a leader', () => {
  test('steps down when it hears from no quorum', () => {
    const group = new Group(3, { checkQuorum: true })
    const leader = group.elect(1)
    group.cut.add(1)
    group.tickAll(20)
    expect(leader.node.role).toBe(StateRole.Follower)
    expect(leader.node.leaderId).toBe(0)
  })

  test('of the past is told of the later term', () => {
    const group = new Group(3, { checkQuorum: true })
    const leader = group.elect(1)
    group.at(3).node.step(
      messageFrom(2, 3, MessageType.RequestVote, {
        term: 7,
        context: TRANSFER_CONTEXT,
      }),
    )
    group.tickAll(2)
    expect(leader.node.role).toBe(StateRole.Follower)
    expect(leader.node.term).toBe(7)
  })
})

describe('commit by vote', () => {
  test('a refusal tells a candidate what is committed', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    group.take(1)
    group.deliver()
    for (const id of [2, 3]) {
      group.take(id)
      group.persist(id)
    }
    group.persist(1)
    group.deliver(1)
    group.take(1)
    group.queue = []
    leader.node.propose(Buffer.from('longer'))
    group.take(1)
    group.queue = []
    const { node } = group.at(2)
    expect(node.commitIndex).toBe(leader.node.commitIndex - 1)
    group.cut.add(3)
    node.campaign()
    group.settle()
    expect(node.commitIndex).toBe(leader.node.commitIndex)
  })

  test('means nothing where the entry at that index is another', () => {
    const group = new Group(3)
    const { node } = group.at(1)
    const from = { term: 2, index: START_INDEX, logTerm: START_TERM, entries: [entry(11, 2)] }
    node.step(messageFrom(3, 1, MessageType.Append, from))
    node.campaign()
    const refusal = { term: node.term, reject: true, commit: START_INDEX + 1 }
    const { RequestVoteResponse } = MessageType
    node.step(messageFrom(2, 1, RequestVoteResponse, { ...refusal, commitTerm: 1 }))
    expect(node.commitIndex).toBe(START_INDEX)
    node.step(messageFrom(2, 1, RequestVoteResponse, { ...refusal, commitTerm: 2 }))
    expect(node.commitIndex).toBe(START_INDEX + 1)
  })
})

describe('messages from outside', () => {
  test('answers of strangers are refused', () => {
    const group = new Group(3)
    const { node } = group.elect(1)
    const ack = { term: node.term, index: node.lastIndex }
    expect(node.step(messageFrom(9, 1, MessageType.AppendResponse, ack))).toBe('peer-not-found')
  })

  test('what only the node itself may ask is refused', () => {
    const { node } = new Group(1).at(1)
    expect(node.step(messageFrom(2, 1, MessageType.Hup, {}))).toBe('local-message')
  })

  test('proposals need a leader, or forwarding to one', () => {
    const group = new Group(3)
    expect(group.at(2).node.propose(Buffer.from('x'))).toBe('no-leader')
    group.elect(1)
    expect(group.at(2).node.propose(Buffer.from('x'))).toBe('not-leader')
    const proposal = { entries: [entry(0, 0, 'x')] }
    expect(group.at(2).node.step(messageFrom(3, 2, MessageType.Propose, proposal))).toBe('dropped')
  })

  test('forwarded proposals reach the leader', () => {
    const group = new Group(3, { disableProposalForwarding: false })
    group.elect(1)
    expect(group.at(2).node.propose(Buffer.from('x'))).toBe('ok')
    group.settle()
    for (const member of group.members) expect(member.appliedData).toEqual(['x'])
  })
})
