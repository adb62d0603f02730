/**
 * Suite `store`: one store embedded in this process (raft log fsync, then RocksDB), beside bare
 * RocksDB with synced batches through the same binding, interleaved. Both acknowledge only what is
 * on disk; the bare engine gets the batch size that the store's clients would fill at best.
 */
import { join } from 'node:path'
import { ColumnFamily, type SharedKvEngine } from '../engine/port.ts'
import { openCluster } from '../server/open-cluster.ts'
import { openBareRocksDb } from './bare-rocksdb.ts'
import { BenchData, type LoadResult, type Operation, runLoad, summary } from './load.ts'
import { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'
import type { BenchOptions } from './suite.ts'

const VALUE_BYTES = 256
const ROUNDS = 3
const DEFAULT_SECONDS = 3
const INFLIGHTS = [64, 256, 1024] as const

const data = new BenchData(VALUE_BYTES)

export async function run(options: BenchOptions): Promise<void> {
  const report = new BenchReport(options.json)
  const seconds = options.seconds ?? DEFAULT_SECONDS
  await withScratch('store', async (scratch) => {
    const engine = await openBareRocksDb(scratch)
    const cluster = await scratch.open(openCluster({ dir: join(scratch.dir, 'store'), stores: 1 }))
    report.note(
      `one store in this process, client included; ${VALUE_BYTES}-byte values, every write fsynced; ` +
        `${ROUNDS} interleaved rounds of ${seconds} s, medians`,
    )
    const { put, get } = data.operations(cluster.kv)
    for (const inflight of INFLIGHTS) await comparePuts(engine, put, inflight, seconds, report)
    for (const inflight of INFLIGHTS) {
      const result = await runLoad({ inflight, seconds, operation: get })
      addRow(report, `get, ${inflight} in flight`, 'polyraft', [result], { synced: false })
    }
    report.finish()
  })
}

async function comparePuts(
  engine: SharedKvEngine,
  put: Operation,
  inflight: number,
  seconds: number,
  report: BenchReport,
): Promise<void> {
  const ours: LoadResult[] = []
  const bare: LoadResult[] = []
  for (let round = 0; round < ROUNDS; round++) {
    ours.push(await runLoad({ inflight, seconds, operation: put }))
    bare.push(await bareBatches(engine, inflight, seconds))
  }
  const name = `put, ${inflight} in flight`
  addRow(report, name, 'polyraft', ours, { synced: true, replicas: 1 })
  addRow(report, name, 'bare rocksdb', bare, { synced: true, batch: inflight })
  const share = summary(ours).opsPerSec / summary(bare).opsPerSec
  report.note(`${name}: the store does ${(share * 100).toFixed(0)} % of bare synced batches`)
}

/** One batch at a time, as large as the operations in flight would allow. */
async function bareBatches(
  engine: SharedKvEngine,
  batchSize: number,
  seconds: number,
): Promise<LoadResult> {
  let next = 0
  const result = await runLoad({
    inflight: 1,
    seconds,
    operation: (_, done) => {
      const batch = engine.newBatch()
      for (let i = 0; i < batchSize; i++) {
        const n = next++
        batch.put(ColumnFamily.Default, data.key(n), data.value(n))
      }
      engine.write(batch, { sync: true })
      setImmediate(done, undefined)
    },
  })
  return {
    ...result,
    operations: result.operations * batchSize,
    opsPerSec: result.opsPerSec * batchSize,
  }
}

function addRow(
  report: BenchReport,
  name: string,
  system: string,
  results: readonly LoadResult[],
  config: Record<string, unknown>,
): void {
  const { failed, ...figures } = summary(results)
  report.add({
    suite: 'store',
    case: name,
    system,
    ...figures,
    config: { valueBytes: VALUE_BYTES, ...config, failed },
  })
}
