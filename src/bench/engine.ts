/**
 * Suite `engine`: bare RocksDB through polyraft's adapter, one thread, one replica, no raft. What a
 * store can reach at most.
 *
 * Each case runs for `seconds`, on random keys out of a set that is loaded first. Operations are
 * rows, whatever the batch; latency is a call's.
 */
import { statfsSync } from 'node:fs'
import { build } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'
import type { BenchOptions } from './suite.ts'

const { Default } = ColumnFamily
const SECONDS_DEFAULT = 5
const KEYS = 200_000
const VALUE_BYTES = 256
const SCAN_ROWS = 1024
const LOAD_BATCH = 1000
const TMPFS_MAGIC = 0x01021994
const NANOS_MAX = 60_000_000_000

interface Measured {
  readonly calls: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
}

export async function run(options: BenchOptions): Promise<void> {
  const report = new BenchReport(options.json)
  await withScratch('engine', async (scratch) => {
    const { dir } = scratch
    const rssBefore = process.memoryUsage.rss()
    const engine = await scratch.open(openRocksDb({ dir }))
    const atRest = (process.memoryUsage.rss() - rssBefore) / MIB
    const disk = statfsSync(dir).type === TMPFS_MAGIC ? 'tmpfs: fsync costs nothing' : 'file system'
    const config = { replicas: 1, keys: KEYS, valueBytes: VALUE_BYTES, disk }
    const suite = new EngineSuite(engine, report, options.seconds ?? SECONDS_DEFAULT, {
      ...config,
      rocksRestMiB: Math.round(atRest * 10) / 10,
    })
    await suite.run()
  })
  report.finish()
}

class EngineSuite {
  readonly #engine: KvEngine
  readonly #report: BenchReport
  readonly #seconds: number
  readonly #config: Readonly<Record<string, unknown>>
  readonly #keys: readonly Buffer[]
  readonly #value: Buffer
  /** A cheap generator: the benchmark must not measure Math.random. */
  #seed: number

  constructor(
    engine: KvEngine,
    report: BenchReport,
    seconds: number,
    config: Readonly<Record<string, unknown>>,
  ) {
    this.#engine = engine
    this.#report = report
    this.#seconds = seconds
    this.#config = config
    this.#keys = Array.from({ length: KEYS }, (_, i) =>
      Buffer.from(`zuser${String(i).padStart(15, '0')}`),
    )
    this.#value = Buffer.from(Array.from({ length: VALUE_BYTES }, (_, i) => (i * 131) & 0xff))
    this.#seed = 1
  }

  async run(): Promise<void> {
    this.#load()
    this.#writes(1024, false)
    this.#reads(1)
    this.#reads(32)
    await this.#scans()
    this.#writes(1, true)
    this.#writes(64, true)
    this.#writes(1024, true)
  }

  #load(): void {
    for (let first = 0; first < KEYS; first += LOAD_BATCH) {
      const batch = this.#engine.newBatch()
      for (const key of this.#keys.slice(first, first + LOAD_BATCH)) {
        batch.put(Default, key, this.#value)
      }
      this.#engine.write(batch, { sync: false })
    }
  }

  #writes(size: number, sync: boolean): void {
    const measured = measure(this.#seconds, () => {
      const batch = this.#engine.newBatch()
      for (let i = 0; i < size; i++) batch.put(Default, this.#randomKey(), this.#nextValue())
      this.#engine.write(batch, { sync })
    })
    const name = `${sync ? 'synced' : 'unsynced'}-batch-${size}`
    this.#add(name, size, measured, { synced: sync ? 'WAL, each batch' : 'nothing', batch: size })
  }

  #reads(size: number): void {
    const keys = new Array<Buffer>(size)
    const measured = measure(this.#seconds, () => {
      for (let i = 0; i < size; i++) keys[i] = this.#randomKey()
      const values = this.#engine.getMany(Default, keys)
      if (values[size - 1]?.length !== VALUE_BYTES) throw new Error('a loaded key is missing')
    })
    this.#add(`get-many-${size}`, size, measured, { batch: size })
  }

  async #scans(): Promise<void> {
    const end = Buffer.from('{')
    const measured = await measureAsync(this.#seconds, async () => {
      const first = this.#keys[this.#below(KEYS - SCAN_ROWS)]!
      const result = await this.#engine.scan(Default, {
        start: first,
        end,
        limit: SCAN_ROWS,
        bytesMax: Number.MAX_SAFE_INTEGER,
        reverse: false,
        keysOnly: false,
      })
      if (result.rows.length !== 2 * SCAN_ROWS) throw new Error('a loaded row is missing')
    })
    this.#add(`scan-${SCAN_ROWS}`, SCAN_ROWS, measured, { rows: SCAN_ROWS, inflight: 1 })
  }

  #add(name: string, rowsPerCall: number, measured: Measured, config: object): void {
    const rows = measured.calls * rowsPerCall
    this.#report.add({
      suite: 'engine',
      case: name,
      system: 'rocksdb',
      opsPerSec: rows / measured.seconds,
      p50Ms: measured.p50Ms,
      p99Ms: measured.p99Ms,
      n: rows,
      config: { ...this.#config, ...config },
    })
  }

  #randomKey(): Buffer {
    return this.#keys[this.#below(KEYS)]!
  }

  #nextValue(): Buffer {
    this.#value.writeUInt32LE(this.#seed, 0)
    return this.#value
  }

  #below(bound: number): number {
    this.#seed = (Math.imul(this.#seed, 1664525) + 1013904223) >>> 0
    return Math.floor((this.#seed / 2 ** 32) * bound)
  }
}

/** Time per call of a synchronous function, called until the time is up. */
function measure(seconds: number, call: () => void): Measured {
  const timer = new CallTimer(seconds)
  while (!timer.isOver()) {
    const start = process.hrtime.bigint()
    call()
    timer.record(start)
  }
  return timer.measured()
}

async function measureAsync(seconds: number, call: () => Promise<void>): Promise<Measured> {
  const timer = new CallTimer(seconds)
  while (!timer.isOver()) {
    const start = process.hrtime.bigint()
    await call()
    timer.record(start)
  }
  return timer.measured()
}

class CallTimer {
  readonly #histogram
  readonly #startMs: number
  readonly #endMs: number

  constructor(seconds: number) {
    this.#histogram = build({ highestTrackableValue: NANOS_MAX, numberOfSignificantValueDigits: 3 })
    this.#startMs = performance.now()
    this.#endMs = this.#startMs + seconds * 1000
  }

  isOver(): boolean {
    return performance.now() >= this.#endMs
  }

  record(start: bigint): void {
    this.#histogram.recordValue(Number(process.hrtime.bigint() - start))
  }

  measured(): Measured {
    const nanosAt = (percentile: number) => this.#histogram.getValueAtPercentile(percentile)
    return {
      calls: this.#histogram.totalCount,
      seconds: (performance.now() - this.#startMs) / 1000,
      p50Ms: nanosAt(50) / 1e6,
      p99Ms: nanosAt(99) / 1e6,
    }
  }
}
