/**
 * A region's snapshot built, sent and installed, one after another, by the code and threads that a
 * store uses; beside it, interleaved, the same data scanned and rewritten through bare RocksDB on
 * one thread. Rates are of key and value bytes, the same for all. Latency is that of one step: a
 * block, a chunk or a batch.
 */
import { join } from 'node:path'
import { build } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { machineRandom } from '../base/node-clock.ts'
import { ColumnFamily, type SharedKvEngine } from '../engine/port.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { MessageType } from '../raft/types.ts'
import { dataEndKey, dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { SnapshotBuilder } from '../snap/builder.ts'
import { removeSnapshot } from '../snap/files.ts'
import { BLOCK_BYTES, encodeMeta, type SnapshotMeta, snapshotName } from '../snap/format.ts'
import { SnapPool } from '../store/snap-pool.ts'
import { CHUNK_HEADROOM_BYTES } from '../transport/snapshot-stream.ts'
import { createTcpTransport, type TcpTransport } from '../transport/tcp-transport.ts'
import { openBareRocksDb } from './bare-rocksdb.ts'
import { median } from './load.ts'
import type { BenchReport } from './report.ts'
import { type Scratch, withScratch } from './scratch.ts'

const REGION_BYTES = 256 * MIB
const VALUE_BYTES = 256
const ROW_BYTES = VALUE_BYTES + 17
const ROWS = Math.floor(REGION_BYTES / ROW_BYTES)
const LOAD_BATCH = 1000
const ROUNDS = 3
const MICROS_MAX = 60_000_000

const REGION: Region = {
  id: 1,
  startKey: Buffer.from('a'),
  endKey: Buffer.from('b'),
  epoch: { confVer: 1, version: 1 },
  peers: [{ id: 2, storeId: 1, role: 0 }],
}
/** Where the bare engine writes what it scanned: beside the region. */
const COPY_PREFIX = dataKey(Buffer.from('c'))

interface Step {
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

const CASES = ['scan', 'rewrite', 'build', 'send', 'install'] as const
type Case = (typeof CASES)[number]
type Steps = Record<Case, Step[]>

/** The two ends of a transfer: each a store's link, snapshot thread, and directory. */
interface End {
  readonly dir: string
  readonly pool: SnapPool
  readonly link: TcpTransport
}

export async function runSteps(report: BenchReport): Promise<void> {
  const steps: Steps = { scan: [], rewrite: [], build: [], send: [], install: [] }
  await withScratch('snapshot', async (scratch) => {
    const engine = await openBareRocksDb(scratch)
    load(engine)
    const ends = await openEnds(engine, scratch)
    for (let round = 1; round <= ROUNDS; round++) await measure(engine, ends, round, steps)
  })
  addRows(report, steps)
}

function load(engine: SharedKvEngine): void {
  for (let i = 0; i < ROWS; i += LOAD_BATCH) {
    const batch = engine.newBatch()
    for (let j = i; j < Math.min(ROWS, i + LOAD_BATCH); j++) {
      const key = Buffer.from(`a-key-${String(j).padStart(10, '0')}`)
      batch.put(ColumnFamily.Default, dataKey(key), Buffer.alloc(VALUE_BYTES, `${j};`))
    }
    engine.write(batch, { sync: false })
  }
  engine.sync()
}

async function openEnds(
  engine: SharedKvEngine,
  scratch: Scratch,
): Promise<{ readonly from: End; readonly to: End }> {
  const addresses = new Map<number, string>()
  const open = async (storeId: number, other: () => End | undefined): Promise<End> => {
    const own = join(scratch.dir, `snap-${storeId}`)
    nodeFileSystem.makeDirectory(own)
    const pool = new SnapPool({
      engineHandle: engine.handle,
      dir: own,
      bytesPerSec: Number.MAX_SAFE_INTEGER,
    })
    const link = await createTcpTransport({
      clusterId: 1,
      storeId,
      listen: { host: '127.0.0.1', port: 0 },
      resolve: async (id) => addresses.get(id)!,
      events: {
        onMessages: () => {},
        onUnreachable: () => {},
        onSilent: () => {},
        onSnapshotOffer: (envelope) => sinkOf(other()!.pool, envelope.message.snapshot!.data),
      },
      logger: silentLogger,
      random: machineRandom,
    })
    addresses.set(storeId, link.address)
    scratch.onEnd(async () => {
      await link.close()
      await pool.close()
    })
    return { dir: own, pool, link }
  }
  let to: End | undefined
  const from = await open(1, () => undefined)
  to = await open(2, () => to)
  return { from, to }
}

function sinkOf(pool: SnapPool, meta: Uint8Array) {
  const begun = pool.call({ op: 'begin', transfer: 1, meta })
  return {
    write: async (file: number, offset: number, bytes: Buffer) => {
      await begun
      const memory = bytes.buffer as ArrayBuffer
      await pool.call({ op: 'write', transfer: 1, file, offset, bytes }, [memory])
    },
    finish: async () => {
      await pool.call({ op: 'finish', transfer: 1 })
    },
    abort: () => {},
  }
}

async function measure(
  engine: SharedKvEngine,
  { from, to }: { readonly from: End; readonly to: End },
  round: number,
  steps: Steps,
): Promise<void> {
  steps.scan.push(await scan(engine))
  steps.rewrite.push(await rewrite(engine))
  const pin = { region: REGION, index: round, term: 6 }
  const builder = new SnapshotBuilder({ engine, fs: nodeFileSystem, dir: from.dir, pin })
  let meta: SnapshotMeta | undefined
  steps.build.push(
    await timed(async () => {
      meta = await builder.step()
      return meta !== undefined
    }),
  )
  steps.send.push(await send(from, meta!))
  steps.install.push(await install(to.pool, encodeMeta(meta!)))
  removeSnapshot(nodeFileSystem, from.dir, snapshotName('gen', meta!))
  removeSnapshot(nodeFileSystem, to.dir, snapshotName('rev', meta!))
}

async function scan(engine: SharedKvEngine): Promise<Step> {
  const { startKey, endKey } = REGION
  const cursor = engine.openCursor(ColumnFamily.Default, dataKey(startKey), dataEndKey(endKey))
  try {
    return await timed(async () => (await cursor.next(BLOCK_BYTES)).complete)
  } finally {
    cursor.close()
  }
}

/** What was there is deleted, what was scanned is written under another prefix, then made durable. */
async function rewrite(engine: SharedKvEngine): Promise<Step> {
  const { startKey, endKey } = REGION
  const cursor = engine.openCursor(ColumnFamily.Default, dataKey(startKey), dataEndKey(endKey))
  const copyEnd = dataKey(Buffer.from('d'))
  try {
    engine.deleteRange(ColumnFamily.Default, COPY_PREFIX, copyEnd)
    return await timed(async () => {
      const { rows, complete } = await cursor.next(BLOCK_BYTES)
      const batch = engine.newBatch()
      for (let i = 0; i < rows.length; i += 2) {
        const key = Buffer.from(rows[i]!)
        key[COPY_PREFIX.length - 1] = COPY_PREFIX.at(-1)!
        batch.put(ColumnFamily.Default, key, rows[i + 1]!)
      }
      engine.write(batch, { sync: complete })
      return complete
    })
  } finally {
    cursor.close()
  }
}

async function send({ pool, link }: End, meta: SnapshotMeta): Promise<Step> {
  const data = encodeMeta(meta)
  const confState = {
    voters: [2],
    votersOutgoing: [],
    learners: [],
    learnersNext: [],
    autoLeave: false,
  }
  const message = {
    type: MessageType.Snapshot,
    ...{ to: 3, from: 2, term: 6, logTerm: 0, index: 0, entries: [], commit: 0, commitTerm: 0 },
    snapshot: { metadata: { index: meta.index, term: meta.term, confState }, data },
    ...{ reject: false, rejectHint: 0, requestSnapshot: 0, context: Buffer.alloc(0) },
  }
  const envelope = {
    regionId: REGION.id,
    from: REGION.peers[0]!,
    to: { id: 3, storeId: 2, role: 0 as const },
    epoch: REGION.epoch,
    message,
  }
  const waits: number[] = []
  let lastMs = performance.now()
  const source = {
    sizes: meta.files.map(({ bytes }) => bytes),
    headroomBytes: CHUNK_HEADROOM_BYTES,
    read: async (file: number, offset: number, length: number) => {
      waits.push(performance.now() - lastMs)
      lastMs = performance.now()
      return (await pool.call({ op: 'read', meta: data, file, offset, length }))!
    },
  }
  const startMs = performance.now()
  await new Promise<void>((resolve, reject) => {
    link.sendSnapshot(envelope, source, (outcome, reason) => {
      if (outcome === 'sent') resolve()
      else reject(new Error(`the snapshot was not sent: ${reason}`))
    })
  })
  return stepOf((performance.now() - startMs) / 1000, waits)
}

async function install(pool: SnapPool, meta: Uint8Array): Promise<Step> {
  const state = { term: 6, vote: 0, index: 1, indexTerm: 6 }
  const ops = [
    { op: 'record', meta, state },
    { op: 'ingest', meta },
    { op: 'complete', meta },
  ] as const
  return timed(async () => {
    for (const request of ops) await pool.call(request)
    return true
  })
}

/** Calls `step` until it says that it is done. */
async function timed(step: () => boolean | Promise<boolean>): Promise<Step> {
  const waits: number[] = []
  const startMs = performance.now()
  for (let done = false; !done; ) {
    const stepMs = performance.now()
    done = await step()
    waits.push(performance.now() - stepMs)
  }
  return stepOf((performance.now() - startMs) / 1000, waits)
}

function stepOf(seconds: number, waitsMs: readonly number[]): Step {
  const histogram = build({ lowestDiscernibleValue: 1, highestTrackableValue: MICROS_MAX })
  for (const ms of waitsMs) histogram.recordValue(Math.max(1, Math.round(ms * 1000)))
  return {
    seconds,
    p50Ms: histogram.getValueAtPercentile(50) / 1000,
    p99Ms: histogram.getValueAtPercentile(99) / 1000,
  }
}

function addRows(report: BenchReport, steps: Steps): void {
  const mibPerSec = (name: Case): number =>
    REGION_BYTES / MIB / median(steps[name].map(({ seconds }) => seconds))
  for (const name of CASES) {
    const seconds = median(steps[name].map((step) => step.seconds))
    const bare = name === 'scan' || name === 'rewrite'
    report.add({
      suite: 'snapshot',
      case: name,
      system: bare ? 'bare rocksdb' : 'polyraft',
      opsPerSec: ROWS / seconds,
      p50Ms: median(steps[name].map(({ p50Ms }) => p50Ms)),
      p99Ms: median(steps[name].map(({ p99Ms }) => p99Ms)),
      n: ROWS,
      config: {
        valueBytes: VALUE_BYTES,
        mib: REGION_BYTES / MIB,
        mibPerSec: Math.round(mibPerSec(name)),
        replicas: 1,
        synced: name !== 'scan' && name !== 'build',
      },
    })
  }
  const ratio = (name: Case, bare: Case): string =>
    `${name} / ${bare} ${(mibPerSec(name) / mibPerSec(bare)).toFixed(2)}`
  report.note(
    `steps, medians of ${ROUNDS} rounds: ${ratio('build', 'scan')}, ` +
      `${ratio('send', 'rewrite')}, ${ratio('install', 'rewrite')} (bare RocksDB in the same run)`,
  )
}
