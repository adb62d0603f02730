/** Whom a leader chooses that leaves, and whom it takes when it is told. */
import { beforeEach, describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { electionTimeoutMs } from '../../src/peer/ports.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { PeerFixture, peerOn, regionOf } from './fixture.ts'

const ELECTION_MS = electionTimeoutMs(defaultStoreConfig())

let fixture: PeerFixture

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3 4l'))
  fixture.lead()
})

function hears(storeId: number): void {
  const { term } = fixture.peer.raft
  fixture.receive(storeId, { type: MessageType.HeartbeatResponse, term })
}

/** Has all of the log; the others lack the last entry. */
function isAhead(storeId: number): void {
  fixture.round(fixture.request(RawKind.Put))
  const { term, lastIndex: index } = fixture.peer.raft
  fixture.receive(storeId, { type: MessageType.AppendResponse, term, index })
}

const target = (): number => fixture.peer.raft.leadTransferee

describe('a leader that leaves', () => {
  const leave = (): void => fixture.round({ tag: PeerTag.TransferAway })

  it.each([2, 3])('chooses the voter that lacks least of the log: store %i', (storeId) => {
    isAhead(4)
    isAhead(storeId)
    leave()
    expect(target()).toBe(storeId * 10)
  })

  it('chooses nobody that was silent for an election time-out, whatever he has', () => {
    isAhead(3)
    fixture.nowMs += ELECTION_MS + 1
    hears(4)
    leave()
    expect(target()).toBe(0)
    hears(2)
    leave()
    expect(target()).toBe(20)
  })

  it('waits for whom it has chosen', () => {
    isAhead(2)
    leave()
    expect(target()).toBe(20)
    fixture.nowMs += ELECTION_MS + 1
    hears(3)
    leave()
    expect(target()).toBe(20)
  })
})

describe('a leader that PD wants replaced', () => {
  const order = (...storeIds: number[]): void => {
    const { epoch } = fixture.peer.region
    const transferTo = storeIds.map((storeId) => peerOn(storeId))
    const plain = { epoch, targetId: 10, changes: undefined }
    fixture.round({ tag: PeerTag.PdOrder, order: { ...plain, transferTo } })
  }

  it('takes the first of those named who can lead', () => {
    order(3, 2)
    expect(target()).toBe(30)
  })

  it('takes nobody who does not answer, nor a learner, nor a stranger', () => {
    fixture.nowMs += 2 * ELECTION_MS + 1
    for (const storeId of [2, 4]) hears(storeId)
    order(3)
    expect([target(), fixture.metrics.ordersRefused]).toEqual([0, 1])
    order(9, 4, 3, 2)
    expect([target(), fixture.metrics.ordersRefused]).toEqual([20, 1])
  })

  it('stays where it is named first', () => {
    order(1, 2)
    expect([target(), fixture.metrics.ordersTaken]).toEqual([0, 1])
  })
})
