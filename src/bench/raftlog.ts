/**
 * Suite `raftlog`: appends that are fsynced; `raftlog recovery` and `raftlog churn`: see there.
 *
 * Each case runs in slices between those of others on the same disk: the same log kept as keys of
 * RocksDB, written by the calling thread and, as a store would have it, by a writer thread; and the
 * bare limit, a loop that does nothing but write and fdatasync as many bytes as the
 * log had in a group, over a preallocated file. The `main thread` rows have a disk that answers at
 * once: what the log costs the poller. Operations are entries; latency is from write() to
 * onPersisted.
 */
import { statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { openRaftLog } from '../raftlog/open.ts'
import { heapAfterGc } from './heap.ts'
import { type Parts, partsOf } from './parts.ts'
import { runChurn } from './raftlog-churn.ts'
import {
  type Case,
  ENTRY_BYTES,
  HARD_STATE,
  Limit,
  Load,
  RocksLoad,
  SEGMENT_BYTES,
} from './raftlog-load.ts'
import { runRecovery } from './raftlog-recovery.ts'
import { RocksThreadLog } from './raftlog-rocks-thread.ts'
import { BenchReport } from './report.ts'
import { type Scratch, withScratch } from './scratch.ts'
import type { BenchOptions } from './suite.ts'

const SECONDS_DEFAULT = 3
/** A case and those beside it take turns, so that all see the same machine. */
const SLICES = 4
const TMPFS_MAGIC = 0x01021994

const CASES: readonly Case[] = [
  { regions: 1, entriesPerReady: 1 },
  { regions: 1, entriesPerReady: 64 },
  { regions: 16, entriesPerReady: 1 },
  { regions: 16, entriesPerReady: 16 },
  { regions: 1000, entriesPerReady: 1 },
  { regions: 10_000, entriesPerReady: 1 },
]
/** 0 = on the calling thread. Compared with RocksDB written there; the others with a thread's. */
const WRITERS = [1, 2, 0] as const

const MAIN_THREAD_CASES: readonly Case[] = [
  { regions: 1, entriesPerReady: 16 },
  { regions: 1000, entriesPerReady: 1 },
  { regions: 1000, entriesPerReady: 16 },
]

const PARTS: Parts = { append: runAppend, recovery: runRecovery, churn: runChurn }

export async function run(options: BenchOptions): Promise<void> {
  const parts = partsOf('raftlog', PARTS, options.args.length > 0 ? options.args : ['append'])
  const report = new BenchReport(options.json)
  report.note(`raft log on ${diskKind()}; 1 replica, every append fdatasynced`)
  for (const part of parts) await part(report, options.seconds ?? SECONDS_DEFAULT)
  report.finish()
}

async function runAppend(report: BenchReport, seconds: number): Promise<void> {
  for (const one of CASES) {
    await withScratch('raftlog', (scratch) => runCase(one, scratch, seconds, report))
  }
  for (const one of MAIN_THREAD_CASES) {
    await withScratch('raftlog', ({ dir }) => runMainThread(one, dir, seconds, report))
  }
}

function diskKind(): string {
  return statfsSync(tmpdir()).type === TMPFS_MAGIC ? 'tmpfs: fsync costs nothing' : tmpdir()
}

async function runCase(
  one: Case,
  scratch: Scratch,
  seconds: number,
  report: BenchReport,
): Promise<void> {
  const { dir } = scratch
  const loads: { writers: number; load: Load; limit: Limit }[] = []
  for (const writers of WRITERS) {
    if (writers > one.regions) continue
    const at = join(dir, `log-${writers}`)
    const load = await scratch.open(Load.open(one, { dir: at, fs: nodeFileSystem, writers }))
    loads.push({ writers, load, limit: new Limit(join(dir, `limit-${writers}`)) })
  }
  const rocks = await scratch.open(RocksLoad.open(one, join(dir, 'rocksdb')))
  const threaded = await scratch.open(
    Load.over(one, (events) => RocksThreadLog.open(join(dir, 'rocksdb-thread'), events)),
  )
  for (let slice = 0; slice < SLICES; slice++) {
    for (const { load, limit } of loads) {
      await load.run(seconds / SLICES)
      limit.run(groupOf(load).bytes, seconds / SLICES)
    }
    rocks.run(seconds / SLICES)
    await threaded.run(seconds / SLICES)
  }
  const inCaller = rocks.measured()
  const inThread = threaded.measured()
  const name = `${one.regions} regions × ${one.entriesPerReady}`
  for (const each of loads) {
    const beside = each.writers === 0 ? inCaller : inThread
    await reportLoad(each, name, beside.opsPerSec, report)
    each.limit.close()
  }
  for (const [writers, figures] of [inThread, inCaller].entries()) {
    report.add({
      suite: 'raftlog',
      case: name,
      system: 'rocksdb',
      ...figures,
      config: { writers: 1 - writers, synced: 'WAL, each round', entryBytes: ENTRY_BYTES },
    })
  }
}

async function reportLoad(
  { writers, load, limit }: { writers: number; load: Load; limit: Limit },
  name: string,
  rocksOpsPerSec: number,
  report: BenchReport,
): Promise<void> {
  const group = groupOf(load)
  const stats = load.stats()
  await load.close()
  const measured = load.measured()
  const bare = limit.measured(group.entries)
  report.add({
    suite: 'raftlog',
    case: name,
    system: 'polyraft',
    ...measured,
    config: {
      writers,
      toRocksDb: round(measured.opsPerSec / rocksOpsPerSec),
      toBareLimit: round(measured.opsPerSec / bare.opsPerSec),
      entryBytes: ENTRY_BYTES,
      MBps: round((measured.opsPerSec / group.entries) * group.bytes * 1e-6),
      entriesPerGroup: round(group.entries),
      groupBytes: group.bytes,
      roundsPerGroup: round(stats.raftlog_rounds! / stats.raftlog_groups!),
      indexBytesPerEntry: round(stats.raftlog_index_bytes! / stats.raftlog_entries!),
    },
  })
  report.add({
    suite: 'raftlog',
    case: name,
    system: 'bare write + fdatasync',
    ...bare,
    config: { bytes: group.bytes, writers },
  })
}

/** What one fsync made durable, on average. */
function groupOf(load: Load): { entries: number; bytes: number } {
  const { raftlog_groups: groups, raftlog_written_bytes: bytes } = load.stats()
  return { entries: load.entries / groups!, bytes: Math.round(bytes! / groups!) }
}

/** The poller's own cost: encode, place, index, cache; the disk answers at once. */
async function runMainThread(
  one: Case,
  dir: string,
  seconds: number,
  report: BenchReport,
): Promise<void> {
  const load = await Load.open(one, {
    dir: join(dir, 'log'),
    fs: nodeFileSystem,
    writers: 1,
    openSink: (at, events) => ({
      append: (_bytes, _placements, sequence) =>
        setImmediate(() => events.onDurable(at.stream, sequence)),
      remove: () => {},
      close: async () => {},
    }),
  })
  await load.run(seconds)
  const stats = load.stats()
  await load.close()
  report.add({
    suite: 'raftlog',
    case: `main thread, ${one.regions} regions × ${one.entriesPerReady}`,
    system: 'polyraft',
    ...load.measured(),
    config: {
      entryBytes: ENTRY_BYTES,
      indexBytesPerEntry: round(stats.raftlog_index_bytes! / stats.raftlog_entries!),
      heapBytesPerIdleRegion: await idleRegionBytes(dir),
    },
  })
}

/** Heap of a region that has state on disk and no entries. */
async function idleRegionBytes(dir: string): Promise<number> {
  const count = 20_000
  const log = await openRaftLog({
    dir: join(dir, 'idle'),
    fs: nodeFileSystem,
    writers: 0,
    segmentBytes: SEGMENT_BYTES,
    cacheBytes: KIB,
    logger: silentLogger,
    events: { onPersisted: () => {}, onFailed: () => {} },
  })
  const before = heapAfterGc()
  for (let regionId = 1; regionId <= count; regionId++) {
    log.create(regionId, 5, 5, HARD_STATE)
    log.write({ regionId, readyNumber: 1, entries: [], hardState: HARD_STATE })
  }
  log.flush()
  const bytes = Math.round((heapAfterGc() - before) / count)
  await log.close()
  return bytes
}

function round(value: number): number {
  return Math.round(value * 100) / 100
}
