/** From when on a leader may answer reads by itself, once a quorum has confirmed one. */
import { beforeEach, expect, it } from 'vitest'
import { RawKind } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { PeerFixture, regionOf } from './fixture.ts'

const { raftStoreMaxLeaderLeaseMs: LEASE_MS } = defaultStoreConfig()

let fixture: PeerFixture
let issuedMs: number
/** Of the question that a quorum is asked. */
let context: Uint8Array

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3'))
  fixture.lead()
  fixture.nowMs += 10_000
  issuedMs = fixture.nowMs
  fixture.round(fixture.request(RawKind.Get))
  const asks = fixture.sent.filter(({ message }) => message.type === MessageType.Heartbeat)
  expect(asks.map(({ to }) => to.id)).toEqual([20, 30])
  context = asks[0]!.message.context
})

function confirm(): void {
  const { term } = fixture.peer.raft
  fixture.receive(2, { type: MessageType.HeartbeatResponse, term, context })
}

it('the lease begins when the quorum was asked, not when it answered', () => {
  fixture.nowMs += 300
  confirm()
  const { lease } = fixture.peer
  expect(fixture.metrics.indexReads).toBe(1)
  expect(lease.validAt(issuedMs + LEASE_MS - 1)).toBe(true)
  expect(lease.validAt(issuedMs + LEASE_MS)).toBe(false)
})

it('an answer that comes later than that gives no lease at all', () => {
  fixture.nowMs += LEASE_MS
  confirm()
  expect(fixture.metrics.indexReads).toBe(1)
  expect(fixture.peer.lease.validAt(fixture.nowMs)).toBe(false)
})
