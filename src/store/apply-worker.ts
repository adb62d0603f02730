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
import { decodeRound, encodeResults } from '../apply/round-codec.ts'
import { assert } from '../base/assert.ts'
import { attachRocksDb } from '../engine/rocksdb-engine.ts'

/** What the pool passes at the start. */
export interface ApplyWorkerData {
  readonly engineHandle: bigint
}

/** To the worker: a round, or the request to finish. */
export type ApplyWorkerMessage = ArrayBuffer | 'close'

const port = parentPort
assert(port !== null, 'the apply worker runs in a thread')

/**
 * How long truncated logs wait for the barrier that lets them go: it fsyncs the engine's log, so
 * that many regions should share one.
 */
const TRUNCATED_WAIT_MS = 500

const engine = await attachRocksDb((workerData as ApplyWorkerData).engineHandle)
let closing = false
let barrier: NodeJS.Timeout | undefined

const runner = new ApplyRunner({
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
})

port.on('message', (message: ApplyWorkerMessage) => {
  if (message === 'close') {
    closing = true
    if (runner.idle) void finish()
  } else {
    decodeRound(message, runner)
  }
})

/** What was posted before the port closes still arrives; without a port nothing holds the thread. */
async function finish(): Promise<void> {
  clearTimeout(barrier)
  await engine.close()
  port?.close()
}
