/**
 * An apply worker of a simulated store: what ApplyPool and apply-worker.ts are to threads, this is
 * to virtual time. Rounds and results travel encoded, as they do between threads.
 */
import type { ApplyClient, ApplyResult, ApplyTask, SnapshotResult } from '../../src/apply/port.ts'
import { decodeResults, encodeResults } from '../../src/apply/round-codec.ts'
import type { KvEngine } from '../../src/engine/port.ts'
import type { Region } from '../../src/region/region.ts'
import type { ApplyState } from '../../src/region/state.ts'
import { ApplyRound } from '../../src/store/apply-round.ts'
import { ApplyWork } from '../../src/store/apply-work.ts'
import { type SimLife, SNAP_DIR } from './sim-life.ts'

export interface SimApplyEvents {
  /** At the moment of the write, on the worker. */
  onWritten(results: readonly ApplyResult[]): void
  onApplied(results: readonly ApplyResult[]): void
  onSnapshot(result: SnapshotResult): void
}

/** A message between two threads. */
const MESSAGE_MS = 0.02

export class SimApply implements ApplyClient {
  readonly #life: SimLife
  readonly #work: ApplyWork
  readonly #round: ApplyRound

  constructor(life: SimLife, engine: KvEngine, events: SimApplyEvents) {
    this.#life = life
    const { store } = life
    this.#work = new ApplyWork({
      storeId: store.id,
      engine,
      fs: store.faults,
      snapshotDir: SNAP_DIR,
      clock: store.clock,
      // A thread that is busy looks at its timers late.
      later: (ms, run) => life.later(ms + store.applyMs, () => this.#guard(run)),
      scheduler: {
        schedule: (run) => store.later(store.applyMs, life, () => this.#guard(run)),
      },
      buildSizes: store.options.buildSizes,
      onApplied: (results) => {
        // A barrier tells of what was written before, perhaps of a region that is another's by now.
        events.onWritten(results.filter(({ truncatedIndex }) => truncatedIndex === undefined))
        const numbers = encodeResults(results)
        store.later(MESSAGE_MS, life, () => events.onApplied(decodeResults(numbers)))
      },
      onSnapshot: (result) => store.later(MESSAGE_MS, life, () => events.onSnapshot(result)),
    })
    this.#round = new ApplyRound(
      (ms, run) => life.later(ms, run),
      (bytes) => store.later(MESSAGE_MS, life, () => this.#guard(() => this.#work.onRound(bytes))),
    )
  }

  register(region: Region, state: ApplyState): void {
    this.#round.register(region, state)
  }

  apply(task: ApplyTask): void {
    this.#life.store.options.events.onCommitted(this.#life.store, task)
    this.#round.apply(task)
  }

  applyLater(task: ApplyTask): void {
    this.#life.store.options.events.onCommitted(this.#life.store, task)
    this.#round.applyLater(task)
  }

  hurry(): void {
    this.#round.hurry()
  }

  destroy(regionId: number): void {
    this.#round.destroy(regionId)
  }

  snapshot(regionId: number, id: number): void {
    this.#round.snapshot(regionId, id)
  }

  cancelSnapshot(regionId: number): void {
    this.#round.cancelSnapshot(regionId)
  }

  flush(): void {
    this.#round.flush()
  }

  close(): Promise<void> {
    this.#round.close()
    return this.#work.close()
  }

  /** An error that nothing handles ends the thread, and with it the store. */
  #guard(run: () => void): void {
    if (this.#life.failed !== undefined) return
    try {
      run()
    } catch (error) {
      this.#life.fail(error as Error)
    }
  }
}
