/**
 * Three store processes, PD and this client on one machine. One store is away while a region of
 * 256 MiB changes beyond what its log keeps; it comes back and gets the region by snapshot, while
 * the other regions are written to at a fixed rate. Their latency, counted from the moment at which
 * a write was due, is taken from the beginning of the build to the end of the installation, and
 * beside it for as long when nothing else happens.
 */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { connect } from '../client/connect.ts'
import type { KvClient } from '../client/kv-client.ts'
import { connectPd } from '../pd/grpc-client.ts'
import { median } from './load.ts'
import type { BenchReport } from './report.ts'
import { StoreProcesses } from './store-processes.ts'

const REGIONS = 4
const BIG_BYTES = 256 * MIB
const BIG_VALUE_BYTES = 1024
const VALUE_BYTES = 256
/** About half of what the other regions take on two cores. */
const WRITES_PER_SECOND = 1000
const ROUNDS = 3
const POLL_MS = 20
const ROUND_MS_MAX = 90_000
const MICROS_MAX = 60_000_000
const AWAY = 3

/** The log of the large region ends soon; those of the others reach as far as they need. */
const SETTINGS = `
[raftstore]
raft-log-gc-tick-interval = "500ms"
raft-log-gc-size-limit = "8MiB"
`

/** The first of the regions that the plan cuts from the printable keys. */
const bigKey = (i: number): string => `!big-${String(i).padStart(9, '0')}`
/** All over the other ones. */
const otherKey = (i: number): string =>
  `${String.fromCharCode(0x44 + ((i * 37) % 58))}other-${i % 50_000}`

interface Latency {
  readonly p50Ms: number
  readonly p99Ms: number
  readonly n: number
}

interface Round {
  readonly seconds: number
  readonly during: Latency
  readonly quiet: Latency
}

export async function runCluster(report: BenchReport, seconds: number): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'polyraft-bench-snapshot-'))
  mkdirSync(dir, { recursive: true })
  const processes = await StoreProcesses.start(dir, REGIONS, SETTINGS)
  let kv: KvClient | undefined
  try {
    kv = await connect({ pd: [processes.pd], timeoutMs: 20_000 })
    const big = await regionOf(processes, bigKey(0))
    await fill(kv, 0, BIG_BYTES / BIG_VALUE_BYTES)
    const rounds: Round[] = []
    for (let i = 0; i < ROUNDS; i++) rounds.push(await oneRound(processes, kv, big, seconds))
    addRows(report, rounds, await phases(processes))
  } finally {
    await kv?.close()
    await processes.stop()
    rmSync(dir, { recursive: true, force: true })
  }
}

async function regionOf(processes: StoreProcesses, key: string): Promise<number> {
  const pd = await connectPd([processes.pd], { logger: silentLogger })
  try {
    return (await pd.getRegion(Buffer.from(key)))!.region.id
  } finally {
    await pd.close()
  }
}

async function fill(kv: KvClient, from: number, to: number): Promise<void> {
  const value = Buffer.alloc(BIG_VALUE_BYTES, 'big value;')
  let next = from
  const writer = async (): Promise<void> => {
    while (next < to) await kv.put(bigKey(next++), value)
  }
  await Promise.all(Array.from({ length: 256 }, writer))
}

async function oneRound(
  processes: StoreProcesses,
  kv: KvClient,
  big: number,
  seconds: number,
): Promise<Round> {
  const last = (await processes.region(AWAY, big))!.lastIndex
  await processes.stopStore(AWAY)
  await fill(kv, 0, (32 * MIB) / BIG_VALUE_BYTES)
  await until(async () => {
    const status = await Promise.all([1, 2].map((number) => processes.region(number, big)))
    return status.every((view) => (view?.firstIndex ?? 0) > last + 1)
  })
  const load = new PacedWrites(kv)
  try {
    await processes.startStore(AWAY)
    await until(async () => (await snapshotOf(processes, big)) !== 'none')
    const startMs = performance.now()
    load.begin()
    await until(async () => {
      const isOver = (await snapshotOf(processes, big)) === 'none'
      return isOver && ((await processes.region(AWAY, big))?.firstIndex ?? 0) > last + 1
    })
    const during = load.take()
    const took = (performance.now() - startMs) / 1000
    // What the store still had to catch up with, and RocksDB to compact.
    await sleep(1000)
    load.begin()
    await sleep(Math.max(took, seconds) * 1000)
    return { seconds: took, during, quiet: load.take() }
  } finally {
    await load.stop()
  }
}

async function snapshotOf(processes: StoreProcesses, region: number): Promise<'some' | 'none'> {
  const views = await Promise.all([1, 2, 3].map((number) => processes.region(number, region)))
  return views.some((view) => view?.snapshot !== undefined) ? 'some' : 'none'
}

async function until(met: () => Promise<boolean>): Promise<void> {
  const endMs = performance.now() + ROUND_MS_MAX
  while (!(await met())) {
    if (performance.now() > endMs) throw new Error(`not met within ${ROUND_MS_MAX} ms`)
    await sleep(POLL_MS)
  }
}

/** Writes that are due at fixed times, whether or not earlier ones were answered. */
class PacedWrites {
  readonly #kv: KvClient
  readonly #value = Buffer.alloc(VALUE_BYTES, 'value;')
  readonly #timer: NodeJS.Timeout
  readonly #startMs = performance.now()
  #issued = 0
  #running = 0
  #histogram = newHistogram()
  #failure: Error | undefined = undefined

  constructor(kv: KvClient) {
    this.#kv = kv
    this.#timer = setInterval(() => this.#issue(), 1)
  }

  begin(): void {
    this.#histogram = newHistogram()
  }

  take(): Latency {
    if (this.#failure !== undefined) throw this.#failure
    const histogram = this.#histogram
    return {
      p50Ms: histogram.getValueAtPercentile(50) / 1000,
      p99Ms: histogram.getValueAtPercentile(99) / 1000,
      n: histogram.totalCount,
    }
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    while (this.#running > 0) await sleep(POLL_MS)
  }

  #issue(): void {
    const due = Math.floor(((performance.now() - this.#startMs) / 1000) * WRITES_PER_SECOND)
    while (this.#issued < due) {
      const dueMs = this.#startMs + (this.#issued / WRITES_PER_SECOND) * 1000
      this.#running++
      this.#kv.putCallback(Buffer.from(otherKey(this.#issued++)), this.#value, (error) => {
        this.#running--
        this.#failure ??= error
        const micros = Math.round((performance.now() - dueMs) * 1000)
        this.#histogram.recordValue(Math.min(Math.max(micros, 1), MICROS_MAX))
      })
    }
  }
}

function newHistogram() {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: MICROS_MAX })
}

/** Seconds that one snapshot took in each phase, by the stores' own counters. */
async function phases(processes: StoreProcesses): Promise<Record<string, number>> {
  const found: Record<string, number> = {}
  for (const [phase, count] of [
    ['build', 'built'],
    ['send', 'sent'],
    ['receive', 'received'],
    ['install', 'installed'],
  ] as const) {
    const sum = async (name: string): Promise<number> => {
      const each = [1, 2, 3].map((number) => processes.metric(number, name))
      return (await Promise.all(each)).reduce((a, b) => a + b, 0)
    }
    const n = await sum(`snapshots_${count}`)
    found[phase] = n === 0 ? 0 : (await sum(`snapshots_${phase}_seconds`)) / n
  }
  return found
}

function addRows(
  report: BenchReport,
  rounds: readonly Round[],
  phaseSeconds: Readonly<Record<string, number>>,
): void {
  const config = {
    regions: REGIONS,
    writesPerSec: WRITES_PER_SECOND,
    valueBytes: VALUE_BYTES,
    snapshotMib: BIG_BYTES / MIB,
    replicas: 3,
    synced: true,
  }
  for (const name of ['during', 'quiet'] as const) {
    const seconds = rounds.map((round) => (name === 'during' ? round.seconds : 1))
    report.add({
      suite: 'snapshot',
      case: `puts of other regions, ${name === 'during' ? 'during a snapshot' : 'without'}`,
      system: 'polyraft',
      opsPerSec: WRITES_PER_SECOND,
      p50Ms: median(rounds.map((round) => round[name].p50Ms)),
      p99Ms: median(rounds.map((round) => round[name].p99Ms)),
      n: rounds.reduce((sum, round) => sum + round[name].n, 0),
      config: name === 'during' ? { ...config, snapshotSeconds: median(seconds) } : config,
    })
  }
  const ratios = rounds.map(({ during, quiet }) => during.p99Ms / quiet.p99Ms)
  const wholeMib = BIG_BYTES / MIB / median(rounds.map(({ seconds }) => seconds))
  const parts = Object.entries(phaseSeconds).map(([name, s]) => `${name} ${s.toFixed(2)} s`)
  report.note(
    `cluster: p99 of other regions during / without = ${median(ratios).toFixed(2)} ` +
      `(rounds: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}); ` +
      `the snapshot as a whole ${wholeMib.toFixed(0)} MiB/s; mean by phase: ${parts.join(', ')}`,
  )
}
