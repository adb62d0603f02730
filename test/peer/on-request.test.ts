/**
 * How requests enter a peer: what a refused client is told, which is all that it needs to find the
 * right place, when writes are proposed, and how many messages a round takes.
 */
import { describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { RawKind, type RawRequest, type RegionError } from '../../src/protocol/raw.ts'
import { newMessage } from '../../src/raft/message.ts'
import { MessageType } from '../../src/raft/types.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import { PeerFixture, peerOn, REGION_ID, regionOf } from './fixture.ts'

const REGION = regionOf('1 2 3')

function leader(): PeerFixture {
  const fixture = new PeerFixture(REGION)
  fixture.lead()
  return fixture
}

function follower(): PeerFixture {
  const fixture = new PeerFixture(REGION)
  fixture.receive(2, { type: MessageType.Heartbeat, term: 6 })
  return fixture
}

/** But for the words, which are for people. */
function told({ answers }: PeerFixture): Omit<RegionError, 'message'>[] {
  return answers.map(({ regionError }) => {
    const { message, ...rest } = regionError!
    expect(message).not.toBe('')
    return rest
  })
}

function refusal(
  fixture: PeerFixture,
  kind: RawKind,
  fields: Partial<RawRequest> = {},
): Omit<RegionError, 'message'> {
  fixture.round(fixture.request(kind, fields))
  expect(fixture.answers).toHaveLength(1)
  return told(fixture)[0]!
}

const keys = (...texts: string[]): Buffer[] => texts.map((text) => Buffer.from(text))
const key = (text: string): Pick<RawRequest, 'key'> => ({ key: Buffer.from(text) })

describe('a refusal', () => {
  it('for want of time says so in the words that clients look for', () => {
    expect(refusal(leader(), RawKind.Get, { deadlineMs: 1 })).toEqual({
      code: 'ServerIsBusy',
      reason: 'Deadline is exceeded',
      backoffMs: 0,
    })
  })

  it('for another peer tells who was asked for, and who is here', () => {
    expect(refusal(leader(), RawKind.Put, { peerId: 99 })).toEqual({
      code: 'MismatchPeerId',
      requestPeerId: 99,
      storePeerId: 10,
    })
  })

  it('of a replica without data is that of a store without the region', () => {
    expect(refusal(new PeerFixture(undefined), RawKind.Get)).toEqual({
      code: 'RegionNotFound',
      regionId: REGION_ID,
    })
  })

  it('of a follower names the leader that it hears, and nobody before it hears one', () => {
    const fields = { code: 'NotLeader', regionId: REGION_ID }
    expect(refusal(follower(), RawKind.Put)).toEqual({ ...fields, leader: peerOn(2) })
    expect(refusal(follower(), RawKind.Put, { replicaRead: true })).toMatchObject(fields)
    const alone = refusal(new PeerFixture(REGION), RawKind.Get)
    expect(alone).toEqual({ ...fields, leader: undefined })
  })

  it('after a change of leaders is StaleCommand', () => {
    const fixture = leader()
    const { term } = fixture.peer.raft
    expect(refusal(fixture, RawKind.Put, { term: term - 2 })).toEqual({ code: 'StaleCommand' })
  })

  it('at another epoch brings the region as it is', () => {
    expect(refusal(leader(), RawKind.Put, { version: 2 })).toEqual({
      code: 'EpochNotMatch',
      currentRegions: [REGION],
    })
  })

  it.each<[string, RawKind, Partial<RawRequest>, string]>([
    ['a put below', RawKind.Put, key('a'), 'a'],
    ['a get at the end', RawKind.Get, key('y'), 'y'],
    ['a delete above', RawKind.Delete, key('z'), 'z'],
    ['a batch of puts', RawKind.BatchPut, { keys: keys('c', 'z'), values: keys('1', '2') }, 'z'],
    ['a batch of gets', RawKind.BatchGet, { keys: keys('a', 'c') }, 'a'],
    ['a batch of deletes', RawKind.BatchDelete, { keys: keys('c', 'd', 'y') }, 'y'],
    ['a scan that begins at the end', RawKind.Scan, key('y'), 'y'],
    ['a scan down from above', RawKind.Scan, { ...key('y0'), reverse: true }, 'y0'],
    ['a scan down from the start', RawKind.Scan, { ...key('b'), reverse: true }, 'b'],
    ['a scan down from everywhere', RawKind.Scan, { ...key(''), reverse: true }, ''],
  ])('of %s tells the key and what the region covers', (_, kind, fields, outside) => {
    expect(refusal(leader(), kind, fields)).toEqual({
      code: 'KeyNotInRegion',
      key: Buffer.from(outside),
      regionId: REGION_ID,
      startKey: Buffer.from('b'),
      endKey: Buffer.from('y'),
    })
  })

  it.each<[string, RawKind, Partial<RawRequest>]>([
    ['a get at the start', RawKind.Get, key('b')],
    ['a scan up from the start', RawKind.Scan, key('b')],
    ['a scan down from the end', RawKind.Scan, { ...key('y'), reverse: true }],
  ])('is none for %s', (_, kind, fields) => {
    const fixture = leader()
    fixture.round(fixture.request(kind, fields))
    expect(fixture.answers).toEqual([])
  })

  it('of a write that no entry holds tells how large it is', () => {
    const { raftEntryMaxSize } = defaultStoreConfig()
    const value = Buffer.alloc(raftEntryMaxSize)
    expect(refusal(leader(), RawKind.Put, { value })).toEqual({
      code: 'RaftEntryTooLarge',
      regionId: REGION_ID,
      // Lengths, prefix and flags are ten bytes, the key is one.
      entrySize: raftEntryMaxSize + 11,
    })
  })

  it('by apply brings the region as it is', () => {
    const fixture = leader()
    fixture.round(fixture.request(RawKind.Put))
    fixture.commit()
    const { index } = fixture.applied.at(-1)!
    fixture.apply(index, { rejections: [{ index, code: 'EpochNotMatch' }] })
    expect(told(fixture)).toEqual([{ code: 'EpochNotMatch', currentRegions: [REGION] }])
  })
})

describe('a leader that leads no more', () => {
  it('names its successor for writes that were not proposed, and for reads', () => {
    const fixture = leader()
    fixture.nowMs += 10_000
    const from = peerOn(3)
    const message = { ...newMessage(MessageType.Heartbeat, 10), from: from.id, term: 9 }
    const { epoch } = fixture.peer.region
    const envelope = { regionId: REGION_ID, from, to: peerOn(1), epoch, message }
    fixture.round(fixture.request(RawKind.Put), fixture.request(RawKind.Get), {
      tag: PeerTag.Raft,
      envelope,
    })
    const answer = { code: 'NotLeader', regionId: REGION_ID, leader: from }
    expect(told(fixture)).toEqual([answer, answer])
  })

  it('does not name itself while it hands leadership over', () => {
    const fixture = leader()
    fixture.receive(2, { type: MessageType.HeartbeatResponse, term: 6 })
    fixture.round({ tag: PeerTag.TransferAway })
    expect(fixture.sent.at(-1)).toMatchObject({ message: { type: MessageType.TimeoutNow } })
    expect(refusal(fixture, RawKind.Put)).toEqual({
      code: 'NotLeader',
      regionId: REGION_ID,
      leader: undefined,
    })
  })
})

describe('writes', () => {
  it('wait for an earlier fsync while something is uncommitted, and not when nothing is', () => {
    const fixture = leader()
    const { metrics, peer } = fixture
    const before = metrics.proposals
    const propose = (): number => {
      fixture.round(fixture.request(RawKind.Put))
      return metrics.proposals - before
    }
    expect([propose(), propose()]).toEqual([1, 1])
    // The others have the first entry and make a quorum; the own disk is still at it.
    const { term, lastIndex: index } = peer.raft
    for (const storeId of [2, 3]) {
      fixture.receive(storeId, { type: MessageType.AppendResponse, term, index })
    }
    expect(peer.raft.commitIndex).toBe(index)
    expect(metrics.proposals - before).toBe(2)
    // Again something is uncommitted.
    expect(propose()).toBe(2)
    fixture.sync()
    expect(metrics.proposals - before).toBe(3)
  })
})

describe('a round', () => {
  it('leaves what is beyond its number of messages to the next', () => {
    const fixture = leader()
    const { metrics, peer } = fixture
    fixture.messagesMax = 2
    const before = metrics.proposedCommands
    fixture.round(...Array.from({ length: 5 }, () => fixture.request(RawKind.Put)))
    expect([metrics.proposedCommands - before, peer.mailbox.length]).toEqual([2, 3])
    fixture.round()
    expect([peer.writes.length, peer.mailbox.length]).toEqual([2, 1])
    fixture.round()
    expect([peer.writes.length, peer.mailbox.length]).toEqual([3, 0])
  })
})
