/**
 * Apply on the caller's thread, for tests: the same core as a worker's, in a world without threads.
 *
 * Either flush() applies all that is queued and tells the results before it returns, or (with
 * `pumped`) nothing happens until pump(): the test then decides when this "thread" runs.
 */
import { ApplyRunner } from '../../src/apply/apply-runner.ts'
import type { ApplyLimits } from '../../src/apply/limits.ts'
import type {
  ApplyClient,
  ApplyEvents,
  ApplyResult,
  ApplyTask,
  SnapshotPinned,
} from '../../src/apply/port.ts'
import { assert } from '../../src/base/assert.ts'
import type { Clock } from '../../src/base/clock.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import type { RegionId, StoreId } from '../../src/base/ids.ts'
import type { KvEngine } from '../../src/engine/port.ts'
import type { Region } from '../../src/region/region.ts'
import type { ApplyState } from '../../src/region/state.ts'
import { FirstFailure } from '../first-failure.ts'

export interface InlineApplyOptions {
  readonly storeId: StoreId
  readonly engine: Pick<KvEngine, 'newBatch' | 'write' | 'sync'>
  readonly clock: Clock
  readonly events: ApplyEvents
  readonly limits?: ApplyLimits
  /** Builds snapshots; without it asking for one fails. */
  readonly onPinned?: (pinned: SnapshotPinned) => void
  /** Default false: flush() does the work. */
  readonly pumped?: boolean
}

/** Rounds are run by hand. */
const NO_SCHEDULER = { schedule: () => {} }

export class InlineApplyClient implements ApplyClient {
  readonly #events: ApplyEvents
  readonly #pumped: boolean
  readonly #runner: ApplyRunner
  readonly #failure: FirstFailure
  /** Calls of this round: they reach the runner on flush, as they reach a worker. */
  #round: (() => void)[] = []
  #results: ApplyResult[][] = []
  #closed = false

  constructor(options: InlineApplyOptions) {
    this.#events = options.events
    this.#pumped = options.pumped ?? false
    this.#failure = new FirstFailure((error) => this.#events.onFailed(error as Error))
    this.#runner = new ApplyRunner({
      storeId: options.storeId,
      engine: options.engine,
      clock: options.clock,
      scheduler: NO_SCHEDULER,
      ...(options.limits && { limits: options.limits }),
      onApplied: (results) => this.#results.push(results),
      // The end of every pump looks.
      onTruncated: () => {},
      onPinned: options.onPinned ?? ((pinned) => this.#refuse(pinned)),
    })
  }

  register(region: Region, state: ApplyState): void {
    this.#queue(() => this.#runner.register(region, state))
  }

  apply(task: ApplyTask): void {
    assert(task.entries.length > 0, 'a task has entries')
    this.#queue(() => this.#runner.apply(task))
  }

  applyLater(task: ApplyTask): void {
    this.apply(task)
  }

  /** Nothing is held back here. */
  hurry(): void {}

  snapshot(regionId: RegionId, id: number): void {
    this.#queue(() => this.#runner.pin(regionId, id))
  }

  /** A snapshot that is pinned is built at once: there is nothing to cancel. */
  cancelSnapshot(): void {}

  destroy(regionId: RegionId): void {
    this.#queue(() => this.#runner.destroy(regionId))
  }

  flush(): void {
    this.#failure.guard(() => {
      for (const call of this.#round.splice(0)) call()
    })
    if (this.#pumped) return
    while (this.pump()) {}
  }

  /** Runs one round and tells its results; true while work is left. */
  pump(): boolean {
    let more = false
    this.#failure.guard(() => {
      more = this.#runner.runRound()
      if (!more) this.#runner.syncTruncated()
    })
    // What was written before a failure is told: it happened.
    for (const results of this.#results.splice(0)) this.#events.onApplied(results)
    return more
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.flush()
    while (this.pump()) {}
    this.#closed = true
    this.#failure.guard(() => this.#runner.close())
  }

  #refuse({ regionId, id }: SnapshotPinned): void {
    this.#events.onSnapshot({ regionId, id, meta: undefined, error: 'nothing here builds it' })
  }

  #queue(call: () => void): void {
    if (this.#closed) throw new PolyraftError('Closed', 'apply is closed')
    this.#round.push(call)
  }
}
