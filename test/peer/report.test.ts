/** What a leader tells the placement driver of its region. */
import { beforeEach, describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { PeerFixture, peerOn, regionOf } from './fixture.ts'

const { maxPeerDownDurationMs: DOWN_MS } = defaultStoreConfig()

let fixture: PeerFixture

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3'))
  fixture.lead()
})

/** By the next heartbeat. */
function report(): PeerFixture['reports'][0] {
  fixture.reports.length = 0
  fixture.round({ tag: PeerTag.HeartbeatPd })
  expect(fixture.reports).toHaveLength(1)
  return fixture.reports[0]!
}

describe('a report', () => {
  it('names region, leader and term', () => {
    const { region, self, raft } = fixture.peer
    expect(report()).toMatchObject({ region, leader: self, term: raft.term, pendingPeers: [] })
  })

  it('names peers as down that were silent for too long, and for how many seconds', () => {
    fixture.nowMs += DOWN_MS
    expect(report().downPeers).toEqual([])
    fixture.nowMs += 1
    fixture.receive(2, { type: MessageType.HeartbeatResponse, term: fixture.peer.raft.term })
    const seconds = DOWN_MS / 1000
    expect(report().downPeers).toEqual([{ peer: peerOn(3), downSeconds: seconds }])
    fixture.nowMs += 2_500
    expect(report().downPeers).toEqual([{ peer: peerOn(3), downSeconds: seconds + 2 }])
    fixture.receive(3, { type: MessageType.HeartbeatResponse, term: fixture.peer.raft.term })
    expect(report().downPeers).toEqual([])
  })

  it('of a new leader counts silence from its first look', () => {
    fixture = new PeerFixture(regionOf('1 2 3 4l'))
    fixture.nowMs += 10 * DOWN_MS
    fixture.lead()
    expect(report().downPeers).toEqual([])
    fixture.nowMs += DOWN_MS + 1
    expect(report().downPeers.map(({ peer }) => peer.id)).toEqual([20, 30, 40])
  })

  it('tells what was applied and read since the last one', () => {
    report()
    fixture.round(fixture.request(RawKind.Put))
    fixture.commit()
    fixture.apply(fixture.peer.raft.commitIndex, { writtenKeys: 3, writtenBytes: 70 })
    fixture.peer.traffic.addRead(1, 10)
    fixture.peer.traffic.addRead(4, 500)
    const written = { keysWritten: 3, bytesWritten: 70 }
    expect(report()).toMatchObject({ ...written, keysRead: 5, bytesRead: 510 })
    const nothing = { keysWritten: 0, bytesWritten: 0, keysRead: 0, bytesRead: 0 }
    expect(report()).toMatchObject(nothing)
  })

  it('is not made by a follower', () => {
    fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.round({ tag: PeerTag.HeartbeatPd })
    expect(fixture.reports).toEqual([])
  })
})
