/** Who is listened to while memberships change. */
import { describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { MessageType } from '../../src/raft/types.ts'
import { NOBODY, PeerFixture, peerOn, REGION_ID, regionOf } from './fixture.ts'

const types = (fixture: PeerFixture): MessageType[] =>
  fixture.sent.map(({ message }) => message.type)

describe('a stranger', () => {
  it('of a later membership is answered: we are behind', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    const epoch = { confVer: 6, version: 1 }
    const vote = { type: MessageType.RequestVote, term: 9, index: 99, logTerm: 8 } as const
    fixture.peer.raft.assumeNoPromises()
    fixture.receive(4, vote, { epoch })
    fixture.sync()
    expect(fixture.sent.at(-1)).toMatchObject({
      to: { id: 40, storeId: 4 },
      message: { type: MessageType.RequestVoteResponse, reject: false },
    })
    // And it may lead us.
    fixture.receive(4, { type: MessageType.Heartbeat, term: 9 }, { epoch })
    expect(fixture.peer.leader).toEqual(peerOn(4))
  })

  it('of an earlier membership that asks for votes is told that it is gone', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    const epoch = { confVer: 4, version: 1 }
    fixture.receive(4, { type: MessageType.RequestPreVote, term: 99 }, { epoch })
    expect(fixture.sent).toMatchObject([
      { to: { id: 40 }, tombstone: true, epoch: { confVer: 5 }, regionId: REGION_ID },
    ])
    expect(fixture.peer.raft.term).toBe(5)
  })

  it('that does not ask for votes may be one that knows nothing yet: it is not told', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    const epoch = NOBODY.epoch
    fixture.receive(4, { type: MessageType.AppendResponse, term: 5 }, { epoch })
    fixture.receive(4, { type: MessageType.Append, term: 99 }, { epoch })
    expect(fixture.sent).toEqual([])
    expect(fixture.peer.raft.term).toBe(5)
  })
})

describe('a message for another peer of this store', () => {
  it('that is later ends this one, if the membership is later too', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    const to = { ...peerOn(1), id: 99 }
    fixture.receive(2, { type: MessageType.Heartbeat, term: 9 }, { to })
    expect(fixture.tombstones).toEqual([])
    const epoch = { confVer: 7, version: 1 }
    fixture.receive(2, { type: MessageType.Heartbeat, term: 9 }, { to, epoch })
    expect(fixture.tombstones).toMatchObject([{ peerId: 10 }])
  })

  it('that is earlier is dropped', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    const to = { ...peerOn(1), id: 9 }
    fixture.receive(2, { type: MessageType.Heartbeat, term: 9 }, { to })
    expect(fixture.peer.raft.term).toBe(5)
    expect(types(fixture)).toEqual([])
  })
})

describe('a replica without data', () => {
  const region = regionOf('1l 2 3', 8)
  const epoch = region.epoch

  function created(): PeerFixture {
    const fixture = new PeerFixture(undefined)
    fixture.receive(2, { type: MessageType.Heartbeat, term: 6 }, { epoch })
    fixture.sync()
    return fixture
  }

  it('answers its leader, and does not campaign', () => {
    const fixture = created()
    expect(fixture.sent).toMatchObject([
      {
        to: { id: 20, storeId: 2 },
        epoch: { confVer: 0 },
        message: { type: MessageType.HeartbeatResponse },
      },
    ])
    const append = { type: MessageType.Append, term: 6, index: 40, logTerm: 6, commit: 40 } as const
    fixture.receive(2, append, { epoch })
    fixture.sync()
    expect(fixture.sent.at(-1)!.message).toMatchObject({ reject: true, rejectHint: 0 })
    for (let i = 0; i < 100; i++) fixture.round({ tag: PeerTag.Tick })
    expect(fixture.peer.raft.term).toBe(6)
  })

  it('serves nobody, not even its epoch', () => {
    const fixture = created()
    const read = fixture.request(RawKind.Get)
    read.replicaRead = true
    fixture.round(read, fixture.request(RawKind.Put))
    const codes = fixture.answers.map(({ regionError }) => regionError?.code)
    expect(codes).toEqual(['RegionNotFound', 'RegionNotFound'])
  })

  it('votes once a term, and remembers it', () => {
    const fixture = created()
    const vote = { type: MessageType.RequestVote, term: 7, index: 9, logTerm: 6 } as const
    for (let i = 0; i < 10; i++) fixture.round({ tag: PeerTag.Tick })
    fixture.receive(2, vote, { epoch })
    fixture.sync()
    fixture.receive(3, vote, { epoch })
    fixture.sync()
    const answers = fixture.sent.filter(
      ({ message }) => message.type === MessageType.RequestVoteResponse,
    )
    expect(answers.map(({ to, message }) => [to.id, message.reject])).toEqual([
      [20, false],
      [30, true],
    ])
    expect(fixture.log.state!.hardState).toMatchObject({ term: 7, vote: 20 })
  })

  function snapshotFor(fixture: PeerFixture): void {
    fixture.snapshotRegion = region
    fixture.receiveSnapshot(50)
  }

  it('comes to have a region by a snapshot', () => {
    const fixture = created()
    snapshotFor(fixture)
    expect(fixture.peer.isInitialised).toBe(true)
    expect(fixture.peer.install?.kind).toBe('recording')
    // There was nothing that apply could have had.
    expect(fixture.calls).toEqual(['accepted', 'install'])
    expect(fixture.peer.region).toEqual(region)
    expect(fixture.metrics.peersInitialised).toBe(1)
  })

  it('lets a snapshot pass while another replica has data in its range', () => {
    const fixture = created()
    fixture.occupied = true
    snapshotFor(fixture)
    expect(fixture.calls).toEqual(['accepted', 'discard'])
    expect(fixture.peer.isInitialised).toBe(false)
    fixture.occupied = false
    snapshotFor(fixture)
    expect(fixture.peer.isInitialised).toBe(true)
  })

  it('is not ended by who does not know it yet', () => {
    const fixture = created()
    const removed = (confVer: number): void => {
      fixture.round({ tag: PeerTag.Removed, peerId: 10, epoch: { confVer, version: 1 } })
    }
    removed(7)
    removed(8)
    expect(fixture.tombstones).toEqual([])
    // A last word is no sign of being a member.
    const last = { type: MessageType.Append, term: 6, index: 40, logTerm: 6, commit: 40 } as const
    fixture.receive(2, last, { epoch: { confVer: 9, version: 1 } })
    removed(9)
    expect(fixture.tombstones).toHaveLength(1)
  })

  it('leaves a tombstone too, but no range', () => {
    const fixture = created()
    fixture.round({ tag: PeerTag.Removed, peerId: 10, epoch: { confVer: 9, version: 1 } })
    expect(fixture.tombstones).toMatchObject([{ peerId: 10, region: { peers: [] } }])
    expect(fixture.calls).toEqual([])
  })
})

describe('word of a leader', () => {
  it('is what comes in the latest term, not what a replaced one still sends', () => {
    const fixture = new PeerFixture(regionOf('1 2 3'))
    for (const type of [MessageType.Heartbeat, MessageType.Append]) {
      fixture.nowMs += 1000
      fixture.receive(2, { type, term: 9 })
      expect(fixture.peer.leaderHeardMs).toBe(fixture.nowMs)
    }
    const heardMs = fixture.nowMs
    fixture.nowMs += 1000
    fixture.receive(3, { type: MessageType.Heartbeat, term: 8 })
    fixture.receive(3, { type: MessageType.Append, term: 8 })
    fixture.receive(2, { type: MessageType.RequestPreVote, term: 10 })
    expect(fixture.peer.leaderHeardMs).toBe(heardMs)
  })
})
