/**
 * The regions that a store finds on its disk at a start, and those it begins: engine, raft log and
 * snapshot files are made to agree, or the start is refused.
 */
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, ReadyNumber, RegionId, Term } from '../base/ids.ts'
import { REJOIN } from '../base/rejoin.ts'
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import type { FileSystem } from '../env/port.ts'
import type { RaftLog } from '../raftlog/port.ts'
import { applyStateKey, snapshotStateKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import {
  type ApplyState,
  decodeApplyState,
  decodeSnapshotState,
  INITIAL_LOG_INDEX,
  INITIAL_LOG_TERM,
  RegionStateKind,
  type SnapshotState,
} from '../region/state.ts'
import { buryReplica } from '../snap/bury.ts'
import { readMeta, removeAllBut } from '../snap/files.ts'
import { encodeMeta, snapshotName } from '../snap/format.ts'
import { loadRegionStates } from './bootstrap.ts'

export interface StoreRegionsOptions {
  readonly engine: KvEngine
  readonly log: RaftLog
  readonly fs: FileSystem
  readonly snapshotDir: string
}

export interface InterruptedInstall {
  readonly region: Region
  readonly index: LogIndex
  readonly term: Term
  /** Describes the received files; undefined when they are not whole. */
  readonly data: Uint8Array | undefined
}

export class StoreRegions {
  readonly #engine: KvEngine
  readonly #log: RaftLog
  readonly #fs: FileSystem
  readonly #snapshotDir: string
  /** New regions whose first record is on its way to disk. */
  #created:
    | { readonly left: Set<RegionId>; readonly done: () => void; readonly fail: (e: Error) => void }
    | undefined

  constructor({ engine, log, fs, snapshotDir }: StoreRegionsOptions) {
    this.#engine = engine
    this.#log = log
    this.#fs = fs
    this.#snapshotDir = snapshotDir
    fs.makeDirectory(snapshotDir)
  }

  /** Begins the raft logs of new regions, durably: a log that is missing later is damage, not news. */
  createLogs(regionIds: readonly RegionId[]): Promise<void> {
    for (const regionId of regionIds) this.#mustBeUnused(regionId)
    const fresh = regionIds.filter((regionId) => this.#log.state(regionId) === undefined)
    const state = { term: INITIAL_LOG_TERM, vote: 0 }
    return this.#beginLogs(
      fresh.map((regionId) => ({
        regionId,
        state: { ...state, index: INITIAL_LOG_INDEX, indexTerm: INITIAL_LOG_TERM },
      })),
    )
  }

  /** A crash before the region was adopted leaves a log that nothing was written to. */
  #mustBeUnused(regionId: RegionId): void {
    const state = this.#log.state(regionId)
    if (state === undefined) return
    const { hardState, lastIndex } = state
    if (hardState.term === INITIAL_LOG_TERM && lastIndex === INITIAL_LOG_INDEX) return
    throw new PolyraftError(
      'Corruption',
      `the raft log holds entries of region ${regionId}, which kv/ never took over: kv/ lost data; ${REJOIN}`,
      { regionId },
    )
  }

  #beginLogs(logs: readonly { regionId: RegionId; state: SnapshotState }[]): Promise<void> {
    if (logs.length === 0) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const left = new Set(logs.map(({ regionId }) => regionId))
      this.#created = { left, done: resolve, fail: reject }
      for (const { regionId, state } of logs) {
        const hardState = { term: state.term, vote: state.vote, commit: state.index }
        this.#log.create(regionId, state.index, state.indexTerm, hardState)
        this.#log.write({ regionId, readyNumber: 0, entries: [], hardState })
      }
      this.#log.flush()
    })
  }

  /** Regions that this store serves; each is in both the engine and the log, or something was lost. */
  loadRegions(): Region[] {
    const states = loadRegionStates(this.#engine)
    const known = new Set(states.map(({ region }) => region.id))
    for (const regionId of this.#log.regions()) {
      // Of a peer that never had data the log has but its vote, which a peer after it respects too.
      if (known.has(regionId) || this.#isWithoutData(regionId)) continue
      throw new PolyraftError(
        'Corruption',
        `the raft log holds region ${regionId}, of which kv/ knows nothing: kv/ lost data or was ` +
          `swapped; ${REJOIN}`,
        { regionId },
      )
    }
    const regions = states
      .filter(({ kind }) => kind === RegionStateKind.Normal)
      .map(({ region }) => region)
    this.#compactAgain(regions)
    return regions
  }

  /**
   * Goes on where a stop interrupted the end of replicas. A log with entries beside a tombstone is
   * the dead peer's; one without may be that of a later peer that has no data yet.
   */
  finishDestroying(): void {
    for (const state of loadRegionStates(this.#engine)) {
      if (state.kind !== RegionStateKind.Tombstone) continue
      if (!state.cleared) buryReplica(this.#engine, state)
      const { id } = state.region
      if (this.#log.state(id) !== undefined && !this.#isWithoutData(id)) this.#log.remove(id)
    }
  }

  #isWithoutData(regionId: RegionId): boolean {
    return this.#log.state(regionId)?.lastIndex === 0
  }

  /**
   * Regions whose data was being replaced by a snapshot when the store stopped. Their raft logs are
   * made to agree with what was recorded then; every other file of the snapshot directory goes.
   */
  async resumeInstalls(): Promise<InterruptedInstall[]> {
    const regions = loadRegionStates(this.#engine)
      .filter(({ kind }) => kind === RegionStateKind.Applying)
      .map(({ region }) => region)
    const states = regions.map(({ id }) => this.#snapshotStateOf(id))
    const names = regions.map((region, i) => {
      return snapshotName('rev', { region, term: states[i]!.indexTerm, index: states[i]!.index })
    })
    removeAllBut(this.#fs, this.#snapshotDir, names)
    const stale = regions
      .map(({ id }, i) => ({ regionId: id, state: this.#withOwnVote(id, states[i]!) }))
      .filter(({ regionId, state }) => this.#log.term(regionId, state.index) !== state.indexTerm)
    await this.#beginLogs(stale)
    return regions.map((region, i) => {
      const { index, indexTerm } = states[i]!
      return { region, index, term: indexTerm, data: this.#readSet(names[i]!) }
    })
  }

  #snapshotStateOf(regionId: RegionId): SnapshotState {
    const stored = this.#engine.get(ColumnFamily.Raft, snapshotStateKey(regionId))
    if (stored !== undefined) return decodeSnapshotState(stored)
    throw new PolyraftError(
      'Corruption',
      `region ${regionId} installs a snapshot, but kv/ lost its raft state; ${REJOIN}`,
      { regionId },
    )
  }

  /** What the log remembers of a later term, or of a vote, stays. */
  #withOwnVote(regionId: RegionId, state: SnapshotState): SnapshotState {
    const own = this.#log.state(regionId)?.hardState
    if (own === undefined || own.term < state.term) return state
    const vote = own.term > state.term || state.vote === 0 ? own.vote : state.vote
    return { ...state, term: own.term, vote }
  }

  /** Undefined when the set is damaged or gone: another snapshot is needed. */
  #readSet(name: string): Uint8Array | undefined {
    try {
      const meta = readMeta(this.#fs, this.#snapshotDir, name)
      return meta === undefined ? undefined : encodeMeta(meta)
    } catch (error) {
      if (error instanceof PolyraftError && error.code === 'Corruption') return undefined
      throw error
    }
  }

  /**
   * Logs that apply gave up before the stop, of which the log was not told: deleted now, once what
   * was read here is known to be on disk. Queued into the log's first round.
   */
  #compactAgain(regions: readonly Region[]): void {
    let synced = false
    for (const { id } of regions) {
      const state = this.#log.state(id)
      const { truncatedIndex } = this.applyStateOf(id)
      if (state === undefined || truncatedIndex < state.firstIndex) continue
      if (truncatedIndex > state.lastIndex) continue
      if (!synced) this.#engine.sync()
      synced = true
      this.#log.compact(id, truncatedIndex)
    }
  }

  applyStateOf(regionId: RegionId): ApplyState {
    const stored = this.#engine.get(ColumnFamily.Raft, applyStateKey(regionId))
    if (stored !== undefined) return decodeApplyState(stored)
    throw new PolyraftError(
      'Corruption',
      `region ${regionId} has no apply state: kv/ lost data; ${REJOIN}`,
      { regionId },
    )
  }

  /** True for the first record of a new region, of which no peer knows yet: ready number 0. */
  onPersisted(regionId: RegionId, readyNumber: ReadyNumber): boolean {
    if (readyNumber !== 0) return false
    this.#created?.left.delete(regionId)
    if (this.#created?.left.size === 0) {
      this.#created.done()
      this.#created = undefined
    }
    return true
  }

  onFailed(error: Error): void {
    this.#created?.fail(error)
  }
}
