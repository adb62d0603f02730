/** Who may write what, by the disks of a region's stores. */
import { describe, expect, it } from 'vitest'
import type { DiskState } from '../../src/base/disk-state.ts'
import { diskRefusal, leavesUnanswered } from '../../src/peer/disk-full.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { RawKind, RawRequest } from '../../src/protocol/raw.ts'
import { newMessage } from '../../src/raft/message.ts'
import { EntryType, MessageType } from '../../src/raft/types.ts'
import { PeerRole } from '../../src/region/region.ts'

/** `n`ormal, `a`lmost full, `f`ull; the first is the leader's own. */
const STATES: Readonly<Record<string, DiskState>> = { n: 'normal', a: 'almost-full', f: 'full' }

function peerWith(disks: string, learners = 0): Peer {
  const states = [...disks].map((letter) => STATES[letter]!)
  const peers = states.map((_, i) => ({
    id: 10 + i,
    storeId: i + 1,
    role: i >= states.length - learners ? PeerRole.Learner : PeerRole.Voter,
  }))
  const view = {
    tight: true,
    own: states[0]!,
    of: (storeId: number): DiskState => states[storeId - 1]!,
  }
  return { region: { peers }, ports: { storeId: 1, disks: view } } as unknown as Peer
}

function refusal(disks: string, kind: RawKind, learners = 0): number[] | undefined {
  const peer = peerWith(disks, learners)
  const refused = diskRefusal(peer, new RawRequest(kind, { respond: () => {} }, 1))
  if (refused === undefined) return undefined
  expect(refused).toMatchObject({
    code: 'DiskFull',
    message: expect.stringContaining('free space'),
  })
  return refused.code === 'DiskFull' ? [...refused.storeIds] : []
}

const OK = undefined

describe('a write', () => {
  it.each([
    // disks, put, delete
    ['n', OK, OK],
    ['a', [1], OK],
    ['f', [1], [1]],
    ['nnn', OK, OK],
    ['nan', OK, OK],
    ['nfn', OK, OK],
    ['naa', [2, 3], OK],
    ['nff', [2, 3], [2, 3]],
    ['naf', [2, 3], OK],
    ['ann', [1], OK],
    ['aff', [1], [2, 3]],
    ['fnn', [1], [1]],
    ['nnnff', OK, OK],
    ['nnfff', [3, 4, 5], [3, 4, 5]],
    // Two of two are needed.
    ['nf', [2], [2]],
  ] as const)('with disks %s', (disks, put, del) => {
    expect(refusal(disks, RawKind.Put)).toEqual(put)
    expect(refusal(disks, RawKind.BatchPut)).toEqual(put)
    expect(refusal(disks, RawKind.Delete)).toEqual(del)
    expect(refusal(disks, RawKind.BatchDelete)).toEqual(del)
  })

  it('does not wait for learners', () => {
    expect(refusal('nnff', RawKind.Put, 2)).toBe(OK)
  })
})

describe('a full store', () => {
  const append = newMessage(MessageType.Append, 1)
  append.entries = [{ index: 6, term: 6, type: EntryType.Normal, data: Buffer.alloc(0) }]

  it('leaves entries and the order to lead unanswered, nothing else', () => {
    const peer = peerWith('fnn')
    const refused = Object.values(MessageType).filter((type) =>
      leavesUnanswered(peer, newMessage(type, 1)),
    )
    expect(refused).toEqual([MessageType.TimeoutNow])
    expect(leavesUnanswered(peer, append)).toBe(true)
  })

  it.each([
    ['fn', false],
    ['fnn', true],
    ['fna', true],
    ['faa', true],
    ['fnf', false],
    ['fff', false],
    ['fnnff', false],
    ['fnnnf', true],
  ])('with disks %s the others can do without it: %s', (disks, can) => {
    expect(leavesUnanswered(peerWith(disks), append)).toBe(can)
  })
})
