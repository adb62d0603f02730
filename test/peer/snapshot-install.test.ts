/** How a follower comes to the data that its leader sent. */
import { beforeEach, describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { type Entry, EntryType, MessageType } from '../../src/raft/types.ts'
import { PeerFixture, regionOf } from './fixture.ts'

let fixture: PeerFixture

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3'))
})

function append(index: number, commit: number, term = 6): void {
  const entry: Entry = { index, term, type: EntryType.Normal, data: Buffer.alloc(0) }
  fixture.receive(2, {
    type: MessageType.Append,
    term,
    index: index - 1,
    logTerm: index === 6 ? 5 : term,
    entries: [entry],
    commit,
  })
}

describe('a snapshot that arrived', () => {
  it('is stepped at once where nothing of before is under way', () => {
    append(6, 5)
    fixture.sync()
    fixture.receiveSnapshot(50)
    expect(fixture.calls).toEqual(['accepted', 'destroy', 'install'])
  })

  it('waits for the fsync of entries that came before it', () => {
    append(6, 5)
    fixture.receiveSnapshot(50)
    fixture.round({ tag: PeerTag.Tick })
    expect(fixture.calls).toEqual(['accepted'])
    expect(fixture.peer.raft.lastIndex).toBe(6)
    // The same round takes it, and has answered for the entries.
    fixture.sync()
    expect(fixture.calls).toEqual(['accepted', 'destroy', 'install'])
    expect(fixture.sent.map(({ message }) => [message.type, message.index])).toEqual([
      [MessageType.AppendResponse, 6],
    ])
  })

  it('waits for apply', () => {
    append(6, 6)
    fixture.sync()
    fixture.round({ tag: PeerTag.Tick })
    expect(fixture.peer.handedOverIndex).toBe(6)
    fixture.receiveSnapshot(50)
    expect(fixture.calls).toEqual(['accepted'])
    fixture.apply(6)
    expect(fixture.calls).toEqual(['accepted', 'destroy', 'install'])
  })
})

it('a hard state of before, which had waited for a write, is not written behind the snapshot’s', () => {
  append(6, 5)
  fixture.sync()
  // Only the commit index rises.
  fixture.receive(2, { type: MessageType.Heartbeat, term: 6, commit: 6 })
  fixture.apply(6)
  expect(fixture.peer.unwrittenHardState).toMatchObject({ term: 6, commit: 6 })
  fixture.receiveSnapshot(50, 7)
  fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'recorded' })
  fixture.sync()
  append(51, 50, 7)
  expect(fixture.log.unsynced).toHaveLength(1)
  expect(fixture.log.state!.hardState).toMatchObject({ term: 7, commit: 50 })
})

it('a vote of the term outlives the log that it was in', () => {
  fixture.receive(3, { type: MessageType.RequestVote, term: 6, index: 5, logTerm: 5 })
  fixture.sync()
  expect(fixture.log.state!.hardState).toMatchObject({ term: 6, vote: 30 })
  fixture.receiveSnapshot(50, 6)
  fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'recorded' })
  expect(fixture.log.unsynced.at(-1)!.hardState).toEqual({ term: 6, vote: 30, commit: 50 })
})

describe('a replica that was deposed, and gets a snapshot', () => {
  it('tells the clients of its proposals that their outcome is open', () => {
    fixture.lead()
    fixture.round(fixture.request(RawKind.Put))
    const { term } = fixture.peer.raft
    fixture.receive(2, { type: MessageType.Heartbeat, term: term + 1 })
    fixture.sync()
    expect(fixture.answers).toEqual([])
    fixture.receiveSnapshot(50, term + 1)
    expect(fixture.peer.install?.kind).toBe('recording')
    const codes = fixture.answers.map(({ regionError }) => regionError?.code)
    expect(codes).toEqual(['UndeterminedResult'])
  })
})

describe('a replica whose snapshot turned out damaged', () => {
  beforeEach(() => {
    fixture.receiveSnapshot(50)
    fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'recorded' })
    fixture.sync()
    fixture.calls.length = 0
    fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'failed' })
  })

  it('gives up the files, and takes another', () => {
    expect(fixture.calls).toEqual(['discard'])
    fixture.receiveSnapshot(60)
    expect(fixture.calls).toEqual(['discard', 'accepted', 'install'])
  })
})
