import { describe, expect, it } from 'vitest'
import { type Random, seededRandom } from '../../../src/base/clock.ts'
import { AdminKind, encodeAdminCommand } from '../../../src/command/admin.ts'
import { PeerTag } from '../../../src/peer/messages.ts'
import type { PdOrder } from '../../../src/peer/on-order.ts'
import { confStateOf } from '../../../src/peer/peer-storage.ts'
import { RawKind } from '../../../src/protocol/raw.ts'
import { restoreMembership } from '../../../src/raft/confchange/restore.ts'
import { ConfChangeTransition, EntryType, MessageType } from '../../../src/raft/types.ts'
import { ChangeType, isJointRegion, type PeerChange } from '../../../src/region/change-peers.ts'
import { PeerRole } from '../../../src/region/region.ts'
import { PeerFixture, peerOn, regionOf } from '../fixture.ts'

function change(type: ChangeType, storeId: number, peerId = storeId * 10): PeerChange {
  return { type, peerId, storeId }
}

function leader(text = '1 2 3'): PeerFixture {
  const fixture = new PeerFixture(regionOf(text))
  fixture.lead()
  for (const { storeId } of fixture.peer.region.peers) {
    if (storeId !== 1) fixture.receive(storeId, { type: MessageType.HeartbeatResponse, term: 6 })
  }
  return fixture
}

function order(fixture: PeerFixture, changes: PeerChange[], more: Partial<PdOrder> = {}): void {
  const { epoch } = fixture.peer.region
  const plain = { epoch, targetId: 10, changes, transferTo: [] }
  fixture.round({ tag: PeerTag.PdOrder, order: { ...plain, ...more } })
}

const outcome = ({ metrics }: PeerFixture): string =>
  `${metrics.ordersTaken} taken, ${metrics.ordersRefused} refused`

describe('a change of peers', () => {
  it('is proposed, applied, and told to raft, peers and PD in that order', () => {
    const fixture = leader()
    order(fixture, [change(ChangeType.AddLearner, 4)])
    expect(outcome(fixture)).toBe('1 taken, 0 refused')
    fixture.commit()
    const entry = fixture.applied.at(-1)!
    expect(entry.type).toBe(EntryType.ConfChangeV2)
    // Committed alone changes nothing.
    expect(fixture.peer.region.epoch.confVer).toBe(5)
    expect(fixture.sent.some(({ to }) => to.storeId === 4)).toBe(false)
    fixture.reports.length = 0
    fixture.apply(entry.index)
    expect(fixture.peer.region).toEqual(regionOf('1 2 3 4l', 6))
    expect(fixture.peer.raft.confState.learners).toEqual([40])
    expect(fixture.reports).toMatchObject([{ pendingPeers: [{ id: 40 }] }])
    // What goes to the new peer carries the membership that has it.
    const toNew = fixture.sent.filter(({ to }) => to.storeId === 4)
    expect(toNew.length).toBeGreaterThan(0)
    expect(toNew.every(({ epoch }) => epoch.confVer === 6)).toBe(true)
  })

  it('that apply refuses changes nothing', () => {
    const fixture = leader()
    order(fixture, [change(ChangeType.AddLearner, 4)])
    fixture.commit()
    const { index } = fixture.applied.at(-1)!
    fixture.apply(index, { rejections: [{ index, code: 'EpochNotMatch' }] })
    expect(fixture.peer.region).toEqual(regionOf('1 2 3', 5))
    expect(fixture.peer.raft.confState.learners).toEqual([])
    order(fixture, [change(ChangeType.AddLearner, 4)])
    expect(outcome(fixture)).toBe('2 taken, 0 refused')
  })

  it('has a last word for the peer that goes, and none after it', () => {
    const fixture = leader()
    order(fixture, [change(ChangeType.Remove, 3)])
    // Store 3 has the entry, but does not know it to be committed.
    fixture.commit()
    fixture.sent.length = 0
    fixture.apply(fixture.applied.at(-1)!.index)
    const last = fixture.sent.filter(({ to }) => to.storeId === 3)
    expect(last).toHaveLength(1)
    expect(last[0]!.message.commit).toBe(fixture.peer.raft.commitIndex)
    fixture.sent.length = 0
    for (let i = 0; i < 100; i++) {
      fixture.round({ tag: PeerTag.Tick })
      fixture.receive(2, { type: MessageType.HeartbeatResponse, term: 6 })
    }
    // But should it have missed that, it is told so in other words.
    const told = fixture.sent.filter(({ to }) => to.storeId === 3)
    expect(told.map(({ tombstone, epoch }) => [tombstone, epoch.confVer])).toEqual([
      [true, 6],
      [true, 6],
    ])
  })

  it('is refused while another is under way', () => {
    const fixture = leader()
    order(fixture, [change(ChangeType.AddLearner, 4)])
    order(fixture, [change(ChangeType.AddLearner, 5)])
    fixture.commit()
    order(fixture, [change(ChangeType.AddLearner, 5)])
    expect(outcome(fixture)).toBe('1 taken, 2 refused')
    fixture.apply(fixture.applied.at(-1)!.index)
    order(fixture, [change(ChangeType.AddLearner, 5)])
    expect(outcome(fixture)).toBe('2 taken, 2 refused')
  })

  it('is refused while leadership is being handed over', () => {
    const fixture = leader()
    fixture.round({ tag: PeerTag.TransferAway })
    order(fixture, [change(ChangeType.AddLearner, 4)])
    expect(outcome(fixture)).toBe('0 taken, 1 refused')
    expect(fixture.metrics.peerChangesProposed).toBe(0)
  })

  it('of several goes through a joint state, which an empty order leaves', () => {
    const fixture = leader('1 2 3 4l')
    fixture.receive(4, {
      type: MessageType.AppendResponse,
      term: 6,
      index: fixture.peer.raft.lastIndex,
    })
    order(fixture, [change(ChangeType.AddVoter, 4), change(ChangeType.AddLearner, 3)])
    fixture.commit()
    fixture.apply(fixture.applied.at(-1)!.index)
    const { raft } = fixture.peer
    const roles = (): number[] => fixture.peer.region.peers.map(({ role }) => role)
    const { Voter, Learner, IncomingVoter, DemotingVoter } = PeerRole
    expect(roles()).toEqual([Voter, Voter, DemotingVoter, IncomingVoter])
    expect(raft.confState).toMatchObject({ votersOutgoing: [10, 20, 30], learnersNext: [30] })
    // Nothing leaves it by itself: PD sees it first.
    fixture.commit(2, 3, 4)
    expect(raft.confState.votersOutgoing).toEqual([10, 20, 30])
    order(fixture, [])
    fixture.commit(2, 3, 4)
    fixture.apply(fixture.applied.at(-1)!.index)
    expect(roles()).toEqual([Voter, Voter, Learner, Voter])
    expect(raft.confState).toMatchObject({ voters: [10, 20, 40], votersOutgoing: [] })
  })

  it('is refused before the leader applied an entry of its term', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.round({ tag: PeerTag.Campaign })
    fixture.receive(2, { type: MessageType.RequestPreVoteResponse, term: 6 })
    fixture.sync()
    fixture.receive(2, { type: MessageType.RequestVoteResponse, term: 6 })
    expect(fixture.peer.isLeader).toBe(true)
    order(fixture, [change(ChangeType.AddLearner, 4)])
    fixture.commit()
    order(fixture, [change(ChangeType.AddLearner, 4)])
    expect(outcome(fixture)).toBe('0 taken, 2 refused')
  })

  it('is refused by who does not lead, and for another epoch or peer', () => {
    const follower = new PeerFixture(regionOf('1 2 3'))
    order(follower, [change(ChangeType.Remove, 3)])
    expect(outcome(follower)).toBe('0 taken, 1 refused')
    const fixture = leader()
    order(fixture, [change(ChangeType.Remove, 3)], { epoch: { confVer: 4, version: 1 } })
    order(fixture, [change(ChangeType.Remove, 3)], { epoch: { confVer: 5, version: 2 } })
    order(fixture, [change(ChangeType.Remove, 3)], { targetId: 20 })
    order(fixture, [change(ChangeType.Remove, 1)])
    order(fixture, [change(ChangeType.AddLearner, 1)])
    order(fixture, [change(ChangeType.AddVoter, 2, 99)])
    expect(outcome(fixture)).toBe('0 taken, 6 refused')
  })

  it('is refused when too few voters would be healthy', () => {
    const fixture = leader()
    fixture.nowMs += 10_000
    fixture.receive(2, { type: MessageType.HeartbeatResponse, term: 6 })
    // Store 3 is silent: one voter more that has nothing, or store 2 less, and writes would stop.
    order(fixture, [change(ChangeType.AddVoter, 4)])
    order(fixture, [change(ChangeType.Remove, 2)])
    expect(outcome(fixture)).toBe('0 taken, 2 refused')
    order(fixture, [change(ChangeType.AddLearner, 4)])
    expect(outcome(fixture)).toBe('1 taken, 2 refused')
  })

  it('lets a silent peer be removed, and a single voter take in another', () => {
    const fixture = leader()
    fixture.nowMs += 10_000
    fixture.receive(2, { type: MessageType.HeartbeatResponse, term: 6 })
    order(fixture, [change(ChangeType.Remove, 3)])
    expect(outcome(fixture)).toBe('1 taken, 0 refused')
    const alone = new PeerFixture(regionOf('1'))
    alone.round({ tag: PeerTag.Campaign })
    alone.sync()
    alone.sync()
    alone.apply(alone.peer.raft.commitIndex)
    order(alone, [change(ChangeType.AddVoter, 2)])
    expect(outcome(alone)).toBe('1 taken, 0 refused')
  })

  it('gives up a snapshot of the earlier membership', () => {
    const fixture = leader('1 2 3 4l')
    fixture.peer.source.ask(0, 6)
    expect(fixture.peer.source.kind).toBe('wanted')
    order(fixture, [change(ChangeType.AddVoter, 4)])
    expect(fixture.peer.source.kind).toBe('building')
    fixture.commit()
    fixture.apply(fixture.applied.at(-1)!.index)
    expect(fixture.calls).toContain('cancelSnapshot')
  })
})

/** What raft holds is what the region's roles say, which is all that a restart has. */
function mustAgree({ peer: { raft, region } }: PeerFixture): void {
  const shown = JSON.stringify(region.peers)
  expect(raft.confState.votersOutgoing.length > 0, shown).toBe(isJointRegion(region))
  expect(restoreMembership(raft.confState), shown).toEqual(restoreMembership(confStateOf(region)))
}

function othersAnswer(fixture: PeerFixture, answer: 'heartbeat' | 'append'): void {
  const { raft, region } = fixture.peer
  for (const { storeId } of region.peers) {
    if (storeId === 1) continue
    const { term, lastIndex: index } = raft
    if (answer === 'append') {
      fixture.receive(storeId, { type: MessageType.AppendResponse, term, index })
    } else fixture.receive(storeId, { type: MessageType.HeartbeatResponse, term })
  }
}

function randomChanges(random: Random): PeerChange[] {
  const types = [ChangeType.AddVoter, ChangeType.Remove, ChangeType.AddLearner]
  const stores = [1, 2, 3, 4, 5, 6]
  return Array.from({ length: random.below(4) }, () => {
    const [storeId] = stores.splice(random.below(stores.length), 1)
    return change(types[random.below(types.length)]!, storeId!)
  })
}

describe('several changes at once', () => {
  it('are refused when they are of learners alone: the region would not show the joint state', () => {
    const fixture = leader('1 2 3 4l')
    order(fixture, [change(ChangeType.AddLearner, 5), change(ChangeType.AddLearner, 6)])
    order(fixture, [change(ChangeType.Remove, 4), change(ChangeType.AddLearner, 5)])
    expect(outcome(fixture)).toBe('0 taken, 2 refused')
    order(fixture, [change(ChangeType.AddVoter, 4), change(ChangeType.AddLearner, 5)])
    expect(outcome(fixture)).toBe('1 taken, 2 refused')
  })

  it('of learners alone, from an older log, leave raft where a restart would have it', () => {
    const fixture = leader()
    const changes = [change(ChangeType.AddLearner, 4), change(ChangeType.AddLearner, 5)]
    const { peer } = fixture
    const entry = {
      transition: ConfChangeTransition.Explicit,
      changes: changes.map(({ type, peerId: nodeId }) => ({ type, nodeId })),
      context: encodeAdminCommand({ kind: AdminKind.ChangePeer, confVer: 5, changes }),
    }
    expect(peer.raft.proposeConfChange(entry)).toBe('ok')
    fixture.round()
    fixture.commit()
    expect(fixture.applied.at(-1)!.index).toBe(peer.raft.commitIndex)
    fixture.apply(peer.raft.commitIndex)
    expect(peer.region).toEqual(regionOf('1 2 3 4l 5l', 7))
    mustAgree(fixture)
    order(fixture, [change(ChangeType.Remove, 4)])
    expect(outcome(fixture)).toBe('1 taken, 0 refused')
  })

  it('and single ones: raft and region agree after each that is taken', () => {
    const counts = { taken: 0, joint: 0 }
    for (let seed = 1; seed <= 60; seed++) {
      const random = seededRandom(seed)
      const fixture = leader(['1', '1 2', '1 2 3', '1 2 3 4l', '1 2l 3l'][random.below(5)])
      for (let i = 0; i < 40 && fixture.peer.isLeader; i++) {
        othersAnswer(fixture, 'heartbeat')
        const taken = fixture.metrics.ordersTaken
        order(fixture, randomChanges(random))
        if (fixture.metrics.ordersTaken === taken) continue
        fixture.sync()
        othersAnswer(fixture, 'append')
        fixture.apply(fixture.applied.at(-1)!.index)
        othersAnswer(fixture, 'append')
        mustAgree(fixture)
        counts.taken++
        if (isJointRegion(fixture.peer.region)) counts.joint++
      }
    }
    expect(counts.taken).toBeGreaterThan(300)
    expect(counts.joint).toBeGreaterThan(100)
  })
})

describe('a transfer', () => {
  it('goes to a voter that answers, unless a change is under way', () => {
    const fixture = leader('1 2 3 4l')
    const transfer = (storeId: number) => {
      order(fixture, [], { changes: undefined, transferTo: [peerOn(storeId)] })
    }
    transfer(4)
    transfer(9)
    expect(outcome(fixture)).toBe('0 taken, 2 refused')
    transfer(2)
    expect(outcome(fixture)).toBe('1 taken, 2 refused')
    expect(fixture.sent.at(-1)).toMatchObject({
      to: { id: 20 },
      message: { type: MessageType.TimeoutNow },
    })
    fixture.round(fixture.request(RawKind.Put))
    expect(fixture.answers.at(-1)?.regionError?.code).toBe('NotLeader')
  })
})

it('a role that changed is what messages, status and requests see', () => {
  const fixture = leader('1 2 3 4l')
  fixture.receive(4, {
    type: MessageType.AppendResponse,
    term: 6,
    index: fixture.peer.raft.lastIndex,
  })
  order(fixture, [change(ChangeType.AddVoter, 4)])
  fixture.commit()
  fixture.apply(fixture.applied.at(-1)!.index)
  expect(fixture.peer.region.peers.at(-1)!.role).toBe(PeerRole.Voter)
  expect(fixture.peer.raft.confState.voters).toEqual([10, 20, 30, 40])
})
