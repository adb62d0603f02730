/**
 * `raftlog recovery`: opening a log of 1 GB, beside the time that merely reading its files takes.
 * Operations are entries; latency is one opening's. The files are in the page cache: what a disk adds
 * depends on the disk.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { GIB, MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import type { Entry } from '../raft/types.ts'
import { openRaftLog } from '../raftlog/open.ts'
import type { RaftLog } from '../raftlog/port.ts'
import { HARD_STATE, SEGMENT_BYTES } from './raftlog-load.ts'
import type { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'

interface RecoveryCase {
  readonly regions: number
  readonly entriesPerReady: number
  readonly entryBytes: number
}

const CASES: readonly RecoveryCase[] = [
  { regions: 1000, entriesPerReady: 1, entryBytes: 256 },
  { regions: 100, entriesPerReady: 4, entryBytes: 4096 },
]
const OPENINGS = 3

export async function runRecovery(report: BenchReport): Promise<void> {
  for (const one of CASES) {
    await withScratch('recovery', async ({ dir }) => {
      await fill(await open(dir), one)
      await measure(dir, one, report)
    })
  }
}

function open(dir: string): Promise<RaftLog> {
  return openRaftLog({
    dir,
    fs: nodeFileSystem,
    writers: 0,
    segmentBytes: SEGMENT_BYTES,
    cacheBytes: MIB,
    logger: silentLogger,
    events: {
      onPersisted: () => {},
      onFailed: (error) => {
        throw error
      },
    },
  })
}

async function fill(log: RaftLog, one: RecoveryCase): Promise<void> {
  const { regions, entriesPerReady, entryBytes } = one
  const data = Buffer.alloc(entryBytes, 'e')
  for (let region = 1; region <= regions; region++) log.create(region, 5, 5, HARD_STATE)
  let first = 6
  for (let readyNumber = 1; log.stats().raftlog_disk_bytes! < GIB; readyNumber++) {
    const entries: Entry[] = []
    for (let i = 0; i < entriesPerReady; i++) {
      entries.push({ index: first + i, term: 6, type: 0, data })
    }
    const hardState = { term: 6, vote: 1, commit: first - 1 }
    for (let regionId = 1; regionId <= regions; regionId++) {
      log.write({ regionId, readyNumber, entries, hardState })
    }
    log.flush()
    first += entriesPerReady
  }
  await log.close()
}

async function measure(dir: string, one: RecoveryCase, report: BenchReport): Promise<void> {
  const times: number[] = []
  let readMs = Number.POSITIVE_INFINITY
  let entries = 0
  let bytes = 0
  for (let i = 0; i < OPENINGS; i++) {
    readMs = Math.min(readMs, timeReading(dir))
    const start = performance.now()
    const log = await open(dir)
    times.push(performance.now() - start)
    ;({ raftlog_entries: entries = 0, raftlog_disk_bytes: bytes = 0 } = log.stats())
    await log.close()
  }
  times.sort((a, b) => a - b)
  const p50Ms = times[Math.floor(OPENINGS / 2)]!
  report.add({
    suite: 'raftlog',
    case: `recovery 1 GB, ${one.regions} regions, ${one.entryBytes} B entries`,
    system: 'polyraft',
    opsPerSec: (entries / p50Ms) * 1000,
    p50Ms,
    p99Ms: times.at(-1)!,
    n: entries,
    config: {
      MB: Math.round(bytes / 1e6),
      MBps: Math.round(bytes / 1e3 / p50Ms),
      readOnlyMs: Math.round(readMs),
    },
  })
}

function timeReading(dir: string): number {
  const start = performance.now()
  for (const name of readdirSync(dir)) {
    if (name.endsWith('.log')) readFileSync(join(dir, name))
  }
  return performance.now() - start
}
