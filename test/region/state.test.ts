import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import {
  applyStateKey,
  dataEndKey,
  dataKey,
  decodeRegionStateKey,
  regionStateKey,
} from '../../src/region/keys.ts'
import { PeerRole, type Region, regionContains } from '../../src/region/region.ts'
import {
  decodeApplyState,
  decodeRegionState,
  decodeStoreIdent,
  encodeApplyState,
  encodeRegionState,
  encodeStoreIdent,
  INITIAL_APPLY_STATE,
  RegionStateKind,
} from '../../src/region/state.ts'

const region: Region = {
  id: 7,
  startKey: Buffer.from('b'),
  endKey: Buffer.from('d'),
  epoch: { confVer: 3, version: 9 },
  peers: [
    { id: 8, storeId: 1, role: PeerRole.Voter },
    { id: 9, storeId: 2, role: PeerRole.Learner },
  ],
}

describe('durable state', () => {
  it('round-trips', () => {
    const ident = { clusterId: Number.MAX_SAFE_INTEGER, storeId: 4, adopted: true }
    expect(decodeStoreIdent(encodeStoreIdent(ident))).toEqual(ident)
    const state = { kind: RegionStateKind.Normal, region }
    expect(decodeRegionState(encodeRegionState(state))).toEqual(state)
    const dead = { kind: RegionStateKind.Tombstone, region, peerId: 8, cleared: true }
    expect(decodeRegionState(encodeRegionState(dead))).toEqual(dead)
    const removed = { ...dead, removedAt: { index: 9, term: 7 } }
    expect(decodeRegionState(encodeRegionState(removed))).toEqual(removed)
    expect(decodeApplyState(encodeApplyState(INITIAL_APPLY_STATE))).toEqual(INITIAL_APPLY_STATE)
  })

  it('refuses another version, missing bytes and trailing bytes', () => {
    const bytes = encodeApplyState(INITIAL_APPLY_STATE)
    const newer = Buffer.from(bytes)
    newer[0] = 2
    expect(() => decodeApplyState(newer)).toThrow(/format 2/)
    expect(() => decodeApplyState(bytes.subarray(0, 20))).toThrow(PolyraftError)
    expect(() => decodeApplyState(Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow(
      /behind its end/,
    )
  })
})

describe('keys', () => {
  it('are laid out as documented', () => {
    expect(regionStateKey(258).toString('hex')).toBe('0103000000000000010201')
    expect(applyStateKey(258).toString('hex')).toBe('0102000000000000010203')
    expect(decodeRegionStateKey(regionStateKey(258))).toBe(258)
    expect(decodeRegionStateKey(applyStateKey(258))).toBeUndefined()
    expect(dataKey(Buffer.from('k')).toString()).toBe('zk')
    expect(dataEndKey(Buffer.alloc(0)).toString()).toBe('{')
  })

  it('a region holds its start and not its end', () => {
    const has = (key: string) => regionContains(region, Buffer.from(key))
    expect([has('azz'), has('b'), has('c~'), has('d')]).toEqual([false, true, true, false])
    expect(regionContains({ ...region, endKey: Buffer.alloc(0) }, Buffer.from('zzz'))).toBe(true)
  })
})
