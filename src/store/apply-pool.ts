/**
 * Apply in worker threads: the committed entries of a round go to each worker in one moved buffer,
 * and results come back in one for each engine write.
 *
 *   apply(task) ┐                     ┌▶ worker 0: ApplyRunner ─ RocksDB ─┐
 *   apply(task) ┼─ flush(): 1 message ┤                                   ├─▶ events.onApplied
 *   apply(task) ┘  for each worker    └▶ worker 1: …                      ┘
 *
 * What nobody waits for may be held back: see ApplyRound.
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
import { decodeResults } from '../apply/round-codec.ts'
import { assert } from '../base/assert.ts'
import { builtUrl } from '../base/built-url.ts'
import {
  type ErrorCode,
  errorMessage,
  isOperatingError,
  PolyraftError,
  systemErrorCode,
} from '../base/errors.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { machineLater } from '../base/node-clock.ts'
import type { Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import { ApplyRound } from './apply-round.ts'
import type { ApplyWorkerData, ApplyWorkerReport } from './apply-worker.ts'

export interface ApplyPoolOptions {
  readonly storeId: StoreId
  /** Threads, at least one. */
  readonly workers: number
  /** Of the engine that the workers attach to; it outlives the pool. */
  readonly engineHandle: bigint
  /** Where snapshots are built. */
  readonly snapshotDir: string
  /** Bytes of snapshots that a worker builds in a second. Default: no limit. */
  readonly buildBytesPerSec?: number
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

interface PoolWorker {
  readonly thread: Worker
  readonly round: ApplyRound
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
    const { storeId, engineHandle, snapshotDir, buildBytesPerSec } = options
    const workerData = {
      storeId,
      engineHandle,
      snapshotDir,
      ...(buildBytesPerSec !== undefined && { buildBytesPerSec }),
    }
    for (let i = 0; i < options.workers; i++) {
      this.#workers.push(this.#start(i, workerData))
    }
  }

  register(region: Region, state: ApplyState): void {
    this.#roundOf(region.id).register(region, state)
  }

  // @hot
  apply(task: ApplyTask): void {
    this.#roundOf(task.regionId).apply(task)
  }

  // @hot
  applyLater(task: ApplyTask): void {
    this.#roundOf(task.regionId).applyLater(task)
  }

  hurry(regionId: RegionId): void {
    this.#roundOf(regionId).hurry()
  }

  destroy(regionId: RegionId): void {
    this.#roundOf(regionId).destroy(regionId)
  }

  snapshot(regionId: RegionId, id: number): void {
    this.#roundOf(regionId).snapshot(regionId, id)
  }

  cancelSnapshot(regionId: RegionId): void {
    this.#roundOf(regionId).cancelSnapshot(regionId)
  }

  flush(): void {
    for (const { round } of this.#workers) round.flush()
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    for (const { thread, round } of this.#workers) {
      round.close()
      thread.postMessage('close')
    }
    await Promise.all(this.#workers.map(({ exited }) => exited))
  }

  #roundOf(regionId: RegionId): ApplyRound {
    if (this.#closing !== undefined) throw new PolyraftError('Closed', 'the apply pool is closed')
    return this.#workers[workerOfRegion(regionId, this.#workers.length)]!.round
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
    const round = new ApplyRound(machineLater, (bytes) => {
      if (!this.#failed) thread.postMessage(bytes, [bytes])
    })
    return { thread, round, exited }
  }

  #onFailed(worker: number, error: unknown): void {
    if (this.#failed) return
    this.#failed = true
    const cause = asThrown(error)
    const fields = isOperatingError(cause) ? { reason: cause.message } : { err: cause }
    this.#logger.error({ ...fields, worker }, 'apply worker failed')
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
