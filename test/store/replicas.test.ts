/** Which messages bring a replica into being, and which never do. */
import { beforeEach, describe, expect, it } from 'vitest'
import { Router } from '../../src/batch-system/router.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { newMessage } from '../../src/raft/message.ts'
import { type Message, MessageType } from '../../src/raft/types.ts'
import { regionStateKey } from '../../src/region/keys.ts'
import { encodeRegionState, RegionStateKind, type Tombstone } from '../../src/region/state.ts'
import { buryReplica } from '../../src/snap/bury.ts'
import { Replicas } from '../../src/store/replicas.ts'
import { StoreFsm, type StoreRouter } from '../../src/store/store-handler.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import { NOBODY, PeerFixture, peerOn, REGION_ID, regionOf } from '../peer/fixture.ts'

let engine: MemoryEngine
let router: StoreRouter
let replicas: Replicas
let fixture: PeerFixture

beforeEach(() => {
  engine = openMemoryEngine()
  router = new Router({ notify: () => {}, notifyControl: () => {} }, new StoreFsm())
  fixture = new PeerFixture(undefined)
  replicas = new Replicas({
    router,
    engine,
    mailboxCapacity: 100,
    applyStateOf: () => {
      throw new Error('nothing is on disk')
    },
    bury: async (tombstone) => buryReplica(engine, tombstone),
    fail: (error) => {
      throw error
    },
  })
  replicas.attach(fixture.ports)
})

function bury(tombstone: Partial<Tombstone>): void {
  const region = regionOf('2 3', 6)
  const state = { kind: RegionStateKind.Tombstone, region, peerId: 10, cleared: true } as const
  const batch = engine.newBatch()
  const bytes = encodeRegionState({ ...state, ...tombstone })
  batch.put(ColumnFamily.Raft, regionStateKey(REGION_ID), bytes)
  engine.write(batch, { sync: true })
}

type Options = Partial<Omit<RaftEnvelope, 'message'> & Pick<Message, 'commit'>>

function envelope(type: MessageType, options: Options = {}): RaftEnvelope {
  const { from = peerOn(2), to = peerOn(1), epoch = { confVer: 7, version: 1 } } = options
  const { commit = 0, tombstone } = options
  const message = { ...newMessage(type, to.id), from: from.id, term: 6, commit }
  const plain = { regionId: REGION_ID, from, to, epoch, message }
  return tombstone === undefined ? plain : { ...plain, tombstone }
}

const { Append, Heartbeat, RequestPreVote, RequestVote, TimeoutNow } = MessageType
const { RequestPreVoteResponse, RequestVoteResponse } = MessageType

describe('a message for a region that is not here', () => {
  it.each([Heartbeat, RequestVote, RequestPreVote])(
    'of an initial kind makes a replica (%i)',
    (type) => {
      expect(replicas.onUnknown(envelope(type))).toBe(true)
      expect(router.get(REGION_ID)).toMatchObject({ isInitialised: false, self: { id: 10 } })
      expect(replicas.initialisedCount).toBe(0)
    },
  )

  it('that means somebody who was here before makes none', () => {
    expect(replicas.onUnknown(envelope(Heartbeat, { commit: 8 }))).toBe(false)
    expect(replicas.onUnknown(envelope(Append))).toBe(false)
    expect(replicas.onUnknown(envelope(TimeoutNow))).toBe(false)
    expect(replicas.onUnknown(envelope(Heartbeat, { tombstone: true }))).toBe(false)
    expect(replicas.onUnknown(envelope(Heartbeat, { to: peerOn(5) }))).toBe(false)
    expect(router.size).toBe(0)
  })

  it('makes so many replicas without data, and no more', () => {
    for (let regionId = 1; regionId <= 1100; regionId++) {
      replicas.onUnknown({ ...envelope(Heartbeat), regionId })
    }
    expect(router.size).toBe(1024)
  })
})

describe('a tombstone', () => {
  it('is never brought to life again, nor is any peer before it', () => {
    bury({})
    for (const type of [Heartbeat, RequestVote, RequestPreVote]) {
      for (const id of [9, 10]) {
        expect(replicas.onUnknown(envelope(type, { to: { ...peerOn(1), id } }))).toBe(false)
      }
    }
    expect(router.size).toBe(0)
  })

  it('makes room for a later peer, of a membership that is not earlier', () => {
    bury({})
    const to = { ...peerOn(1), id: 11 }
    const before = { confVer: 5, version: 1 }
    expect(replicas.onUnknown(envelope(Heartbeat, { to, epoch: before }))).toBe(false)
    const same = { confVer: 6, version: 1 }
    expect(replicas.onUnknown(envelope(Heartbeat, { to, epoch: same }))).toBe(true)
  })

  it('tells a voter that was gone before it, and does not know', () => {
    bury({})
    const epoch = { confVer: 5, version: 1 }
    const gone = peerOn(4)
    replicas.onUnknown(envelope(RequestPreVote, { from: gone, epoch }))
    expect(fixture.sent).toMatchObject([{ to: gone, tombstone: true, epoch: { confVer: 6 } }])
  })

  it.each([RequestPreVote, RequestVote])(
    'tells a member who asks for its vote up to where it knew the log committed (%i)',
    (type) => {
      bury({ removedAt: { index: 40, term: 5 } })
      const epoch = { confVer: 5, version: 1 }
      replicas.onUnknown(envelope(type, { epoch }))
      const answer = type === RequestVote ? RequestVoteResponse : RequestPreVoteResponse
      // The request is of term 6, and a pre-vote asks about the one after the candidate's.
      const term = type === RequestVote ? 6 : 5
      const told = { reject: true, from: 10, term, commit: 40, commitTerm: 5 }
      expect(fixture.sent).toMatchObject([{ to: peerOn(2), message: { type: answer, ...told } }])
      expect(fixture.sent[0]!.tombstone).toBeUndefined()
      // What is asked of an earlier peer is not for this one to answer.
      replicas.onUnknown(envelope(type, { epoch, to: { ...peerOn(1), id: 9 } }))
      expect(fixture.sent).toHaveLength(1)
    },
  )

  it('says nothing to members, to later ones, or when it never knew the membership', () => {
    bury({})
    const epoch = { confVer: 5, version: 1 }
    replicas.onUnknown(envelope(RequestVote, { epoch }))
    replicas.onUnknown(envelope(RequestVote, { from: peerOn(4) }))
    replicas.onUnknown(envelope(Heartbeat, { from: peerOn(4), epoch }))
    bury({ region: NOBODY })
    replicas.onUnknown(envelope(RequestVote, { from: peerOn(4), epoch }))
    expect(fixture.sent).toEqual([])
  })
})

it('a range is taken until all of its replica is gone', () => {
  const region = regionOf('1 2 3')
  const other = { ...region, id: 8, startKey: Buffer.from('c') }
  expect(replicas.isOccupied(other)).toBe(false)
  replicas.onUnknown(envelope(Heartbeat))
  expect(replicas.isOccupied(other)).toBe(false)
  replicas.onRegion(region)
  expect(replicas.isOccupied(other)).toBe(true)
  expect(replicas.isOccupied(region)).toBe(false)
  expect(replicas.initialisedCount).toBe(1)
  replicas.forget(REGION_ID)
  expect(replicas.isOccupied(other)).toBe(false)
  expect(router.size).toBe(0)
})
