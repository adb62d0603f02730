/** What a leader makes of the snapshots that were built for it. */
import { describe, expect, it } from 'vitest'
import { PeerTag } from '../../src/peer/messages.ts'
import type { Region } from '../../src/region/region.ts'
import { PeerFixture, regionOf } from './fixture.ts'

const MEMBERS = '1 2 3 4l'

function building(): PeerFixture {
  const fixture = new PeerFixture(regionOf(MEMBERS))
  fixture.lead()
  fixture.peer.source.ask(0, 6)
  fixture.round({ tag: PeerTag.Tick })
  expect(fixture.peer.source.kind).toBe('building')
  fixture.calls.length = 0
  return fixture
}

function built(fixture: PeerFixture, region: Region, id = 1): void {
  const { appliedIndex: index, appliedTerm: term } = fixture.peer
  const result = { data: Buffer.from('set'), region, index, term }
  fixture.round({ tag: PeerTag.SnapshotBuilt, id, result, error: '' })
}

describe('a snapshot that was built', () => {
  it('is given to raft with its index, term and members', () => {
    const fixture = building()
    built(fixture, regionOf(MEMBERS))
    const { source, appliedIndex, appliedTerm } = fixture.peer
    expect(fixture.calls).toEqual([])
    expect(source.ask(0, 6)).toMatchObject({
      metadata: {
        index: appliedIndex,
        term: appliedTerm,
        confState: { voters: [10, 20, 30], learners: [40] },
      },
      data: Buffer.from('set'),
    })
  })

  it.each([
    ['an earlier membership', regionOf('1 2 3', 4)],
    ['a later membership', regionOf('1 2 3 4', 6)],
    ['other borders', { ...regionOf(MEMBERS), epoch: { confVer: 5, version: 2 } }],
  ])('of %s is only files, and another is built', (_, region) => {
    const fixture = building()
    built(fixture, region)
    const { source } = fixture.peer
    expect(fixture.calls).toEqual(['discardBuilt', 'release'])
    expect(source.kind).toBe('idle')
    expect(source.ask(0, 6)).toBe('temporarily-unavailable')
    expect(source.kind).toBe('wanted')
  })
})
