/**
 * Suite `raftlog`: appends that are fsynced, in the shape in which a store makes them: a region has
 * one ready on its way at a time, and a round takes all regions whose last one is durable.
 *
 * Beside each case stands the bare limit measured right after it: as many bytes as the case had in a
 * group, written over a preallocated file and fdatasynced, in a loop that does nothing else. The
 * `main thread` rows have a disk that answers at once: what the log costs the poller.
 * Operations are entries; latency is from write() to onPersisted.
 */
import {
  closeSync,
  fdatasyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  statfsSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { build, type Histogram } from 'hdr-histogram-js'
import { KIB, MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import type { Entry } from '../raft/types.ts'
import { openRaftLog, type RaftLogOptions } from '../raftlog/open.ts'
import type { RaftLog } from '../raftlog/port.ts'
import { BenchReport } from './report.ts'

export interface RaftLogBenchOptions {
  readonly json: boolean
  readonly seconds?: number | undefined
}

interface Case {
  readonly regions: number
  readonly entriesPerReady: number
  readonly writers: number
}

const SECONDS_DEFAULT = 3
const ENTRY_BYTES = 256
const KEEP_ENTRIES = 200
const TMPFS_MAGIC = 0x01021994
const NANOS_MAX = 60_000_000_000
const HARD_STATE = { term: 6, vote: 1, commit: 5 }
const LIMIT_FILE_BYTES = 64 * MIB

const CASES: readonly Case[] = [
  { regions: 1, entriesPerReady: 1, writers: 1 },
  { regions: 1, entriesPerReady: 64, writers: 1 },
  { regions: 16, entriesPerReady: 1, writers: 1 },
  { regions: 16, entriesPerReady: 16, writers: 1 },
  { regions: 1000, entriesPerReady: 1, writers: 1 },
  { regions: 1000, entriesPerReady: 1, writers: 2 },
  { regions: 1, entriesPerReady: 1, writers: 0 },
  { regions: 1000, entriesPerReady: 1, writers: 0 },
]

export async function run(options: RaftLogBenchOptions): Promise<void> {
  const seconds = options.seconds ?? SECONDS_DEFAULT
  const report = new BenchReport(options.json)
  report.note(`raft log on ${diskKind()}; 1 replica, every append fdatasynced, ${seconds} s a case`)
  for (const one of CASES) await runCase(one, seconds, report)
  for (const regions of [1, 1000]) await runMainThread(regions, seconds, report)
  report.finish()
}

function diskKind(): string {
  return statfsSync(tmpdir()).type === TMPFS_MAGIC ? 'tmpfs: fsync costs nothing' : tmpdir()
}

async function runCase(one: Case, seconds: number, report: BenchReport): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-raftlog-'))
  try {
    const load = await Load.open(one, { dir, fs: nodeFileSystem, writers: one.writers })
    const { elapsed, stats } = await load.run(seconds)
    const entriesPerGroup = load.entries / stats.raftlog_groups!
    const groupBytes = Math.round(stats.raftlog_written_bytes! / stats.raftlog_groups!)
    const name = `${one.regions} regions × ${one.entriesPerReady}`
    report.add({
      suite: 'raftlog',
      case: name,
      system: 'polyraft',
      ...load.measured(elapsed),
      config: {
        writers: one.writers,
        entryBytes: ENTRY_BYTES,
        MBps: round(stats.raftlog_written_bytes! / elapsed / 1e6),
        entriesPerGroup: round(entriesPerGroup),
        groupBytes,
        roundsPerGroup: round(stats.raftlog_rounds! / stats.raftlog_groups!),
      },
    })
    measureLimit(join(dir, 'limit'), name, groupBytes, entriesPerGroup, seconds, report)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** The poller's own cost: encode, place, index, cache; the disk answers at once. */
async function runMainThread(regions: number, seconds: number, report: BenchReport): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-raftlog-'))
  try {
    const one = { regions, entriesPerReady: 16, writers: 1 }
    const load = await Load.open(one, {
      dir,
      fs: nodeFileSystem,
      writers: 1,
      openSink: (at, events) => ({
        append: (_bytes, _placements, sequence) =>
          setImmediate(() => events.onDurable(at.stream, sequence)),
        remove: () => {},
        close: async () => {},
      }),
    })
    const { elapsed, stats } = await load.run(seconds)
    report.add({
      suite: 'raftlog',
      case: `main thread, ${regions} regions × 16`,
      system: 'polyraft',
      ...load.measured(elapsed),
      config: {
        entryBytes: ENTRY_BYTES,
        indexBytesPerEntry: round(stats.raftlog_index_bytes! / stats.raftlog_entries!),
        heapBytesPerIdleRegion: await idleRegionBytes(dir),
      },
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

function measureLimit(
  path: string,
  name: string,
  bytes: number,
  entriesPerGroup: number,
  seconds: number,
  report: BenchReport,
): void {
  const fd = openSync(path, 'w+')
  const zeros = Buffer.alloc(MIB)
  for (let at = 0; at < LIMIT_FILE_BYTES; at += MIB) writeSync(fd, zeros, 0, MIB, at)
  fdatasyncSync(fd)
  const buffer = Buffer.alloc(bytes, 7)
  const histogram = newHistogram()
  const start = performance.now()
  const end = start + seconds * 1000
  let at = 0
  let now = start
  while (now < end) {
    if (at + bytes > LIMIT_FILE_BYTES) at = 0
    writeSync(fd, buffer, 0, bytes, at)
    fdatasyncSync(fd)
    at += bytes
    const after = performance.now()
    histogram.recordValue(Math.round((after - now) * 1e6))
    now = after
  }
  closeSync(fd)
  const elapsed = (now - start) / 1000
  const groups = histogram.totalCount
  report.add({
    suite: 'raftlog',
    case: name,
    system: 'bare write + fdatasync',
    opsPerSec: (groups * entriesPerGroup) / elapsed,
    p50Ms: histogram.getValueAtPercentile(50) / 1e6,
    p99Ms: histogram.getValueAtPercentile(99) / 1e6,
    n: Math.round(groups * entriesPerGroup),
    config: { bytes, MBps: round((groups * bytes) / elapsed / 1e6) },
  })
}

/** A store's way of writing: one ready of a region on its way, rounds over all that are free. */
class Load {
  readonly #log: RaftLog
  readonly #case: Case
  readonly #histogram = newHistogram()
  readonly #data = Buffer.alloc(ENTRY_BYTES, 'e')
  readonly #nextIndex: Float64Array
  readonly #started: Float64Array
  #free: number[] = []
  #ready = 0
  #scheduled = false
  #stopped = false
  #failure: Error | undefined = undefined
  entries = 0

  static async open(one: Case, options: Partial<RaftLogOptions>): Promise<Load> {
    const early: number[] = []
    let load: Load | undefined
    const log = await openRaftLog({
      segmentBytes: 64 * MIB,
      cacheBytes: 32 * MIB,
      logger: silentLogger,
      events: {
        onPersisted: (region) =>
          load === undefined ? early.push(region) : load.#onPersisted(region),
        onFailed: (error) => load?.#fail(error),
      },
      ...(options as Pick<RaftLogOptions, 'dir' | 'fs' | 'writers'>),
    })
    load = new Load(log, one)
    return load
  }

  private constructor(log: RaftLog, one: Case) {
    this.#log = log
    this.#case = one
    this.#nextIndex = new Float64Array(one.regions + 1).fill(6)
    this.#started = new Float64Array(one.regions + 1)
    for (let region = 1; region <= one.regions; region++) {
      log.create(region, 5, 5, HARD_STATE)
      this.#free.push(region)
    }
  }

  async run(seconds: number): Promise<{ elapsed: number; stats: Record<string, number> }> {
    const start = performance.now()
    this.#schedule()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    this.#stopped = true
    const elapsed = (performance.now() - start) / 1000
    const stats = this.#log.stats()
    await this.#log.close()
    if (this.#failure !== undefined) throw this.#failure
    return { elapsed, stats }
  }

  measured(elapsed: number) {
    return {
      opsPerSec: this.entries / elapsed,
      p50Ms: this.#histogram.getValueAtPercentile(50) / 1e6,
      p99Ms: this.#histogram.getValueAtPercentile(99) / 1e6,
      n: this.entries,
    }
  }

  #schedule(): void {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    setImmediate(() => this.#round())
  }

  #round(): void {
    this.#scheduled = false
    if (this.#stopped || this.#free.length === 0) return
    const regions = this.#free
    this.#free = []
    this.#ready++
    const now = performance.now()
    for (const region of regions) this.#write(region, now)
    this.#log.flush()
  }

  #write(regionId: number, now: number): void {
    const first = this.#nextIndex[regionId]!
    const { entriesPerReady } = this.#case
    const entries: Entry[] = []
    for (let i = 0; i < entriesPerReady; i++) {
      entries.push({ index: first + i, term: 6, type: 0, data: this.#data })
    }
    const commit = first - 1
    const hardState = { term: 6, vote: 1, commit }
    this.#log.write({ regionId, readyNumber: this.#ready, entries, hardState })
    const keep = Math.max(KEEP_ENTRIES, entriesPerReady * 2)
    if (this.#ready % keep === 0 && commit - keep > 5) this.#log.compact(regionId, commit - keep)
    this.#nextIndex[regionId] = first + entriesPerReady
    this.#started[regionId] = now
  }

  #onPersisted(region: number): void {
    const nanos = Math.round((performance.now() - this.#started[region]!) * 1e6)
    this.#histogram.recordValue(Math.min(NANOS_MAX, nanos))
    if (!this.#stopped) this.entries += this.#case.entriesPerReady
    this.#free.push(region)
    this.#schedule()
  }

  #fail(error: Error): void {
    this.#failure = error
    this.#stopped = true
  }
}

/** Heap of a region that has state on disk and no entries. */
async function idleRegionBytes(dir: string): Promise<number> {
  const count = 20_000
  const log = await openRaftLog({
    dir: join(dir, 'idle'),
    fs: nodeFileSystem,
    writers: 0,
    segmentBytes: 64 * MIB,
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

function heapAfterGc(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}

function newHistogram(): Histogram {
  return build({ highestTrackableValue: NANOS_MAX, numberOfSignificantValueDigits: 3 })
}

function round(value: number): number {
  return Math.round(value * 10) / 10
}
