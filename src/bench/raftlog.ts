/**
 * Suite `raftlog`: appends that are fsynced, in the shape in which a store makes them: a region has
 * one ready on its way at a time, and a round takes all regions whose last one is durable.
 *
 * Beside each case stands the bare limit, measured in slices between the case's own: as many bytes
 * as the case had in a group, written over a preallocated file and fdatasynced, in a loop that does
 * nothing else. The `main thread` rows have a disk that answers at once: what the log costs the poller.
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
/** A case and its limit take turns, so that both see the same machine. */
const SLICES = 4
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

const MAIN_THREAD_CASES: readonly Case[] = [
  { regions: 1, entriesPerReady: 16, writers: 1 },
  { regions: 1000, entriesPerReady: 1, writers: 1 },
  { regions: 1000, entriesPerReady: 16, writers: 1 },
]

export async function run(options: RaftLogBenchOptions): Promise<void> {
  const seconds = options.seconds ?? SECONDS_DEFAULT
  const report = new BenchReport(options.json)
  report.note(`raft log on ${diskKind()}; 1 replica, every append fdatasynced, ${seconds} s a case`)
  for (const one of CASES) await runCase(one, seconds, report)
  for (const one of MAIN_THREAD_CASES) await runMainThread(one, seconds, report)
  report.finish()
}

function diskKind(): string {
  return statfsSync(tmpdir()).type === TMPFS_MAGIC ? 'tmpfs: fsync costs nothing' : tmpdir()
}

async function runCase(one: Case, seconds: number, report: BenchReport): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-raftlog-'))
  try {
    const load = await Load.open(one, { dir, fs: nodeFileSystem, writers: one.writers })
    const limit = new Limit(join(dir, 'limit'))
    for (let slice = 0; slice < SLICES; slice++) {
      await load.run(seconds / SLICES)
      limit.run(groupOf(load).bytes, seconds / SLICES)
    }
    const group = groupOf(load)
    const stats = load.stats()
    await load.close()
    limit.close()
    const name = `${one.regions} regions × ${one.entriesPerReady}`
    report.add({
      suite: 'raftlog',
      case: name,
      system: 'polyraft',
      ...load.measured(),
      config: {
        writers: one.writers,
        entryBytes: ENTRY_BYTES,
        MBps: round((load.measured().opsPerSec / group.entries) * group.bytes * 1e-6),
        entriesPerGroup: round(group.entries),
        groupBytes: group.bytes,
        roundsPerGroup: round(stats.raftlog_rounds! / stats.raftlog_groups!),
      },
    })
    report.add({
      suite: 'raftlog',
      case: name,
      system: 'bare write + fdatasync',
      ...limit.measured(group.entries),
      config: { bytes: group.bytes },
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** What one fsync made durable, on average. */
function groupOf(load: Load): { entries: number; bytes: number } {
  const { raftlog_groups: groups, raftlog_written_bytes: bytes } = load.stats()
  return { entries: load.entries / groups!, bytes: Math.round(bytes! / groups!) }
}

/** The poller's own cost: encode, place, index, cache; the disk answers at once. */
async function runMainThread(one: Case, seconds: number, report: BenchReport): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-raftlog-'))
  try {
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
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** Bare writes and fdatasyncs over one preallocated file. */
class Limit {
  readonly #fd: number
  readonly #histogram = newHistogram()
  #seconds = 0

  constructor(path: string) {
    this.#fd = openSync(path, 'w+')
    const zeros = Buffer.alloc(MIB)
    for (let at = 0; at < LIMIT_FILE_BYTES; at += MIB) writeSync(this.#fd, zeros, 0, MIB, at)
    fdatasyncSync(this.#fd)
  }

  run(bytes: number, seconds: number): void {
    const buffer = Buffer.alloc(bytes, 7)
    const start = performance.now()
    let at = 0
    let now = start
    while (now < start + seconds * 1000) {
      if (at + bytes > LIMIT_FILE_BYTES) at = 0
      writeSync(this.#fd, buffer, 0, bytes, at)
      fdatasyncSync(this.#fd)
      at += bytes
      const after = performance.now()
      this.#histogram.recordValue(Math.round((after - now) * 1e6))
      now = after
    }
    this.#seconds += (now - start) / 1000
  }

  close(): void {
    closeSync(this.#fd)
  }

  measured(entriesPerGroup: number) {
    const entries = this.#histogram.totalCount * entriesPerGroup
    return figures(entries, this.#seconds, this.#histogram)
  }
}

function figures(entries: number, seconds: number, histogram: Histogram) {
  return {
    opsPerSec: entries / seconds,
    p50Ms: histogram.getValueAtPercentile(50) / 1e6,
    p99Ms: histogram.getValueAtPercentile(99) / 1e6,
    n: Math.round(entries),
  }
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
  #seconds = 0
  #onIdle: (() => void) | undefined = undefined
  #failure: Error | undefined = undefined
  entries = 0

  static async open(one: Case, options: Partial<RaftLogOptions>): Promise<Load> {
    let load: Load | undefined
    const log = await openRaftLog({
      segmentBytes: 64 * MIB,
      cacheBytes: 32 * MIB,
      logger: silentLogger,
      events: {
        onPersisted: (region) => load!.#onPersisted(region),
        onFailed: (error) => {
          if (load === undefined) throw error
          load.#fail(error)
        },
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

  async run(seconds: number): Promise<void> {
    const start = performance.now()
    this.#stopped = false
    this.#schedule()
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000))
    this.#stopped = true
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
      this.#checkIdle()
    })
    if (this.#failure !== undefined) throw this.#failure
    this.#seconds += (performance.now() - start) / 1000
  }

  stats(): Record<string, number> {
    return this.#log.stats()
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  measured() {
    return figures(this.entries, this.#seconds, this.#histogram)
  }

  #checkIdle(): void {
    if (this.#free.length === this.#case.regions || this.#failure !== undefined) this.#onIdle?.()
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
    this.entries += this.#case.entriesPerReady
    this.#free.push(region)
    if (this.#stopped) this.#checkIdle()
    else this.#schedule()
  }

  #fail(error: Error): void {
    this.#failure = error
    this.#stopped = true
    this.#checkIdle()
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
