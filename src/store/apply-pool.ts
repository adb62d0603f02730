/**
 * Apply in worker threads: the committed entries of a round go to each worker in one moved buffer,
 * and results come back in one for each engine write.
 *
 *   apply(task) ┐                     ┌▶ worker 0: ApplyRunner ─ RocksDB ─┐
 *   apply(task) ┼─ flush(): 1 message ┤                                   ├─▶ events.onApplied
 *   apply(task) ┘  for each worker    └▶ worker 1: …                      ┘
 *
 * What nobody waits for (a follower's entries) stays in the round until something awaited joins it, or
 * for HOLD_MS: fewer and larger rounds, and one apply state for more entries.
 *
 * INVARIANTS
 * - A region belongs to one worker for ever, by its id alone: so its order holds, even over
 *   destruction and return, and nothing has to be remembered for it.
 * - The first failure is told once through onFailed; after it nothing more is sent.
 * - close() resolves after every worker has done its work and is gone: only then may the owner of
 *   the engine close it.
 */
import { Worker } from 'node:worker_threads'
import type { ApplyClient, ApplyEvents, ApplyTask } from '../apply/port.ts'
import { decodeResults, RoundEncoder } from '../apply/round-codec.ts'
import { assert } from '../base/assert.ts'
import { builtUrl } from '../base/built-url.ts'
import { type ErrorCode, errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import { KIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import type { Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import type { ApplyWorkerData, ApplyWorkerReport } from './apply-worker.ts'

export interface ApplyPoolOptions {
  /** Threads, at least one. */
  readonly workers: number
  /** Of the engine that the workers attach to; it outlives the pool. */
  readonly engineHandle: bigint
  /** Where snapshots are built. */
  readonly snapshotDir: string
  readonly events: ApplyEvents
  readonly logger: Logger
}

/**
 * A worker's heap holds views, and a small FSM for each region; entries and the engine's memory are
 * outside. Almost all of its garbage dies young, so a small young generation costs it little. The
 * old one is a ceiling, far above what some 100,000 regions need, not a reservation.
 */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 256 }

/** Odd, near 2^32 divided by the golden ratio: multiplying by it spreads ids with a regular step. */
const HASH_FACTOR = 0x9e3779b1

/**
 * Which worker applies a region. Not the plain remainder: a placement driver takes a region's id
 * and those of its peers from one sequence, so with three replicas region ids are four apart and
 * would all meet in one of two or four workers.
 */
export function workerOfRegion(regionId: RegionId, workers: number): number {
  return (Math.imul(regionId, HASH_FACTOR) >>> 8) % workers
}

/**
 * How long and how much of what nobody waits for is held back. A store follows in more regions than
 * it leads, and each round of a worker costs a wake-up, a write and an answer, however small it is.
 */
const HOLD_MS = 10
const HOLD_BYTES = 256 * KIB

interface PoolWorker {
  readonly thread: Worker
  readonly round: RoundEncoder
  /** Somebody waits for what is in the round. */
  awaited: boolean
  /** Ends the holding back; undefined while nothing is. */
  hold: NodeJS.Timeout | undefined
  readonly exited: Promise<void>
}

export class ApplyPool implements ApplyClient {
  readonly #events: ApplyEvents
  readonly #logger: Logger
  readonly #workers: PoolWorker[] = []
  #failed = false
  #closing: Promise<void> | undefined = undefined

  constructor(options: ApplyPoolOptions) {
    assert(options.workers >= 1, 'an apply pool has at least one worker')
    this.#events = options.events
    this.#logger = options.logger
    const { engineHandle, snapshotDir } = options
    const workerData = { engineHandle, snapshotDir }
    for (let i = 0; i < options.workers; i++) {
      this.#workers.push(this.#start(i, workerData))
    }
  }

  register(region: Region, state: ApplyState): void {
    this.#awaitedRound(region.id).register(region, state)
  }

  // @hot
  apply(task: ApplyTask): void {
    this.#awaitedRound(task.regionId).apply(task)
  }

  // @hot
  applyLater(task: ApplyTask): void {
    this.#workerOf(task.regionId).round.apply(task)
  }

  hurry(regionId: RegionId): void {
    this.#workerOf(regionId).awaited = true
  }

  destroy(regionId: RegionId): void {
    this.#awaitedRound(regionId).destroy(regionId)
  }

  snapshot(regionId: RegionId, id: number): void {
    this.#awaitedRound(regionId).snapshot(regionId, id)
  }

  cancelSnapshot(regionId: RegionId): void {
    this.#awaitedRound(regionId).cancelSnapshot(regionId)
  }

  flush(): void {
    for (const worker of this.#workers) {
      if (worker.round.empty) continue
      if (worker.awaited || worker.round.bytes >= HOLD_BYTES) this.#post(worker)
      else worker.hold ??= setTimeout(() => this.#endHold(worker), HOLD_MS)
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const worker of this.#workers) {
      clearTimeout(worker.hold)
      this.#post(worker)
      worker.thread.postMessage('close')
    }
    await Promise.all(this.#workers.map(({ exited }) => exited))
  }

  #endHold(worker: PoolWorker): void {
    worker.hold = undefined
    this.#post(worker)
  }

  #post(worker: PoolWorker): void {
    worker.awaited = false
    if (worker.round.empty) return
    const bytes = worker.round.take()
    if (!this.#failed) worker.thread.postMessage(bytes, [bytes])
  }

  #awaitedRound(regionId: RegionId): RoundEncoder {
    const worker = this.#workerOf(regionId)
    worker.awaited = true
    return worker.round
  }

  #workerOf(regionId: RegionId): PoolWorker {
    if (this.#closing !== undefined) throw new PolyraftError('Closed', 'the apply pool is closed')
    return this.#workers[workerOfRegion(regionId, this.#workers.length)]!
  }

  #start(number: number, workerData: ApplyWorkerData): PoolWorker {
    const thread = new Worker(builtUrl('store/apply-worker.js'), {
      name: `apply-${number}`,
      workerData,
      resourceLimits: RESOURCE_LIMITS,
    })
    thread.on('message', (message: ApplyWorkerReport) => {
      if (message instanceof Float64Array) this.#events.onApplied(decodeResults(message))
      else this.#events.onSnapshot(message)
    })
    thread.on('messageerror', (error) => this.#onFailed(number, error))
    thread.on('error', (error) => this.#onFailed(number, error))
    const exited = new Promise<void>((resolve) => {
      thread.on('exit', (code) => {
        const asked = this.#closing !== undefined && code === 0
        if (!asked)
          this.#onFailed(
            number,
            new PolyraftError('Internal', `apply worker ${number} ended with exit code ${code}`),
          )
        resolve()
      })
    })
    return { thread, round: new RoundEncoder(), awaited: false, hold: undefined, exited }
  }

  #onFailed(worker: number, error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    const cause = asThrown(error)
    this.#logger.error({ err: cause, worker }, 'apply worker failed')
    this.#events.onFailed(cause)
  }
}

/** Errors lose their class on the way between threads; operating errors get theirs back. */
function asThrown(error: unknown): Error {
  if (!(error instanceof Error)) return new PolyraftError('Internal', errorMessage(error))
  const code = systemErrorCode(error)
  if (error.name !== 'PolyraftError' || code === undefined) return error
  return new PolyraftError(code as ErrorCode, error.message, {}, { cause: error })
}
