import { expect, it } from 'vitest'
import { Roster } from '../../src/peer/roster.ts'
import { PeerRole, type Region } from '../../src/region/region.ts'

function region(...ids: number[]): Region {
  const peers = ids.map((id) => ({ id, storeId: id * 10, role: PeerRole.Voter }))
  const epoch = { confVer: ids.length, version: 1 }
  return { id: 1, startKey: Buffer.alloc(0), endKey: Buffer.alloc(0), epoch, peers }
}

it('knows the members, and when each was heard', () => {
  const roster = new Roster(region(2, 3, 4))
  expect(roster.has(3)).toBe(true)
  expect(roster.has(5)).toBe(false)
  expect(roster.get(4)?.storeId).toBe(40)
  expect(roster.get(5)).toBeUndefined()
  expect(roster.heardMs(3)).toBeUndefined()
  roster.heard(3, 0)
  roster.heard(4, 7.5)
  expect([2, 3, 4, 5].map((id) => roster.heardMs(id))).toEqual([undefined, 0, 7.5, undefined])
})

it('keeps the times of who stays, and those alone', () => {
  const roster = new Roster(region(2, 3, 4))
  roster.heard(2, 1)
  roster.heard(4, 3)
  roster.heard(5, 9)
  roster.change(region(4, 5))
  expect([2, 4, 5].map((id) => roster.heardMs(id))).toEqual([undefined, 3, undefined])
  expect(roster.get(2)).toBeUndefined()
  roster.forgetHeard()
  expect(roster.heardMs(4)).toBeUndefined()
  expect(roster.has(4)).toBe(true)
})

it('is empty for a replica that does not know its region yet', () => {
  const roster = new Roster(region())
  roster.heard(2, 1)
  expect(roster.has(2)).toBe(false)
  expect(roster.heardMs(2)).toBeUndefined()
})
