/**
 * The core of an apply worker, free of threads: regions with committed entries are served in
 * rounds, all into one batch, so that one engine write serves many regions.
 *
 *   turn of a region:   entry → decode → check → stage ─┐  (applyEntry)
 *   turn of the next:   entry → decode → check → stage ─┼─▶ commit: apply states + batch, one write
 *                       …                              ─┘   effects, then answers: onApplied
 *
 * INVARIANTS
 * - An apply state is in the batch of the last entry that it counts, or in a later one: after a crash
 *   the data is as far as the state on disk, or further by what apply-fsm.ts allows.
 * - The batch is written between entries only, never within one.
 * - A result leaves after the write that holds all it tells of.
 * - A region that has much to do gives way to the others after an early write.
 * - Nothing here depends on anything but the entries: replicas that apply the same entries hold the
 *   same data. Time decides only when a batch ends.
 */
import { assert, unreachable } from '../base/assert.ts'
import type { Clock, RoundScheduler } from '../base/clock.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { PollHandler } from '../batch-system/fsm.ts'
import { Poller } from '../batch-system/poller.ts'
import type { KvEngine } from '../engine/port.ts'
import type { Entry } from '../raft/types.ts'
import { applyStateKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import { applyEntry, Stager } from './apply-entry.ts'
import { ApplyFsm, type ApplyMessage } from './apply-fsm.ts'
import { type ApplyLimits, DEFAULT_APPLY_LIMITS } from './limits.ts'
import type { ApplyResult, ApplyTask, SnapshotPinned } from './port.ts'

export interface ApplyRunnerOptions {
  /** Whose replicas these are. */
  readonly storeId: StoreId
  readonly engine: Pick<KvEngine, 'newBatch' | 'write' | 'sync'>
  readonly clock: Clock
  readonly scheduler: RoundScheduler
  readonly limits?: ApplyLimits
  /** Called from within a round, after each write. The array is the receiver's. */
  onApplied(results: ApplyResult[]): void
  /** A log was truncated: syncTruncated() is due, between rounds, soon but not at once. */
  onTruncated(): void
  /** The region's data is in the engine, and nothing is applied during the call. */
  onPinned(pinned: SnapshotPinned): void
}

export class ApplyRunner implements PollHandler<ApplyFsm, never> {
  readonly #options: ApplyRunnerOptions
  readonly #limits: ApplyLimits
  readonly #poller: Poller<ApplyFsm, never>
  readonly #fsms = new Map<RegionId, ApplyFsm>()
  readonly #stager: Stager
  /** Regions that the next write concerns. */
  readonly #dirty: ApplyFsm[] = []
  /** Truncated since the last barrier: the engine may still lose what these logs would bring back. */
  readonly #truncated = new Set<ApplyFsm>()
  // The turn of one region
  #turnStartMs = 0
  #turnBytes = 0

  constructor(options: ApplyRunnerOptions) {
    this.#options = options
    this.#limits = options.limits ?? DEFAULT_APPLY_LIMITS
    this.#stager = new Stager(options.engine.newBatch())
    this.#poller = new Poller({
      scheduler: options.scheduler,
      handler: this,
      batchMax: this.#limits.regionsMax,
      messagesMax: this.#limits.tasksMax,
    })
  }

  /** Nothing is left to do. */
  get idle(): boolean {
    return this.#poller.activeCount === 0
  }

  register(region: Region, state: ApplyState): void {
    let fsm = this.#fsms.get(region.id)
    if (fsm === undefined) {
      fsm = new ApplyFsm(region.id)
      this.#fsms.set(region.id, fsm)
    }
    this.#send(fsm, { kind: 'register', region, state })
  }

  apply(task: ApplyTask): void {
    this.#send(this.#mustFind(task.regionId), { kind: 'apply', task })
  }

  /** Ends in onPinned, behind everything that the region was handed before. */
  pin(regionId: RegionId, id: number): void {
    const fsm = this.#fsms.get(regionId)
    if (fsm !== undefined) this.#send(fsm, { kind: 'snapshot', id })
    else this.#options.onPinned({ regionId, id, region: undefined, index: 0, term: 0 })
  }

  destroy(regionId: RegionId): void {
    this.#send(this.#mustFind(regionId), { kind: 'destroy' })
  }

  /**
   * Makes everything applied durable, then tells which logs were truncated: only now may their
   * entries be deleted. One barrier serves all regions truncated since the last.
   */
  syncTruncated(): void {
    assert(this.#dirty.length === 0, 'what was staged is written')
    if (this.#truncated.size === 0) return
    this.#options.engine.sync()
    const results: ApplyResult[] = []
    for (const fsm of this.#truncated) {
      results.push({ ...fsm.takeResult(), truncatedIndex: fsm.truncatedIndex })
    }
    this.#truncated.clear()
    this.#options.onApplied(results)
  }

  /**
   * Brings all apply states up to the data. Only at the end: now and then, a state could be written
   * over that of a snapshot, which another thread records.
   */
  close(): void {
    assert(this.idle, 'apply ends when all is applied')
    for (const fsm of this.#fsms.values()) if (fsm.lags) this.#stageState(fsm)
    this.#write()
  }

  /** Runs one round now, for those who drive by hand; true while work is left. */
  runRound(): boolean {
    return this.#poller.runRound()
  }

  begin(): void {
    assert(this.#dirty.length === 0, 'a round ends with everything written')
  }

  handleControl(): void {
    assert(false, 'apply has no control FSM')
  }

  handleNormal(fsm: ApplyFsm, tasksMax: number): void {
    this.#turnStartMs = this.#options.clock.monotonicMs()
    this.#turnBytes = 0
    for (let tasks = 0; tasks < tasksMax; tasks++) {
      if (fsm.task === undefined && !this.#takeTask(fsm)) return
      if (!this.#applyTask(fsm)) break
    }
    // Gave way in the middle of a task: the mailbox alone does not tell.
    if (fsm.task !== undefined) this.#poller.notify(fsm)
  }

  lightEnd(): void {
    this.#commit()
  }

  end(): void {}

  #send(fsm: ApplyFsm, message: ApplyMessage): void {
    fsm.mailbox.pushForced(message)
    this.#poller.notify(fsm)
  }

  #mustFind(regionId: RegionId): ApplyFsm {
    const fsm = this.#fsms.get(regionId)
    assert(
      fsm !== undefined,
      () => `region ${regionId} is registered with apply before it has work`,
    )
    return fsm
  }

  /** Handles messages up to the next task; false when there is none. */
  #takeTask(fsm: ApplyFsm): boolean {
    for (let m = fsm.mailbox.take(); m !== undefined; m = fsm.mailbox.take()) {
      switch (m.kind) {
        case 'apply':
          assert(
            fsm.region !== undefined,
            () => `region ${fsm.id} is not destroyed when it has work`,
          )
          fsm.task = m.task
          fsm.position = 0
          return true
        case 'register':
          fsm.become(m.region, m.state, this.#options.storeId)
          break
        case 'snapshot':
          this.#pin(fsm, m.id)
          break
        case 'destroy':
          this.#destroy(fsm)
          break
        default:
          unreachable(m)
      }
    }
    return false
  }

  /** Applies what is left of the task; false when the region has to give way. */
  // @hot
  #applyTask(fsm: ApplyFsm): boolean {
    const { entries } = fsm.task!
    let goesOn = true
    // What comes behind its own removal is not for this replica.
    while (goesOn && fsm.position < entries.length && !fsm.isRemoved) {
      this.#stage(fsm, entries[fsm.position++]!)
      if (!this.#batchFull()) continue
      this.#commit()
      goesOn = !this.#turnOver()
    }
    if (fsm.position === entries.length || fsm.isRemoved) fsm.task = undefined
    return goesOn
  }

  #stage(fsm: ApplyFsm, entry: Entry): void {
    this.#markDirty(fsm)
    const before = this.#stager.batch.bytes
    const { truncatedIndex } = fsm
    applyEntry(fsm, entry, this.#stager)
    this.#turnBytes += this.#stager.batch.bytes - before
    if (fsm.truncatedIndex !== truncatedIndex) this.#onTruncated(fsm)
  }

  #onTruncated(fsm: ApplyFsm): void {
    if (this.#truncated.size === 0) this.#options.onTruncated()
    this.#truncated.add(fsm)
  }

  #batchFull(): boolean {
    const { batch } = this.#stager
    return batch.length > this.#limits.batchOpsMax || batch.bytes >= this.#limits.batchBytesMax
  }

  #turnOver(): boolean {
    if (this.#turnBytes >= this.#limits.yieldBytes) return true
    return this.#options.clock.monotonicMs() - this.#turnStartMs >= this.#limits.yieldMs
  }

  #markDirty(fsm: ApplyFsm): void {
    if (fsm.dirty) return
    fsm.dirty = true
    this.#dirty.push(fsm)
  }

  /** Writes what was staged, then answers every region that it concerns. */
  #commit(): void {
    if (this.#dirty.length === 0) return
    for (const fsm of this.#dirty) {
      if (fsm.needsState(this.#limits)) this.#stageState(fsm)
    }
    this.#write()
    const results: ApplyResult[] = []
    for (const fsm of this.#dirty) {
      fsm.dirty = false
      results.push(fsm.takeResult())
    }
    this.#dirty.length = 0
    this.#options.onApplied(results)
  }

  #stageState(fsm: ApplyFsm): void {
    this.#stager.putState(applyStateKey(fsm.id), fsm.takeState())
  }

  /** WAL without fsync, as a rule: after a crash the raft log holds what the engine lost. */
  #write(): void {
    const stager = this.#stager
    if (stager.batch.length === 0) return
    this.#options.engine.write(stager.batch, { sync: stager.mustSync })
    stager.batch = this.#options.engine.newBatch()
    stager.mustSync = false
  }

  #pin({ id: regionId, region, appliedIndex, appliedTerm }: ApplyFsm, id: number): void {
    this.#commit()
    this.#options.onPinned({ regionId, id, region, index: appliedIndex, term: appliedTerm })
  }

  /** Rare, so it writes at once: the region leaves with nothing in the air. */
  #destroy(fsm: ApplyFsm): void {
    this.#commit()
    fsm.becomeDestroyed()
    this.#truncated.delete(fsm)
    // Registered again behind its destruction: then the messages go on in order.
    if (fsm.mailbox.length === 0) this.#fsms.delete(fsm.id)
  }
}
