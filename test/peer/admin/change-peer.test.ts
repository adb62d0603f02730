import { describe, expect, it } from 'vitest'
import { PeerTag } from '../../../src/peer/messages.ts'
import type { PdOrder } from '../../../src/peer/on-order.ts'
import { RawKind } from '../../../src/protocol/raw.ts'
import { EntryType, MessageType } from '../../../src/raft/types.ts'
import { ChangeType, type PeerChange } from '../../../src/region/change-peers.ts'
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
