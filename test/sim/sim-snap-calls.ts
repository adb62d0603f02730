/** The snapshot worker of a simulated store: each task takes its time, one after the other. */
import {
  type ErrorCode,
  errorMessage,
  PolyraftError,
  systemErrorCode,
} from '../../src/base/errors.ts'
import type { KvEngine } from '../../src/engine/port.ts'
import {
  type SnapAnswer,
  type SnapCalls,
  type SnapRequest,
  SnapTasks,
} from '../../src/store/snap-tasks.ts'
import { type SimLife, SNAP_DIR } from './sim-life.ts'

export class SimSnapCalls implements SnapCalls {
  readonly #life: SimLife
  readonly #tasks: SnapTasks
  /** Told of each task that is done. */
  readonly #onDone: (request: SnapRequest) => void
  #busyUntilMs = 0

  constructor(life: SimLife, engine: KvEngine, onDone: (request: SnapRequest) => void) {
    this.#life = life
    this.#onDone = onDone
    const { store } = life
    this.#tasks = new SnapTasks({
      engine,
      fs: store.faults,
      dir: SNAP_DIR,
      pause: () => new Promise((resolve) => void life.later(store.snapIoMs, resolve)),
    })
  }

  call(request: SnapRequest): Promise<SnapAnswer> {
    const { nowMs } = this.#life.store.options.queue
    this.#busyUntilMs = Math.max(nowMs, this.#busyUntilMs) + this.#life.store.snapIoMs
    return new Promise((resolve, reject) => {
      this.#life.later(this.#busyUntilMs - nowMs, () => {
        this.#run(request).then(resolve, (error: unknown) => reject(asReply(error)))
      })
    })
  }

  /** A life just ends. */
  close(): Promise<void> {
    return Promise.resolve()
  }

  async #run(request: SnapRequest): Promise<SnapAnswer> {
    try {
      const answer = this.#tasks.run(request)
      const value = answer instanceof Promise ? await answer : answer
      this.#onDone(request)
      return value
    } catch (error) {
      if (systemErrorCode(error) === undefined || (error as Error).name === 'AssertionError') {
        this.#life.fail(error as Error)
      }
      throw error
    }
  }
}

/** Errors lose their class on the way between threads, and keep code and message. */
function asReply(error: unknown): Error {
  const code = systemErrorCode(error) ?? 'Internal'
  return new PolyraftError(code as ErrorCode, errorMessage(error))
}
