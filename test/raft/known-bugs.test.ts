/**
 * Faults that other raft implementations shipped, by their number in the list that this project
 * keeps. Each test fails when what prevents the fault is taken out: mutants.mjs does so, and
 * test/README.md shows the table.
 */
import { describe, expect, test } from 'vitest'
import { decodeConfChange } from '../../src/raft/conf-change-codec.ts'
import { ProgressState } from '../../src/raft/tracker/progress.ts'
import {
  ConfChangeTransition,
  type ConfChangeV2,
  EntryType,
  MessageType,
  ReadOnlyOption,
  StateRole,
} from '../../src/raft/types.ts'
import { entry, Group, messageFrom, START_INDEX, START_TERM } from './group.ts'
import { parseChanges } from './script/changes.ts'

const READ = Buffer.from('read')
const LEASED = { readOnlyOption: ReadOnlyOption.LeaseBased, checkQuorum: true }

function change(text: string, transition: ConfChangeTransition = 0): ConfChangeV2 {
  return { transition, changes: parseChanges(text), context: Buffer.alloc(0) }
}

/** Takes all readies of these members and persists them; what they send is queued. */
function work(group: Group, ...members: readonly number[]): void {
  for (const id of members) {
    group.take(id)
    group.persist(id)
  }
}

describe('commit and election', () => {
  test('bug 1: a leader commits an entry of an earlier term by counting copies', () => {
    const group = new Group(3)
    const old = group.elect(1)
    old.node.propose(Buffer.from('old'))
    group.cut.add(3)
    group.take(1)
    group.persist(1)
    group.deliver()
    group.take(2)
    group.persist(2)
    group.queue = []
    const commit = old.node.commitIndex
    const { node } = group.at(2)
    node.campaign()
    group.take(2)
    group.persist(2)
    group.deliver(1)
    group.take(1)
    group.persist(1)
    group.deliver(2)
    expect(node.role).toBe(StateRole.Leader)
    // Both copies of the old entry are acknowledged, the new leader's own entry is not.
    const ack = { term: node.term, index: commit + 1 }
    group.take(2)
    group.persist(2)
    node.step(messageFrom(1, 2, MessageType.AppendResponse, ack))
    expect(node.commitIndex).toBe(commit)
    node.step(messageFrom(1, 2, MessageType.AppendResponse, { ...ack, index: commit + 2 }))
    expect(node.commitIndex).toBe(commit + 2)
  })

  test('bug 2: two changes under way at once, of two leaders, lead to disjoint quorums', () => {
    const group = new Group(5, {}, [4, 5])
    const old = group.elect(1)
    expect(old.node.proposeConfChange(change('v4'))).toBe('ok')
    group.take(1)
    group.persist(1)
    group.deliver(2)
    group.take(2)
    group.persist(2)
    // The change is on two of three disks, but nobody knows that it is committed.
    group.queue = []
    group.cut.add(1)
    const { node } = group.at(2)
    node.campaign()
    group.take(2)
    group.persist(2)
    group.deliver(3)
    group.take(3)
    group.persist(3)
    group.deliver(2)
    expect(node.role).toBe(StateRole.Leader)
    expect(node.proposeConfChange(change('v5'))).toBe('conf-change-pending')
    group.settle()
    expect(node.confState.voters).toEqual([1, 2, 3, 4])
    expect(node.proposeConfChange(change('v5'))).toBe('ok')
  })

  test('bug 3: a new leader serves a read before it committed in its own term', () => {
    const group = new Group(3)
    const { node, reads } = group.at(1)
    node.campaign()
    group.take(1)
    group.persist(1)
    group.deliver(2)
    group.take(2)
    group.persist(2)
    group.deliver(1)
    expect(node.role).toBe(StateRole.Leader)
    expect(node.committedToCurrentTerm()).toBe(false)
    node.readIndex(READ)
    const early = group.take(1).flatMap((ready) => ready.messages)
    expect(early.map(({ type }) => type)).not.toContain(MessageType.Heartbeat)
    expect(reads).toEqual([])
    group.settle()
    expect(reads).toEqual([{ index: START_INDEX + 1, context: READ }])
  })

  test('bug 4: pre-candidates of a high term with a short log and a low term with a long one wedge', () => {
    const group = new Group(3, { preVote: true })
    // Peer 1: a longer log of a lower term. Peers 2 and 3: a later term.
    for (const id of [1, 2, 3]) group.at(id).node.setElectionTimeout(1000)
    group.at(1).node.step(
      messageFrom(3, 1, MessageType.Append, {
        term: 2,
        index: START_INDEX,
        logTerm: START_TERM,
        entries: [entry(11, 2), entry(12, 2)],
      }),
    )
    group.at(2).node.step(messageFrom(3, 2, MessageType.Heartbeat, { term: 9 }))
    group.take(1)
    group.take(2)
    group.persist(1)
    group.persist(2)
    group.queue = []
    group.cut.add(3)
    for (let round = 0; round < 6; round++) {
      for (const id of [2, 1]) {
        group.at(id).node.campaign()
        group.settle()
      }
    }
    expect(group.at(1).node.role).toBe(StateRole.Leader)
  })

  test('bug 5: a pre-candidate keeps its leader, and refuses all others by its lease', () => {
    const group = new Group(3, { preVote: true, checkQuorum: true })
    group.elect(1)
    group.cut.add(1)
    group.elect(2)
    expect(group.at(2).node.leaderId).toBe(0)
    for (let i = 0; i < 10; i++) group.at(3).node.tick()
    group.settle()
    group.elect(3)
    expect(group.at(3).node.role).toBe(StateRole.Leader)
  })

  test('bug 6: pre-votes never spread the higher term in a joint state', () => {
    const group = new Group(4, { preVote: true, checkQuorum: true }, [4])
    const { node } = group.elect(1)
    node.proposeConfChange(change('v4 r3', ConfChangeTransition.Explicit))
    group.settle()
    expect(group.at(2).node.confState).toMatchObject({
      voters: [1, 2, 4],
      votersOutgoing: [1, 2, 3],
    })
    group.cut.add(1)
    for (const id of [2, 3, 4]) for (let i = 0; i < 10; i++) group.at(id).node.tick()
    group.queue = []
    // Peer 3 is in a much later term. Without peer 1 its vote is needed in the outgoing half.
    group.at(3).node.step(messageFrom(1, 3, MessageType.RequestVote, { term: 40 }))
    for (let round = 0; round < 3; round++) group.elect(2)
    expect(group.at(2).node.role).toBe(StateRole.Leader)
    expect(group.at(2).node.term).toBe(41)
  })
})

describe('membership changes', () => {
  test('bug 7: the leader is lost before it left the joint state, and the next one stays in it', () => {
    const group = new Group(4)
    const leader = group.elect(1)
    leader.node.proposeConfChange(change('l4', ConfChangeTransition.Implicit))
    group.take(1)
    group.deliver()
    for (const id of [2, 3, 4]) {
      group.take(id)
      group.persist(id)
    }
    group.persist(1)
    group.deliver(1)
    // It commits the change and tells so, but its wish to leave the joint state is lost with it.
    const ready = group.at(1).take()
    group.queue = ready.messages.filter(({ type }) => type === MessageType.Append)
    group.deliver(2, 3, 4)
    group.queue = []
    group.cut.add(1)
    group.settle()
    expect(group.at(2).node.confState.autoLeave).toBe(true)
    group.elect(2)
    expect(group.at(2).node.confState).toMatchObject({
      voters: [1, 2, 3],
      votersOutgoing: [],
      learners: [4],
    })
  })

  test('bug 8: leaving the joint state is proposed twice', () => {
    const group = new Group(3, { maxCommittedSizePerReady: 1 })
    const { node } = group.elect(1)
    const before = node.lastIndex
    node.proposeConfChange(change('r2 r3', ConfChangeTransition.Implicit))
    for (let i = 0; i < 3; i++) node.propose(Buffer.from('x'))
    group.settle()
    expect(node.confState.voters).toEqual([1])
    expect(node.confState.votersOutgoing).toEqual([])
    const leaves = group
      .at(1)
      .applied.filter((one) => one.index > before && one.type === EntryType.ConfChangeV2)
      .filter((one) => decodeConfChange(one).changes.length === 0)
    expect(leaves).toHaveLength(1)
  })

  test('bug 9: of two voters that swap places neither can win', () => {
    const group = new Group(2, {}, [2])
    const { node } = group.elect(1)
    node.proposeConfChange(change('v2 l1', ConfChangeTransition.Explicit))
    group.settle()
    node.proposeConfChange(change(''))
    work(group, 1)
    group.deliver()
    work(group, 2)
    // A tail that peer 2 never gets, so that peer 1 must refuse to vote for it.
    node.propose(Buffer.from('tail'))
    group.take(1)
    group.deliver(1)
    work(group, 1)
    group.queue = []
    expect(node.isPromotable).toBe(false)
    const two = group.at(2).node
    expect(two.confState).toMatchObject({ voters: [2], votersOutgoing: [1] })
    // Only from the refusal it can learn that the change is done and its own vote is enough.
    group.elect(2)
    group.elect(2)
    expect(two.role).toBe(StateRole.Leader)
    expect(two.confState).toMatchObject({ voters: [2], votersOutgoing: [], learners: [1] })
  })

  test('bug 10: removing the leader of a group of two strands the other one', () => {
    const group = new Group(2)
    const leader = group.elect(1)
    for (const { node } of group.members) node.skipCommitBroadcast(true)
    leader.node.proposeConfChange(change('r1'))
    group.settle()
    expect(leader.node.role).toBe(StateRole.Follower)
    // The removed peer is destroyed at once; its last word was that the change is committed.
    group.cut.add(1)
    group.elect(2)
    expect(group.at(2).node.role).toBe(StateRole.Leader)
    expect(group.at(2).node.confState.voters).toEqual([2])
  })

  test('bug 11: a removed leader stumbles over acknowledgements', () => {
    const group = new Group(3, { stepDownOnRemoval: false })
    const { node } = group.elect(1)
    node.proposeConfChange(change('r1'))
    work(group, 1)
    group.deliver()
    work(group, 2, 3)
    group.deliver(1)
    node.propose(Buffer.from('tail'))
    group.take(1)
    expect(node.confState.voters).toEqual([2, 3])
    group.deliver(2, 3)
    work(group, 2)
    group.deliver(1)
    // Peer 2 and its own copy are no quorum any more.
    expect(node.commitIndex).toBe(node.lastIndex - 1)
    group.persist(1)
    expect(node.commitIndex).toBe(node.lastIndex - 1)
    work(group, 3)
    group.deliver(1)
    expect(node.commitIndex).toBe(node.lastIndex)
  })
})

describe('replication', () => {
  test('bug 12: a snapshot at exactly the last index leaves the follower without entries', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.propose(Buffer.from('x'))
    group.settle()
    const { node } = group.at(2)
    expect(node.requestSnapshot()).toBe('ok')
    group.settle()
    expect(node.firstIndex).toBe(leader.node.lastIndex + 1)
    expect(leader.node.progressOf(2)!.state).toBe(ProgressState.Replicate)
    leader.node.propose(Buffer.from('y'))
    group.settle()
    expect(node.lastIndex).toBe(leader.node.lastIndex)
  })

  test('bug 13: a leader that ordered a campaign goes on with its lease', () => {
    const group = new Group(3, LEASED)
    const leader = group.elect(1)
    group.tickAll(2)
    leader.node.transferLeader(2)
    expect(leader.node.inLease()).toBe(false)
    group.take(1)
    group.queue = []
    group.tickAll(12)
    expect(leader.node.leadTransferee).toBe(0)
    expect(leader.node.role).toBe(StateRole.Leader)
    // The order to campaign may still arrive, and those votes ignore leases.
    expect(leader.node.inLease()).toBe(false)
    leader.node.readIndex(READ)
    const messages = group.take(1).flatMap((ready) => ready.messages)
    expect(messages.map(({ type }) => type)).toContain(MessageType.Heartbeat)
  })

  test('bug 14: an old leader that only one bridge node hears blocks the quorum of the others', () => {
    const group = new Group(4, { preVote: true, checkQuorum: true })
    group.elect(1)
    const isCut = (a: number, b: number): boolean => Math.min(a, b) === 1 && Math.max(a, b) > 2
    for (let tick = 0; tick < 100; tick++) {
      for (const { node } of group.members) node.tick()
      for (let hop = 0; hop < 4; hop++) {
        work(group, 1, 2, 3, 4)
        group.queue = group.queue.filter(({ from, to }) => !isCut(from, to))
        group.deliver()
      }
    }
    expect(group.at(1).node.role).not.toBe(StateRole.Leader)
    const leader = group.members.find(({ node }) => node.committedToCurrentTerm())
    expect(leader?.node.term).toBeGreaterThan(START_TERM + 1)
  })

  test('bug 15: a read that is tried again with the same context gets the answer of the first', () => {
    const group = new Group(3)
    const leader = group.elect(1)
    leader.node.readIndex(READ)
    group.take(1)
    group.queue = []
    const stale = leader.node.commitIndex
    leader.node.propose(Buffer.from('x'))
    group.settle()
    // The first read is lost with its round; the retry must see what was committed since.
    leader.node.readIndex(READ)
    group.settle()
    expect(leader.reads.map(({ index }) => index)).toEqual([stale, stale + 1])
  })

  test('bug 30: an only voter sends appends in a term that a crash makes it use twice', () => {
    const group = new Group(2, {}, [2])
    const leader = group.at(1)
    const disk = leader.storage.clone()
    leader.node.campaign()
    const sent = group.take(1).flatMap(({ messages }) => messages)
    expect(leader.node.role).toBe(StateRole.Candidate)
    expect(leader.node.propose(Buffer.from('first'))).toBe('no-leader')
    expect(sent).toEqual([])
    leader.storage = disk
    leader.restart(START_INDEX)
    group.elect(1)
    expect(leader.node.term).toBe(START_TERM + 1)
    leader.node.propose(Buffer.from('second'))
    group.settle()
    expect(group.at(2).appliedData).toEqual(['second'])
  })
})
