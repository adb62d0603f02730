/**
 * Entry of an apply worker thread: rounds come in as moved ArrayBuffers, results go out. Everything
 * that applies is in ApplyRunner; here are only the thread, its engine and its end.
 *
 * INVARIANTS
 * - Entries are decoded as views of the round's memory, which nobody else can touch any more.
 * - An error that nothing here handles ends the thread: the pool tells the store, which stops.
 * - On 'close' all work is done first; then the engine is detached and the thread ends by itself.
 *   The engine's owner closes it only after that.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { ApplyRunner } from '../apply/apply-runner.ts'
import type { SnapshotResult } from '../apply/port.ts'
import { decodeRound, encodeResults, type RoundTarget } from '../apply/round-codec.ts'
import { assert } from '../base/assert.ts'
import type { StoreId } from '../base/ids.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { BuildQueue } from './build-queue.ts'

/** What the pool passes at the start. */
export interface ApplyWorkerData {
  readonly storeId: StoreId
  readonly engineHandle: bigint
  readonly snapshotDir: string
}

/** To the worker: a round, or the request to finish. */
export type ApplyWorkerMessage = ArrayBuffer | 'close'
/** From the worker: results of a write, or a snapshot that is done. */
export type ApplyWorkerReport = Float64Array | SnapshotResult

const port = parentPort
assert(port !== null, 'the apply worker runs in a thread')

/**
 * How long truncated logs wait for the barrier that lets them go: it fsyncs the engine's log, so
 * that many regions should share one.
 */
const TRUNCATED_WAIT_MS = 500

const { storeId, engineHandle, snapshotDir } = workerData as ApplyWorkerData
const engine = await attachRocksDb(engineHandle)
let closing = false
let barrier: NodeJS.Timeout | undefined

const runner = new ApplyRunner({
  storeId,
  engine,
  clock: { monotonicMs: () => performance.now(), wallMs: () => Date.now() },
  // Messages that have arrived meanwhile join the round, and long work lets new ones in.
  scheduler: {
    schedule(run) {
      setImmediate(() => {
        run()
        if (closing && runner.idle) void finish()
      })
    },
  },
  onApplied(results) {
    const numbers = encodeResults(results)
    port.postMessage(numbers, [numbers.buffer])
  },
  onTruncated() {
    barrier = setTimeout(() => runner.syncTruncated(), TRUNCATED_WAIT_MS)
  },
  onPinned: (pinned) => builds.pinned(pinned),
})

const builds = new BuildQueue({
  engine,
  fs: nodeFileSystem,
  dir: snapshotDir,
  pin: (regionId, id) => runner.pin(regionId, id),
  report: (result) => port.postMessage(result),
})

const target: RoundTarget = {
  register: (region, state) => runner.register(region, state),
  apply: (task) => runner.apply(task),
  destroy: (regionId) => runner.destroy(regionId),
  snapshot: (regionId, id) => builds.add(regionId, id),
  cancelSnapshot: (regionId) => builds.cancel(regionId),
}

port.on('message', (message: ApplyWorkerMessage) => {
  if (message === 'close') {
    closing = true
    if (runner.idle) void finish()
  } else {
    decodeRound(message, target)
  }
})

/** What was posted before the port closes still arrives; without a port nothing holds the thread. */
async function finish(): Promise<void> {
  clearTimeout(barrier)
  await builds.close()
  await engine.close()
  port?.close()
}
