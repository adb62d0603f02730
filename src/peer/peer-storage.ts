/**
 * The core's view of its stored log, over the log engine and the region's durable state. What is
 * not in the entry cache is fetched behind its back; the peer hears of it and asks again.
 */

import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, PeerId, RegionId, Term } from '../base/ids.ts'
import { REJOIN } from '../base/rejoin.ts'
import type { RaftStorage, Unavailable } from '../raft/storage.ts'
import type { ConfState, Entry, HardState, Snapshot } from '../raft/types.ts'
import type { RaftLog, RegionLogState } from '../raftlog/port.ts'
import { PeerRole, type Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import type { SnapshotSource } from './snapshot-source.ts'

export class PeerStorage implements RaftStorage {
  readonly #log: RaftLog
  readonly #regionId: RegionId
  readonly #initial: { hardState: HardState; confState: ConfState }
  readonly #onFetched: (to: PeerId, error: Error | undefined) => void
  /** Peers (0 = own apply) for which a fetch is under way. */
  readonly #fetching = new Set<PeerId>()
  readonly #source: SnapshotSource
  /** The data that entries would be applied to is not there yet. */
  #installing = false

  constructor(
    log: RaftLog,
    region: Region,
    applyState: ApplyState,
    source: SnapshotSource,
    onFetched: (to: PeerId, error: Error | undefined) => void,
  ) {
    const state = log.state(region.id)
    if (state === undefined) throw missingLog(region.id)
    mustReach(region.id, state, applyState)
    this.#log = log
    this.#regionId = region.id
    this.#source = source
    this.#onFetched = onFetched
    const { term, vote, commit } = state.hardState
    this.#initial = {
      // Applied is committed by definition, but the commit index is not fsynced by itself.
      hardState: { term, vote, commit: Math.max(commit, applyState.appliedIndex) },
      confState: confStateOf(region),
    }
  }

  initialState(): { hardState: HardState; confState: ConfState } {
    return this.#initial
  }

  entries(low: LogIndex, high: LogIndex, bytesMax: number, to: PeerId): Entry[] | Unavailable {
    if (to === 0 && this.#installing) return 'temporarily-unavailable'
    const found = this.#log.entries(this.#regionId, low, high, bytesMax)
    if (found === 'temporarily-unavailable' && !this.#fetching.has(to)) {
      this.#fetching.add(to)
      this.#log.fetch(this.#regionId, low, high, bytesMax, (error) => {
        this.#fetching.delete(to)
        this.#onFetched(to, error)
      })
    }
    return found
  }

  term(index: LogIndex): Term | Unavailable {
    return this.#log.term(this.#regionId, index)
  }

  firstIndex(): LogIndex {
    return this.#state().firstIndex
  }

  lastIndex(): LogIndex {
    return this.#state().lastIndex
  }

  snapshot(requestIndex: LogIndex): Snapshot | Unavailable {
    return this.#source.ask(requestIndex, this.firstIndex())
  }

  /** The log begins anew behind a snapshot; on disk with the next write. */
  becomeSnapshot(index: LogIndex, term: Term, hardState: HardState): void {
    this.#log.create(this.#regionId, index, term, hardState)
    this.becomeInstalling()
  }

  /** Committed entries stay here until becomeApplied(); then raft has to be woken. */
  becomeInstalling(): void {
    this.#installing = true
  }

  becomeApplied(): void {
    this.#installing = false
  }

  #state(): RegionLogState {
    const state = this.#log.state(this.#regionId)
    if (state === undefined) throw missingLog(this.#regionId)
    return state
  }
}

export function confStateOf(region: Region): ConfState {
  const voters: PeerId[] = []
  const votersOutgoing: PeerId[] = []
  const learners: PeerId[] = []
  const learnersNext: PeerId[] = []
  for (const { id, role } of region.peers) {
    if (role === PeerRole.Learner) learners.push(id)
    if (role === PeerRole.Voter || role === PeerRole.IncomingVoter) voters.push(id)
    if (role === PeerRole.DemotingVoter) {
      votersOutgoing.push(id)
      learnersNext.push(id)
    }
  }
  const joint = region.peers.some(
    (p) => p.role === PeerRole.IncomingVoter || p.role === PeerRole.DemotingVoter,
  )
  if (joint) {
    for (const { id, role } of region.peers) if (role === PeerRole.Voter) votersOutgoing.push(id)
  }
  return { voters, votersOutgoing, learners, learnersNext, autoLeave: false }
}

function missingLog(regionId: RegionId): PolyraftError {
  return new PolyraftError(
    'Corruption',
    `the raft log holds nothing of region ${regionId}, which the KV engine knows: raft/ was lost or ` +
      `swapped; ${REJOIN}`,
    { regionId },
  )
}

/** The applied state must lie within what the log can replay from. */
function mustReach(regionId: RegionId, log: RegionLogState, apply: ApplyState): void {
  if (apply.appliedIndex > log.lastIndex || apply.appliedIndex + 1 < log.firstIndex) {
    throw new PolyraftError(
      'Corruption',
      `region ${regionId} applied up to ${apply.appliedIndex}, but its raft log holds ` +
        `${log.firstIndex}..${log.lastIndex}: one of raft/ and kv/ lost data; ${REJOIN}`,
      { regionId, appliedIndex: apply.appliedIndex, lastIndex: log.lastIndex },
    )
  }
}
