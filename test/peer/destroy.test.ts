import { beforeEach, describe, expect, it } from 'vitest'
import { AdminKind, encodeAdminCommand } from '../../src/command/admin.ts'
import { CLEARED, PeerTag } from '../../src/peer/messages.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { encodeConfChangeV2 } from '../../src/raft/conf-change-codec.ts'
import { newMessage } from '../../src/raft/message.ts'
import {
  ConfChangeTransition,
  ConfChangeType,
  type Entry,
  EntryType,
  MessageType,
} from '../../src/raft/types.ts'
import { ChangeType } from '../../src/region/change-peers.ts'
import { RegionStateKind } from '../../src/region/state.ts'
import { PeerFixture, peerOn, REGION_ID, regionOf } from './fixture.ts'

let fixture: PeerFixture

beforeEach(() => {
  fixture = new PeerFixture(regionOf('1 2 3'))
})

/** As another leader proposed it. */
function removalOf(storeId: number, index: number, term = 6): Entry {
  const peerId = storeId * 10
  const context = encodeAdminCommand({
    kind: AdminKind.ChangePeer,
    confVer: 5,
    changes: [{ type: ChangeType.Remove, peerId, storeId }],
  })
  const data = encodeConfChangeV2({
    transition: ConfChangeTransition.Auto,
    changes: [{ type: ConfChangeType.RemoveNode, nodeId: peerId }],
    context,
  })
  return { index, term, type: EntryType.ConfChangeV2, data }
}

function append(entries: Entry[], commit: number): void {
  fixture.receive(2, {
    type: MessageType.Append,
    term: 6,
    index: entries[0]!.index - 1,
    logTerm: entries[0]!.index === 6 ? 5 : 6,
    entries,
    commit,
  })
  fixture.sync()
  // The committed entries come with the ready behind the fsync.
  fixture.round({ tag: PeerTag.Tick })
}

function normal(index: number): Entry {
  return { index, term: 6, type: EntryType.Normal, data: Buffer.alloc(0) }
}

const codes = (): (string | undefined)[] => fixture.answers.map((a) => a.regionError?.code)

describe('a follower that applied its own removal', () => {
  beforeEach(() => {
    append([normal(6), removalOf(1, 7), normal(8)], 8)
    expect(fixture.applied.map(({ index }) => index)).toEqual([6, 7, 8])
    // Apply stops at its removal.
    fixture.apply(7)
  })

  it('leaves a tombstone, then its data, then its log, and is forgotten', () => {
    expect(fixture.calls).toEqual(['destroy'])
    expect(fixture.tombstones).toMatchObject([
      {
        kind: RegionStateKind.Tombstone,
        peerId: 10,
        cleared: false,
        region: { epoch: { confVer: 6 } },
      },
    ])
    expect(fixture.log.removed).toBe(false)
    fixture.round(CLEARED)
    expect(fixture.log.removed).toBe(true)
    expect(fixture.calls).toEqual(['destroy', 'forget'])
    expect(fixture.metrics.peersDestroyed).toBe(1)
  })

  it('hears nobody, says nothing, and finds no region for a request', () => {
    fixture.sent.length = 0
    append([normal(9)], 9)
    fixture.receive(3, { type: MessageType.RequestVote, term: 9 })
    for (let i = 0; i < 50; i++) fixture.round({ tag: PeerTag.Tick })
    expect(fixture.sent).toEqual([])
    fixture.round(fixture.request(RawKind.Put), fixture.request(RawKind.Get))
    expect(codes()).toEqual(['RegionNotFound', 'RegionNotFound'])
  })

  it('answers what came in the very round of its end', () => {
    fixture.round(CLEARED, fixture.request(RawKind.Get))
    expect(codes()).toEqual(['RegionNotFound'])
  })

  it('is destroyed once, whatever else says so', () => {
    fixture.round({ tag: PeerTag.Removed, peerId: 10, epoch: { confVer: 99, version: 1 } })
    fixture.apply(7)
    expect(fixture.tombstones).toHaveLength(1)
  })
})

describe('a follower that hears of its end from others', () => {
  const told = { tag: PeerTag.Removed, peerId: 10, epoch: { confVer: 99, version: 1 } } as const

  it('waits for what it handed to apply', () => {
    append([normal(6), normal(7)], 7)
    fixture.round(told)
    fixture.apply(6)
    expect(fixture.tombstones).toHaveLength(0)
    fixture.apply(7)
    expect(fixture.tombstones).toHaveLength(1)
  })

  it('does not wait for what comes behind its removal, where that is in apply, too', () => {
    append([normal(6), removalOf(1, 7), normal(8)], 8)
    fixture.round(told)
    expect(fixture.tombstones).toHaveLength(0)
    fixture.apply(7, { removed: true })
    expect(fixture.tombstones).toHaveLength(1)
  })
})

it('what the round of its end found safe to read is read before the data goes', () => {
  append([normal(6), normal(7)], 7)
  fixture.apply(6)
  const read = fixture.request(RawKind.Get)
  read.replicaRead = true
  fixture.round(read)
  const { context } = fixture.sent.at(-1)!.message
  fixture.receive(2, { type: MessageType.ReadIndexResp, term: 6, index: 7, context })
  const order: string[] = []
  const { reads, replicas } = fixture.ports
  reads.read = () => void order.push('read')
  reads.flush = () => void order.push('flush')
  replicas.clear = () => void order.push('clear')
  fixture.peer.mailbox.pushForced({
    tag: PeerTag.Applied,
    result: {
      regionId: REGION_ID,
      appliedIndex: 7,
      appliedTerm: 6,
      rejections: [],
      writtenKeys: 0,
      writtenBytes: 0,
    },
  })
  fixture.round({ tag: PeerTag.Removed, peerId: 10, epoch: { confVer: 99, version: 1 } })
  expect(order).toEqual(['read', 'flush', 'clear'])
})

describe('a leader that applies its own removal, of an earlier leader', () => {
  it('has a last word, and leaves the outcome of what it proposed open', () => {
    append([normal(6), removalOf(1, 7)], 6)
    fixture.apply(6)
    fixture.round({ tag: PeerTag.Campaign })
    fixture.receive(3, { type: MessageType.RequestPreVoteResponse, term: 7 })
    fixture.sync()
    fixture.receive(3, { type: MessageType.RequestVoteResponse, term: 7 })
    expect(fixture.peer.isLeader).toBe(true)
    fixture.round(fixture.request(RawKind.Put))
    fixture.commit(2, 3)
    fixture.sent.length = 0
    fixture.apply(7)
    // It may be committed by the others, or not.
    expect(codes()).toEqual(['UndeterminedResult'])
    const told = fixture.sent.filter(({ message }) => message.type === MessageType.Append)
    expect(told.map(({ to }) => to.id).sort()).toEqual([20, 30])
    expect(told.every(({ message }) => message.commit === fixture.peer.raft.commitIndex)).toBe(true)
    expect(fixture.peer.isLeader).toBe(false)
    expect(fixture.tombstones).toHaveLength(1)
  })

  it('refuses reads that no quorum has confirmed', () => {
    fixture = new PeerFixture(regionOf('1 2 3'))
    fixture.lead()
    fixture.nowMs += 60_000
    fixture.round(fixture.request(RawKind.Get))
    expect(fixture.answers).toEqual([])
    fixture.round({ tag: PeerTag.Removed, peerId: 10, epoch: { confVer: 6, version: 1 } })
    expect(codes()).toEqual(['RegionNotFound'])
  })
})

describe('a replica that is told of its removal', () => {
  const told = (confVer: number, to = peerOn(1)): void => {
    const message = newMessage(MessageType.Heartbeat, to.id)
    const epoch = { confVer, version: 1 }
    const envelope = { regionId: REGION_ID, from: peerOn(2), to, epoch, message, tombstone: true }
    fixture.round({ tag: PeerTag.Raft, envelope })
  }

  it('believes a later membership only, and only about itself', () => {
    told(5)
    told(4)
    told(9, peerOn(3))
    expect(fixture.peer.destroying).toBeUndefined()
    told(6)
    expect(fixture.tombstones).toMatchObject([{ peerId: 10, region: { epoch: { confVer: 5 } } }])
  })

  it('waits until apply has done what it was handed', () => {
    append([normal(6), normal(7)], 7)
    told(6)
    expect(fixture.tombstones).toEqual([])
    fixture.apply(6)
    expect(fixture.tombstones).toEqual([])
    fixture.apply(7)
    expect(fixture.calls).toEqual(['destroy'])
    expect(fixture.tombstones).toHaveLength(1)
  })

  it('waits until no link reads its snapshot any more', () => {
    fixture.peer.source.onSending()
    told(6)
    expect(fixture.tombstones).toEqual([])
    fixture.round({ tag: PeerTag.SnapshotSent, to: 20, ok: false })
    expect(fixture.tombstones).toHaveLength(1)
  })

  it('while a snapshot comes, gives it up', () => {
    fixture.receiveSnapshot(50)
    fixture.sync()
    fixture.round({ tag: PeerTag.Tick })
    expect(fixture.peer.install?.kind).toBe('recording')
    told(9)
    expect(fixture.calls).toContain('cancel')
    fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'recorded' })
    expect(fixture.tombstones).toEqual([])
    fixture.round({ tag: PeerTag.SnapshotInstall, phase: 'failed' })
    expect(fixture.tombstones).toHaveLength(1)
    // Apply was told when the installation began.
    expect(fixture.calls.filter((call) => call === 'destroy')).toHaveLength(1)
    expect(fixture.calls.at(-1)).toBe('discard')
  })
})
