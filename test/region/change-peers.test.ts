import { describe, expect, it } from 'vitest'
import {
  ChangeType,
  changePeers,
  isJointRegion,
  type PeerChange,
  removedPeers,
} from '../../src/region/change-peers.ts'
import { PeerRole, type Region } from '../../src/region/region.ts'

/** '1 2 3l': peer 10 on store 1, …; l learner, i incoming, d demoting. */
function region(text: string): Region {
  const roles: Record<string, PeerRole> = {
    '': PeerRole.Voter,
    l: PeerRole.Learner,
    i: PeerRole.IncomingVoter,
    d: PeerRole.DemotingVoter,
  }
  return {
    id: 7,
    startKey: Buffer.alloc(0),
    endKey: Buffer.alloc(0),
    epoch: { confVer: 5, version: 2 },
    peers: text.split(' ').map((word) => {
      const storeId = Number.parseInt(word, 10)
      return { id: storeId * 10, storeId, role: roles[word.replace(/\d+/, '')]! }
    }),
  }
}

function show({ epoch, peers }: Region): string {
  const shown = peers.map(({ storeId, role }) => `${storeId}${['', 'l', 'i', 'd'][role]}`)
  return `${epoch.confVer} ${shown.join(' ')}`
}

function change(type: ChangeType, storeId: number, peerId = storeId * 10): PeerChange {
  return { type, peerId, storeId }
}

const voter = (storeId: number, peerId?: number) => change(ChangeType.AddVoter, storeId, peerId)
const learner = (storeId: number, peerId?: number) => change(ChangeType.AddLearner, storeId, peerId)
const remove = (storeId: number, peerId?: number) => change(ChangeType.Remove, storeId, peerId)

function changed(text: string, ...changes: PeerChange[]): string {
  const next = changePeers(region(text), changes)
  return typeof next === 'string' ? next : show(next)
}

describe('one change', () => {
  it('adds, promotes, demotes and removes', () => {
    expect(changed('1 2', learner(3))).toBe('6 1 2 3l')
    expect(changed('1 2 3l', voter(3))).toBe('6 1 2 3')
    expect(changed('1 2 3', learner(3))).toBe('6 1 2 3l')
    expect(changed('1 2', voter(3))).toBe('6 1 2 3')
    expect(changed('1 2 3', remove(2))).toBe('6 1 3')
  })

  it('is refused when it makes no sense', () => {
    expect(changed('1 2', voter(2))).toMatch(/peer 20 is that already/)
    expect(changed('1 2l', learner(2))).toMatch(/peer 20 is that already/)
    expect(changed('1 2', voter(2, 99))).toMatch(/store 2 has peer 20 already/)
    expect(changed('1 2', remove(2, 99))).toMatch(/peer 99 is no member/)
    expect(changed('1 2', remove(3, 20))).toMatch(/peer 20 is on store 2/)
    expect(changed('1', remove(1))).toMatch(/no voter would be left/)
    expect(changed('1 2l', learner(1))).toMatch(/no voter would be left/)
    expect(changed('1 2i', voter(3))).toMatch(/joint state has to be left/)
  })
})

describe('several changes', () => {
  it('enter the joint state, and none leaves it', () => {
    const joint = changePeers(region('1 2 3 4l'), [learner(3), voter(4), voter(5)]) as Region
    expect(show(joint)).toBe('8 1 2 3d 4i 5i')
    expect(isJointRegion(joint)).toBe(true)
    const left = changePeers(joint, []) as Region
    expect(show(left)).toBe('11 1 2 3l 4 5')
    expect(isJointRegion(left)).toBe(false)
  })

  it('may drop learners, but no voter, and name a peer once', () => {
    expect(changed('1 2 3l', remove(3), voter(4))).toBe('7 1 2 4i')
    expect(changed('1 2 3', remove(3), voter(4))).toMatch(/voter 30 has to be demoted/)
    expect(changed('1 2 3', learner(3), voter(3))).toMatch(/changed twice/)
    expect(changed('1 2')).toMatch(/no joint state/)
  })
})

it('tells who is gone', () => {
  const before = region('1 2 3')
  const after = changePeers(before, [remove(2)]) as Region
  expect(removedPeers(before, after)).toEqual([{ id: 20, storeId: 2, role: PeerRole.Voter }])
})
