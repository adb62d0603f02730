/** What a leader makes of a commit. */
import { describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { PeerFixture, regionOf } from './fixture.ts'

const { raftStoreMaxLeaderLeaseMs: LEASE_MS } = defaultStoreConfig()

describe('the lease of a leader', () => {
  it('begins when the write was proposed that is committed now', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.lead()
    const { peer } = fixture
    fixture.nowMs += 10_000
    expect(peer.lease.validAt(fixture.nowMs)).toBe(false)
    const proposedMs = fixture.nowMs
    fixture.round(fixture.request(RawKind.Put))
    fixture.nowMs += 300
    fixture.commit()
    expect(fixture.applied.at(-1)!.index).toBe(peer.raft.lastIndex)
    expect(peer.lease.validAt(proposedMs + LEASE_MS - 1)).toBe(true)
    expect(peer.lease.validAt(proposedMs + LEASE_MS)).toBe(false)
  })

  it('ends with its leadership, and the next one has a lease again, whatever ended this', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.lead()
    const { lease, raft } = fixture.peer
    const write = (): void => {
      fixture.round(fixture.request(RawKind.Put))
      fixture.commit()
      expect(lease.validAt(fixture.nowMs)).toBe(true)
    }
    write()
    fixture.receive(3, { type: MessageType.Heartbeat, term: raft.term + 1 })
    expect(fixture.peer.isLeader).toBe(false)
    expect(lease.validAt(fixture.nowMs)).toBe(false)
    fixture.sync()
    fixture.lead()
    fixture.receive(2, { type: MessageType.HeartbeatResponse, term: raft.term })
    write()
    fixture.round({ tag: PeerTag.TransferAway })
    expect(lease.validAt(fixture.nowMs)).toBe(false)
    fixture.receive(2, { type: MessageType.Heartbeat, term: raft.term + 1 })
    fixture.sync()
    fixture.lead()
    write()
  })

  it('begins with the latest of the writes that are committed together', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.lead()
    fixture.nowMs += 10_000
    fixture.round(fixture.request(RawKind.Put))
    fixture.nowMs += 300
    fixture.sync()
    fixture.round(fixture.request(RawKind.Put))
    const proposedMs = fixture.nowMs
    fixture.nowMs += 300
    fixture.commit()
    const { lease } = fixture.peer
    expect(lease.validAt(proposedMs + LEASE_MS - 1)).toBe(true)
    expect(lease.validAt(proposedMs + LEASE_MS)).toBe(false)
  })
})
