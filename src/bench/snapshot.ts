/**
 * Suite `snapshot`: what a region's snapshot costs, step by step, on one thread: build (read from
 * RocksDB, write files), receive (check, write, fsync), install (clear, ingest, two fsyncs). No
 * network, no raft. Operations are rows; latency is that of one block, or one chunk.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { readFile } from '../env/port.ts'
import { dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { SnapshotBuilder } from '../snap/builder.ts'
import { removeSnapshot } from '../snap/files.ts'
import { filePath, type SnapshotMeta, snapshotBytes, snapshotName } from '../snap/format.ts'
import { SnapshotInstaller } from '../snap/installer.ts'
import { ReceivedSnapshot } from '../snap/received.ts'
import { BenchReport } from './report.ts'

const REGION_BYTES = 96 * MIB
const VALUE_BYTES = 256
const LOAD_BATCH = 1000
const CHUNK_BYTES = MIB
const ROUNDS = 3
const MICROS_MAX = 60_000_000

const REGION: Region = {
  id: 1,
  startKey: Buffer.alloc(0),
  endKey: Buffer.alloc(0),
  epoch: { confVer: 1, version: 1 },
  peers: [{ id: 2, storeId: 1, role: 0 }],
}

interface Step {
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export async function run(options: { readonly json: boolean }): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-snapshot-'))
  const engine = await openRocksDb({ dir: join(dir, 'kv') })
  const report = new BenchReport(options.json)
  try {
    const rows = load(engine)
    for (let round = 1; round <= ROUNDS; round++) await measure(engine, dir, rows, round, report)
  } finally {
    await engine.close()
    rmSync(dir, { recursive: true, force: true })
  }
  report.finish()
}

function load(engine: KvEngine): number {
  const rows = Math.floor(REGION_BYTES / VALUE_BYTES)
  for (let i = 0; i < rows; i += LOAD_BATCH) {
    const batch = engine.newBatch()
    for (let j = i; j < Math.min(rows, i + LOAD_BATCH); j++) {
      const key = Buffer.from(`key-${String(j).padStart(12, '0')}`)
      batch.put(ColumnFamily.Default, dataKey(key), Buffer.alloc(VALUE_BYTES, `${j};`))
    }
    engine.write(batch, { sync: false })
  }
  engine.sync()
  return rows
}

async function measure(
  engine: KvEngine,
  dir: string,
  rows: number,
  round: number,
  report: BenchReport,
): Promise<void> {
  const pin = { region: REGION, index: round, term: 6 }
  const builder = new SnapshotBuilder({ engine, fs: nodeFileSystem, dir, pin })
  let meta: SnapshotMeta | undefined
  const built = await timed(async () => {
    meta = await builder.step()
    return meta !== undefined
  })
  const found = meta!
  add(report, 'build', built, rows, found)
  add(report, 'receive', await receive(dir, found), rows, found)
  add(report, 'install', await install(engine, dir, found), rows, found)
  for (const origin of ['gen', 'rev'] as const) {
    removeSnapshot(nodeFileSystem, dir, snapshotName(origin, found))
  }
}

function receive(dir: string, meta: SnapshotMeta): Promise<Step> {
  const name = snapshotName('gen', meta)
  const files = meta.files.map((file) => readFile(nodeFileSystem, filePath(dir, name, file)))
  const received = new ReceivedSnapshot(nodeFileSystem, dir, meta)
  let file = 0
  let offset = 0
  return timed(() => {
    const bytes = files[file]
    if (bytes === undefined) {
      received.finish()
      return true
    }
    received.write(file, offset, bytes.subarray(offset, offset + CHUNK_BYTES))
    offset += CHUNK_BYTES
    if (offset >= bytes.length) {
      file++
      offset = 0
    }
    return false
  })
}

function install(engine: KvEngine, dir: string, meta: SnapshotMeta): Promise<Step> {
  const installer = new SnapshotInstaller(engine, nodeFileSystem, dir, meta)
  let begun = false
  return timed(() => {
    if (!begun) {
      installer.record({ term: 6, vote: 0, index: meta.index, indexTerm: meta.term })
      installer.clear()
      begun = true
    }
    if (!installer.step()) return false
    installer.finish()
    return true
  })
}

/** Calls `step` until it says that it is done. */
async function timed(step: () => boolean | Promise<boolean>): Promise<Step> {
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: MICROS_MAX })
  const startMs = performance.now()
  for (let done = false; !done; ) {
    const stepMs = performance.now()
    done = await step()
    histogram.recordValue(Math.max(1, Math.round((performance.now() - stepMs) * 1000)))
  }
  return {
    seconds: (performance.now() - startMs) / 1000,
    p50Ms: histogram.getValueAtPercentile(50) / 1000,
    p99Ms: histogram.getValueAtPercentile(99) / 1000,
  }
}

function add(
  report: BenchReport,
  name: string,
  { seconds, p50Ms, p99Ms }: Step,
  rows: number,
  meta: SnapshotMeta,
): void {
  const bytes = snapshotBytes(meta)
  report.add({
    suite: 'snapshot',
    case: name,
    system: 'polyraft',
    opsPerSec: rows / seconds,
    p50Ms,
    p99Ms,
    n: rows,
    config: {
      valueBytes: VALUE_BYTES,
      mib: Math.round(bytes / MIB),
      mibPerSec: Math.round(bytes / MIB / seconds),
      replicas: 1,
      synced: name !== 'build',
    },
  })
}
