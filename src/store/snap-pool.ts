/**
 * The snapshot worker as the main thread sees it: calls with promises. The thread starts with the
 * first call: a store whose replicas keep up never has one.
 *
 * INVARIANT: every call settles; close() resolves when the thread is gone, and only then may the
 * engine's owner close it.
 */
import { Worker } from 'node:worker_threads'
import { builtUrl } from '../base/built-url.ts'
import { type ErrorCode, errorMessage, PolyraftError } from '../base/errors.ts'
import type { SnapAnswer, SnapCalls, SnapRequest } from './snap-tasks.ts'
import type { SnapReply, SnapWorkerData } from './snap-worker.ts'

interface Call {
  readonly resolve: (value: SnapAnswer) => void
  readonly reject: (error: Error) => void
  readonly onProgress: ((bytes: number) => void) | undefined
}

const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 256 }

export class SnapPool implements SnapCalls {
  readonly #data: SnapWorkerData
  readonly #calls = new Map<number, Call>()
  #lastId = 0
  #thread: Worker | undefined = undefined
  #exited: Promise<void> = Promise.resolve()
  #closed = false

  constructor(data: SnapWorkerData) {
    this.#data = data
  }

  call(
    request: SnapRequest,
    transfer: readonly ArrayBuffer[] = [],
    onProgress?: (bytes: number) => void,
  ): Promise<SnapAnswer> {
    if (this.#closed) return Promise.reject(new PolyraftError('Closed', 'the store stops'))
    const thread = this.#thread ?? this.#start()
    const id = ++this.#lastId
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject, onProgress })
      thread.postMessage({ id, request }, [...transfer])
    })
  }

  close(): Promise<void> {
    if (!this.#closed) this.#thread?.postMessage('close')
    this.#closed = true
    return this.#exited
  }

  #start(): Worker {
    const thread = new Worker(builtUrl('store/snap-worker.js'), {
      name: 'snapshots',
      workerData: this.#data,
      resourceLimits: RESOURCE_LIMITS,
    })
    thread.on('message', (reply: SnapReply) => this.#onReply(reply))
    let cause: unknown
    thread.on('error', (error) => {
      cause = error
    })
    this.#exited = new Promise((resolve) => {
      thread.on('exit', (code) => {
        const why = cause === undefined ? `it ended with exit code ${code}` : errorMessage(cause)
        this.#failAll(new PolyraftError(this.#closed ? 'Closed' : 'Internal', why))
        if (this.#thread === thread) this.#thread = undefined
        resolve()
      })
    })
    this.#thread = thread
    return thread
  }

  #onReply({ id, progress, value, error }: SnapReply): void {
    const call = this.#calls.get(id)
    if (progress !== undefined) {
      call?.onProgress?.(progress)
      return
    }
    this.#calls.delete(id)
    if (error === undefined) call?.resolve(value)
    else call?.reject(new PolyraftError(error.code as ErrorCode, error.message))
  }

  #failAll(error: Error): void {
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const { reject } of calls) reject(error)
  }
}
