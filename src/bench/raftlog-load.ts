/**
 * What the raft log's benchmarks put on it: appends in the shape in which a store makes them. A
 * region has one ready on its way at a time, and a round takes up to 256 whose last one is durable.
 */
import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { build, type Histogram } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { ColumnFamily, type KvBatch, type KvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import type { Entry } from '../raft/types.ts'
import { openRaftLog, type RaftLogOptions } from '../raftlog/open.ts'
import type { RaftLog } from '../raftlog/port.ts'

export interface Case {
  readonly regions: number
  readonly entriesPerReady: number
}

export interface Figures {
  readonly opsPerSec: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly n: number
}

export const ENTRY_BYTES = 256
export const HARD_STATE = { term: 6, vote: 1, commit: 5 }
export const SEGMENT_BYTES = 64 * MIB
/** A store's raftstore.store-max-batch-size. */
const ROUND_REGIONS_MAX = 256
const KEEP_ENTRIES = 200
const NANOS_MAX = 60_000_000_000
const LIMIT_FILE_BYTES = 64 * MIB

/** Bare writes and fdatasyncs over one preallocated file. */
export class Limit {
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

  measured(entriesPerGroup: number): Figures {
    const entries = this.#histogram.totalCount * entriesPerGroup
    return figures(entries, this.#seconds, this.#histogram)
  }
}

function figures(entries: number, seconds: number, histogram: Histogram): Figures {
  return {
    opsPerSec: entries / seconds,
    p50Ms: histogram.getValueAtPercentile(50) / 1e6,
    p99Ms: histogram.getValueAtPercentile(99) / 1e6,
    n: Math.round(entries),
  }
}

/** What the load needs of a log. */
export type LoadedLog = Pick<RaftLog, 'create' | 'write' | 'compact' | 'flush' | 'stats' | 'close'>

/** A store's way of writing: one ready of a region on its way, rounds over all that are free. */
export class Load {
  readonly #log: LoadedLog
  readonly #case: Case
  readonly #histogram = newHistogram()
  readonly #data = Buffer.alloc(ENTRY_BYTES, 'e')
  readonly #nextIndex: Float64Array
  readonly #started: Float64Array
  /** Latency is taken of one region in so many: it must not be what is measured. */
  readonly #sampling: number
  #free: number[] = []
  #ready = 0
  #scheduled = false
  #stopped = false
  #seconds = 0
  #onIdle: (() => void) | undefined = undefined
  #failure: Error | undefined = undefined
  entries = 0

  static open(one: Case, options: Partial<RaftLogOptions>): Promise<Load> {
    return Load.over(one, (events) =>
      openRaftLog({
        segmentBytes: SEGMENT_BYTES,
        cacheBytes: 32 * MIB,
        logger: silentLogger,
        events,
        ...(options as Pick<RaftLogOptions, 'dir' | 'fs' | 'writers'>),
      }),
    )
  }

  /** Over any log that tells of what it persisted. */
  static async over(
    one: Case,
    open: (events: RaftLogOptions['events']) => Promise<LoadedLog>,
  ): Promise<Load> {
    let load: Load | undefined
    const log = await open({
      onPersisted: (region) => load!.#onPersisted(region),
      onFailed: (error) => {
        if (load === undefined) throw error
        load.#fail(error)
      },
    })
    load = new Load(log, one)
    return load
  }

  private constructor(log: LoadedLog, one: Case) {
    this.#log = log
    this.#case = one
    this.#nextIndex = new Float64Array(one.regions + 1).fill(6)
    this.#started = new Float64Array(one.regions + 1)
    this.#sampling = Math.ceil(one.regions / 64)
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

  measured(): Figures {
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
    const regions = this.#free.splice(0, ROUND_REGIONS_MAX)
    this.#ready++
    const now = performance.now()
    for (const region of regions) this.#write(region, now)
    this.#log.flush()
    if (this.#free.length > 0) this.#schedule()
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
    const keep = kept(this.#case)
    if ((first - 6) % (keep * entriesPerReady) === 0 && commit - keep > 5)
      this.#log.compact(regionId, commit - keep)
    this.#nextIndex[regionId] = first + entriesPerReady
    this.#started[regionId] = now
  }

  #onPersisted(region: number): void {
    if (region % this.#sampling === 0) {
      const nanos = Math.round((performance.now() - this.#started[region]!) * 1e6)
      this.#histogram.recordValue(Math.min(NANOS_MAX, nanos))
    }
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

/** Entries that a region keeps when it compacts, and how many readies it takes between. */
function kept(one: Case): number {
  return Math.max(KEEP_ENTRIES, one.entriesPerReady * 2)
}

/**
 * The same log as keys of RocksDB: region and index, and a state for each region; a round of all
 * regions is one batch with a synced WAL, written by the calling thread as the binding does it.
 */
export class RocksLoad {
  readonly #engine: KvEngine
  readonly #case: Case
  readonly #histogram = newHistogram()
  readonly #data = Buffer.alloc(ENTRY_BYTES, 'e')
  readonly #state = Buffer.alloc(24)
  readonly #nextIndex: Float64Array
  readonly #firstIndex: Float64Array
  #round = 0
  #seconds = 0
  entries = 0

  static async open(one: Case, dir: string): Promise<RocksLoad> {
    return new RocksLoad(await openRocksDb({ dir }), one)
  }

  private constructor(engine: KvEngine, one: Case) {
    this.#engine = engine
    this.#case = one
    this.#nextIndex = new Float64Array(one.regions + 1).fill(6)
    this.#firstIndex = new Float64Array(one.regions + 1).fill(6)
  }

  run(seconds: number): void {
    const start = performance.now()
    let now = start
    while (now < start + seconds * 1000) {
      this.#runRound()
      const after = performance.now()
      this.#histogram.recordValue(Math.round((after - now) * 1e6))
      now = after
    }
    this.#seconds += (now - start) / 1000
  }

  close(): Promise<void> {
    return this.#engine.close()
  }

  measured(): Figures {
    return figures(this.entries, this.#seconds, this.#histogram)
  }

  #runRound(): void {
    this.#round++
    const batch = this.#engine.newBatch()
    const { regions, entriesPerReady } = this.#case
    for (let region = 1; region <= regions; region++) {
      const first = this.#nextIndex[region]!
      for (let i = 0; i < entriesPerReady; i++) {
        batch.put(ColumnFamily.Default, logKey(region, first + i), this.#data)
      }
      this.#state.writeDoubleLE(first - 1, 16)
      batch.put(ColumnFamily.Default, logKey(region, 0), this.#state)
      this.#nextIndex[region] = first + entriesPerReady
      this.#compact(batch, region, first - 1)
    }
    this.#engine.write(batch, { sync: true })
    this.entries += regions * entriesPerReady
  }

  #compact(batch: KvBatch, region: number, commit: number): void {
    const keep = kept(this.#case)
    if (this.#round % keep !== 0) return
    for (let index = this.#firstIndex[region]!; index <= commit - keep; index++) {
      batch.delete(ColumnFamily.Default, logKey(region, index))
    }
    this.#firstIndex[region] = Math.max(this.#firstIndex[region]!, commit - keep + 1)
  }
}

/** Ordered by region, then by index; index 0 is the region's state. */
export function logKey(region: number, index: number): Buffer {
  const key = Buffer.allocUnsafe(12)
  key.writeUInt32BE(region, 0)
  key.writeUInt32BE(Math.floor(index / 2 ** 32), 4)
  key.writeUInt32BE(index >>> 0, 8)
  return key
}

function newHistogram(): Histogram {
  return build({ highestTrackableValue: NANOS_MAX, numberOfSignificantValueDigits: 3 })
}
