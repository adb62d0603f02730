import { describe, expect, it } from 'vitest'
import { confStateOf, PeerStorage } from '../../src/peer/peer-storage.ts'
import { SnapshotSource } from '../../src/peer/snapshot-source.ts'
import type { RaftLog, RegionLogState } from '../../src/raftlog/port.ts'
import { type Peer, PeerRole, type Region } from '../../src/region/region.ts'
import { INITIAL_APPLY_STATE } from '../../src/region/state.ts'

function regionOf(...roles: PeerRole[]): Region {
  const peers: Peer[] = roles.map((role, i) => ({ id: i + 1, storeId: i + 1, role }))
  const epoch = { confVer: 1, version: 1 }
  return { id: 7, startKey: Buffer.alloc(0), endKey: Buffer.alloc(0), epoch, peers }
}

function open(state: RegionLogState | undefined, appliedIndex: number): PeerStorage {
  const log = { state: () => state } as Partial<RaftLog> as RaftLog
  const apply = { ...INITIAL_APPLY_STATE, appliedIndex }
  const source = new SnapshotSource(() => {})
  return new PeerStorage(log, regionOf(PeerRole.Voter), apply, source, () => {})
}

function stateOf(commit: number, lastIndex: number): RegionLogState {
  return { hardState: { term: 6, vote: 1, commit }, firstIndex: 6, lastIndex }
}

describe('peer storage', () => {
  it('knows that what was applied is committed, whatever the log last wrote', () => {
    expect(open(stateOf(7, 20), 12).initialState().hardState.commit).toBe(12)
    expect(open(stateOf(15, 20), 12).initialState().hardState.commit).toBe(15)
  })

  it('refuses a log and an engine that do not belong together', () => {
    expect(() => open(undefined, 5)).toThrow('holds nothing of region 7')
    expect(() => open(stateOf(7, 10), 11)).toThrow('one of raft/ and kv/ lost data')
    expect(() => open({ ...stateOf(30, 40), firstIndex: 20 }, 11)).toThrow('lost data')
    expect(open({ ...stateOf(30, 40), firstIndex: 12 }, 11).firstIndex()).toBe(12)
  })
})

describe('the membership of a region', () => {
  it('is a plain one of voters and learners', () => {
    const { Voter, Learner } = PeerRole
    expect(confStateOf(regionOf(Voter, Voter, Learner))).toEqual({
      voters: [1, 2],
      votersOutgoing: [],
      learners: [3],
      learnersNext: [],
      autoLeave: false,
    })
  })

  it('is a joint one while peers come and go', () => {
    const { Voter, IncomingVoter, DemotingVoter } = PeerRole
    const state = confStateOf(regionOf(Voter, IncomingVoter, DemotingVoter))
    expect(state.voters).toEqual([1, 2])
    expect([...state.votersOutgoing].sort()).toEqual([1, 3])
    expect(state.learnersNext).toEqual([3])
  })
})
