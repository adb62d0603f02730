/**
 * The work of an apply worker, free of threads: rounds come in, entries are applied, snapshots are
 * built between rounds, logs that were truncated wait for their barrier.
 *
 * INVARIANT: entries are decoded as views of the round's memory, which nobody else touches any more.
 */
import { ApplyRunner } from '../apply/apply-runner.ts'
import type { ApplyResult, SnapshotResult } from '../apply/port.ts'
import { decodeRound, type RoundTarget } from '../apply/round-codec.ts'
import type { Clock, Later, RoundScheduler } from '../base/clock.ts'
import type { StoreId } from '../base/ids.ts'
import type { KvEngine } from '../engine/port.ts'
import type { FileSystem } from '../env/port.ts'
import type { BuildSizes } from '../snap/builder.ts'
import { BuildQueue } from './build-queue.ts'
import type { RateLimit } from './rate-limit.ts'

export interface ApplyWorkOptions {
  readonly storeId: StoreId
  readonly engine: KvEngine
  readonly fs: FileSystem
  readonly snapshotDir: string
  readonly clock: Clock
  readonly later: Later
  readonly scheduler: RoundScheduler
  readonly buildSizes?: BuildSizes
  /** Of snapshots that are built. Default: no limit. */
  readonly buildRate?: RateLimit
  onApplied(results: ApplyResult[]): void
  onSnapshot(result: SnapshotResult): void
}

/**
 * How long truncated logs wait for the barrier that lets them go: it fsyncs the engine's log, so
 * that many regions should share one.
 */
const TRUNCATED_WAIT_MS = 500

export class ApplyWork {
  readonly #runner: ApplyRunner
  readonly #builds: BuildQueue
  readonly #rate: RateLimit | undefined
  readonly #target: RoundTarget
  #cancelBarrier = (): void => {}

  constructor(options: ApplyWorkOptions) {
    const { storeId, engine, fs, snapshotDir, clock, later, scheduler, buildSizes } = options
    const runner = new ApplyRunner({
      storeId,
      engine,
      clock,
      scheduler,
      onApplied: (results) => options.onApplied(results),
      onTruncated: () => {
        this.#cancelBarrier = later(TRUNCATED_WAIT_MS, () => runner.syncTruncated())
      },
      onPinned: (pinned) => builds.pinned(pinned),
    })
    const { buildRate: rate } = options
    const builds = new BuildQueue({
      engine,
      ...(rate && { pause: (bytes) => rate.take(bytes) }),
      fs,
      dir: snapshotDir,
      ...(buildSizes && { sizes: buildSizes }),
      pin: (regionId, id) => runner.pin(regionId, id),
      report: (result) => options.onSnapshot(result),
    })
    this.#runner = runner
    this.#rate = rate
    this.#builds = builds
    this.#target = {
      register: (region, state) => runner.register(region, state),
      apply: (task) => runner.apply(task),
      destroy: (regionId) => runner.destroy(regionId),
      snapshot: (regionId, id) => builds.add(regionId, id),
      cancelSnapshot: (regionId) => builds.cancel(regionId),
    }
  }

  /** Nothing is left to apply. */
  get idle(): boolean {
    return this.#runner.idle
  }

  onRound(bytes: ArrayBuffer): void {
    decodeRound(bytes, this.#target)
  }

  /** When idle. Resolves when nothing is read any more. */
  close(): Promise<void> {
    this.#cancelBarrier()
    this.#runner.close()
    const closed = this.#builds.close()
    this.#rate?.stop()
    return closed
  }
}
