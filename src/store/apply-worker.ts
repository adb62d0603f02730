/**
 * Entry of an apply worker thread: rounds come in as moved ArrayBuffers, results go out. The work
 * itself is in ApplyWork; here are only the thread, its engine and its end.
 *
 * INVARIANTS
 * - An error that nothing here handles ends the thread: the pool tells the store, which stops.
 * - On 'close' all work is done first; then the engine is detached and the thread ends by itself.
 *   The engine's owner closes it only after that.
 */
import { parentPort, workerData } from 'node:worker_threads'
import type { SnapshotResult } from '../apply/port.ts'
import { encodeResults } from '../apply/round-codec.ts'
import { assert } from '../base/assert.ts'
import type { StoreId } from '../base/ids.ts'
import { machineClock, machineLater } from '../base/node-clock.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { ApplyWork } from './apply-work.ts'
import { machineRateLimit } from './machine-rate.ts'

/** What the pool passes at the start. */
export interface ApplyWorkerData {
  readonly storeId: StoreId
  readonly engineHandle: bigint
  readonly snapshotDir: string
  readonly buildBytesPerSec?: number
}

/** To the worker: a round, or the request to finish. */
export type ApplyWorkerMessage = ArrayBuffer | 'close'
/** From the worker: results of a write, or a snapshot that is done. */
export type ApplyWorkerReport = Float64Array | SnapshotResult

const port = parentPort
assert(port !== null, 'the apply worker runs in a thread')
const { storeId, engineHandle, snapshotDir, buildBytesPerSec } = workerData as ApplyWorkerData
const engine = await attachRocksDb(engineHandle)
let closing = false

const work = new ApplyWork({
  storeId,
  engine,
  fs: nodeFileSystem,
  snapshotDir,
  ...(buildBytesPerSec !== undefined && { buildRate: machineRateLimit(buildBytesPerSec) }),
  clock: machineClock,
  later: machineLater,
  // Messages that have arrived meanwhile join the round, and long work lets new ones in.
  scheduler: {
    schedule(run) {
      setImmediate(() => {
        run()
        if (closing && work.idle) void finish()
      })
    },
  },
  onApplied(results) {
    const numbers = encodeResults(results)
    port.postMessage(numbers, [numbers.buffer])
  },
  onSnapshot: (result) => port.postMessage(result),
})

port.on('message', (message: ApplyWorkerMessage) => {
  if (message === 'close') {
    closing = true
    if (work.idle) void finish()
  } else {
    work.onRound(message)
  }
})

/** What was posted before the port closes still arrives; without a port nothing holds the thread. */
async function finish(): Promise<void> {
  await work.close()
  await engine.close()
  port?.close()
}
