/**
 * Entry of the snapshot worker thread: requests come with a number, each is answered once under it.
 * The work itself is in SnapTasks; here are only the thread, its engine and its end.
 *
 * INVARIANT: on 'close' an ingestion stops between two batches; then the engine is detached, and the
 * thread ends by itself.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { assert } from '../base/assert.ts'
import { errorMessage, systemErrorCode } from '../base/errors.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { lowerThisThread } from '../env/thread-priority.ts'
import { machineRateLimit } from './machine-rate.ts'
import { type SnapAnswer, type SnapRequest, SnapTasks } from './snap-tasks.ts'

export interface SnapWorkerData {
  readonly engineHandle: bigint
  readonly dir: string
  /** Bytes that are installed in a second. */
  readonly bytesPerSec: number
}

export interface SnapReply {
  readonly id: number
  /** Bytes done meanwhile: the answer is still to come. */
  readonly progress?: number
  readonly value: SnapAnswer
  readonly error: { readonly code: string; readonly message: string } | undefined
}

/** Snapshots take what requests leave: a third of other threads' share, where there is too much to do. */
const NICE = 5

/** RocksDB's own threads write out and compact what was installed: as much work again. */
const INSTALL_WORK_FACTOR = 2

const port = parentPort
assert(port !== null, 'the snapshot worker runs in a thread')
const { engineHandle, dir, bytesPerSec } = workerData as SnapWorkerData
lowerThisThread(NICE)
const engine = await attachRocksDb(engineHandle)
const rate = machineRateLimit(bytesPerSec, INSTALL_WORK_FACTOR)
const tasks = new SnapTasks({
  engine,
  fs: nodeFileSystem,
  dir,
  pause: async (bytes) => {
    await rate.take(bytes)
    await new Promise((resolve) => setImmediate(resolve))
  },
})
let closing = false

port.on('message', (message: { id: number; request: SnapRequest } | 'close') => {
  if (message === 'close') {
    closing = true
    tasks.stop()
    rate.stop()
    maybeFinish()
    return
  }
  const { id, request } = message
  try {
    const answer = tasks.run(request, (bytes) => tell(id, bytes))
    if (answer instanceof Promise) answer.then(() => end(id), failed(id))
    else reply(id, answer)
  } catch (error) {
    failed(id)(error)
  }
})

/** Of an ingestion. */
function end(id: number): void {
  reply(id, undefined)
  maybeFinish()
}

function tell(id: number, progress: number): void {
  const answer: SnapReply = { id, progress, value: undefined, error: undefined }
  port!.postMessage(answer)
}

function reply(id: number, value: SnapAnswer): void {
  const answer: SnapReply = { id, value, error: undefined }
  port!.postMessage(answer, value === undefined ? [] : [value.buffer as ArrayBuffer])
}

function failed(id: number): (error: unknown) => void {
  return (error) => {
    const code = systemErrorCode(error) ?? 'Internal'
    const message = errorMessage(error)
    const answer: SnapReply = { id, value: undefined, error: { code, message } }
    port!.postMessage(answer)
    maybeFinish()
  }
}

function maybeFinish(): void {
  if (!closing || !tasks.idle) return
  void engine.close().then(() => port?.close())
}
