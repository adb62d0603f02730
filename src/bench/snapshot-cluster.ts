/**
 * Three store processes, PD and this client on one machine. A replica of a region of 256 MiB is
 * removed; PD makes another one in its place, which gets the region by snapshot, while the other
 * regions are written to at a fixed rate. Their latency, counted from the moment at which a write was
 * due, is taken from the beginning of the build to the end of the installation, by phase, and beside
 * it for as long when nothing else happens.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { build, type Histogram } from 'hdr-histogram-js'
import { assert } from '../base/assert.ts'
import { MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { connect } from '../client/connect.ts'
import type { KvClient } from '../client/kv-client.ts'
import { connectPdAdmin } from '../pd/admin-client.ts'
import type { PdAdmin } from '../pd/admin-port.ts'
import { connectPd } from '../pd/grpc-client.ts'
import type { PdClient, RegionInfo } from '../pd/port.ts'
import { PeerRole } from '../region/region.ts'
import { median } from './load.ts'
import { freePortBlock } from './port-block.ts'
import type { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'
import { StoreProcesses } from './store-processes.ts'
import { until } from './until.ts'

const REGIONS = 4
const BIG_BYTES = 256 * MIB
const BIG_VALUE_BYTES = 1024
const VALUE_BYTES = 256
/** Far from what the regions could take: latency is that of the store, not of a queue. */
const WRITES_PER_SECOND = 1000
const ROUNDS = 5
/** What filling and removing leave RocksDB to compact is no part of a snapshot. */
const SETTLE_MS = 3000
const POLL_MS = 20
/** How often stores are asked how far a snapshot is, with one and without: each answer costs them time. */
const WATCH_MS = 250
const STEP_MS_MAX = 180_000
const MICROS_MAX = 60_000_000

/** In the order in which a snapshot goes through them; sending and receiving are one time. */
const PHASES = ['build', 'receive', 'install'] as const
type Phase = (typeof PHASES)[number]

/** The first of the regions that the plan cuts from the printable keys. */
const bigKey = (i: number): string => `!big-${String(i).padStart(9, '0')}`
/** All over the other ones. */
const otherKey = (i: number): string =>
  `${String.fromCharCode(0x44 + ((i * 37) % 58))}other-${i % 50_000}`

interface Cluster {
  readonly processes: StoreProcesses
  readonly pd: PdClient
  readonly admin: PdAdmin
  readonly kv: KvClient
}

interface Round {
  readonly seconds: number
  readonly during: Histogram
  readonly byPhase: ReadonlyMap<Phase, Histogram>
  readonly quiet: Histogram
}

export async function runCluster(report: BenchReport, seconds: number): Promise<void> {
  await withScratch('snapshot', async (scratch) => {
    const processes = new StoreProcesses(scratch.dir, await freePortBlock(7))
    scratch.onEnd(() => processes.stop())
    await processes.start(REGIONS)
    const pd = await scratch.open(connectPd([processes.pd], { logger: silentLogger }))
    const admin = await scratch.open(connectPdAdmin([processes.pd], { logger: silentLogger }))
    const kv = await scratch.open(connect({ pd: [processes.pd], timeoutMs: 20_000 }))
    report.note(`cluster: a region of ${BIG_BYTES / MIB} MiB is filled, then ${ROUNDS} rounds`)
    await fill(kv, BIG_BYTES / BIG_VALUE_BYTES)
    const cluster: Cluster = { processes, pd, admin, kv }
    const rounds: Round[] = []
    while (rounds.length < ROUNDS) {
      rounds.push(await oneRound(cluster, seconds))
      noteRound(rounds, report)
    }
    addRows(report, rounds, await phaseSeconds(processes))
  })
}

/** Each takes more than a minute: so that one sees it go on. */
function noteRound(rounds: readonly Round[], report: BenchReport): void {
  const { seconds, during, quiet } = rounds.at(-1)!
  report.note(
    `cluster: round ${rounds.length} of ${ROUNDS}: p99 of other regions ${p99Ms(during).toFixed(1)} ms during a ` +
      `snapshot of ${seconds.toFixed(0)} s, ${p99Ms(quiet).toFixed(1)} ms without`,
  )
}

function p99Ms(histogram: Histogram): number {
  return histogram.getValueAtPercentile(99) / 1000
}

async function fill(kv: KvClient, rows: number): Promise<void> {
  const value = Buffer.alloc(BIG_VALUE_BYTES, 'big value;')
  let next = 0
  const writer = async (): Promise<void> => {
    while (next < rows) await kv.put(bigKey(next++), value)
  }
  await Promise.all(Array.from({ length: 256 }, writer))
}

async function oneRound(cluster: Cluster, seconds: number): Promise<Round> {
  const { processes, pd, admin, kv } = cluster
  const big = (): Promise<RegionInfo> => pd.getRegion(Buffer.from(bigKey(0))).then((info) => info!)
  const { region, leader } = await big()
  const removed = region.peers.find(({ storeId }) => storeId !== leader!.storeId)!
  const load = new PacedWrites(kv)
  try {
    await sleep(SETTLE_MS)
    await admin.addOperator({
      kind: 'remove-peer',
      regionId: region.id,
      storeId: removed.storeId,
    })
    const watched = (): Promise<readonly Phase[] | undefined> => snapshotOf(processes, region.id)
    await until(
      'ordering a new replica',
      POLL_MS,
      STEP_MS_MAX,
      async () => (await watched()) !== undefined,
    )
    const startMs = performance.now()
    load.begin()
    await until('the snapshot', WATCH_MS, STEP_MS_MAX, async () => {
      const phases = await watched()
      load.phase = PHASES.find((phase) => phases?.includes(phase))
      return phases === undefined && isReplaced(await big(), removed.id)
    })
    const { all: during, byPhase } = load.take()
    const took = (performance.now() - startMs) / 1000
    await sleep(SETTLE_MS)
    load.begin()
    const endMs = performance.now() + Math.max(took, seconds) * 1000
    await until('the time without', WATCH_MS, STEP_MS_MAX, async () => {
      assert((await watched()) === undefined, 'nothing else moves the region')
      return performance.now() >= endMs
    })
    return { seconds: took, during, byPhase, quiet: load.take().all }
  } finally {
    await load.stop()
  }
}

function isReplaced({ region: { peers } }: RegionInfo, removedId: number): boolean {
  const voters = peers.filter(({ role }) => role === PeerRole.Voter)
  return voters.length === 3 && peers.every(({ id }) => id !== removedId)
}

/** What stores do for one of the region just now; undefined without one. */
async function snapshotOf(
  processes: StoreProcesses,
  region: number,
): Promise<readonly Phase[] | undefined> {
  const views = await Promise.all([1, 2, 3].map((number) => processes.region(number, region)))
  const snapshots = views.flatMap((view) => view?.snapshot ?? [])
  if (snapshots.length === 0) return undefined
  const phases = snapshots.flatMap(({ progress }) => progress.map(({ phase }) => phase))
  return PHASES.filter((phase) => phases.includes(phase))
}

/** Writes that are due at fixed times, whether or not earlier ones were answered. */
class PacedWrites {
  /** Under which latencies are counted, besides all together. */
  phase: Phase | undefined = undefined
  readonly #kv: KvClient
  readonly #value = Buffer.alloc(VALUE_BYTES, 'value;')
  readonly #timer: NodeJS.Timeout
  readonly #startMs = performance.now()
  #issued = 0
  #running = 0
  #all = newHistogram()
  #byPhase = new Map<Phase, Histogram>()
  #failure: Error | undefined = undefined

  constructor(kv: KvClient) {
    this.#kv = kv
    this.#timer = setInterval(() => this.#issue(), 1)
  }

  begin(): void {
    this.phase = undefined
    this.#all = newHistogram()
    this.#byPhase = new Map(PHASES.map((phase) => [phase, newHistogram()]))
  }

  take(): { readonly all: Histogram; readonly byPhase: ReadonlyMap<Phase, Histogram> } {
    if (this.#failure !== undefined) throw this.#failure
    return { all: this.#all, byPhase: this.#byPhase }
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
        this.#record(performance.now() - dueMs)
      })
    }
  }

  #record(ms: number): void {
    const micros = Math.min(Math.max(Math.round(ms * 1000), 1), MICROS_MAX)
    this.#all.recordValue(micros)
    if (this.phase !== undefined) this.#byPhase.get(this.phase)?.recordValue(micros)
  }
}

function newHistogram() {
  return build({ lowestDiscernibleValue: 1, highestTrackableValue: MICROS_MAX })
}

/** Seconds that one snapshot took in each phase, by the stores' own counters. */
async function phaseSeconds(processes: StoreProcesses): Promise<Record<string, number>> {
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
  secondsOf: Readonly<Record<string, number>>,
): void {
  const config = {
    regions: REGIONS,
    writesPerSec: WRITES_PER_SECOND,
    valueBytes: VALUE_BYTES,
    snapshotMib: BIG_BYTES / MIB,
    replicas: 3,
    synced: true,
  }
  const row = (name: string, histograms: readonly Histogram[], more = {}): void => {
    const medianMs = (percentile: number): number =>
      median(histograms.map((each) => each.getValueAtPercentile(percentile) / 1000))
    report.add({
      suite: 'snapshot',
      case: `puts of other regions, ${name}`,
      system: 'polyraft',
      opsPerSec: WRITES_PER_SECOND,
      p50Ms: medianMs(50),
      p99Ms: medianMs(99),
      n: histograms.reduce((sum, { totalCount }) => sum + totalCount, 0),
      config: { ...config, ...more },
    })
  }
  const snapshotSeconds = median(rounds.map(({ seconds }) => seconds))
  row(
    'during a snapshot',
    rounds.map(({ during }) => during),
    { snapshotSeconds },
  )
  for (const phase of PHASES) {
    row(
      `phase ${phase}`,
      rounds.map(({ byPhase }) => byPhase.get(phase)!),
    )
  }
  row(
    'without',
    rounds.map(({ quiet }) => quiet),
  )
  const ratios = rounds.map(({ during, quiet }) => p99Ms(during) / p99Ms(quiet))
  const wholeMib = BIG_BYTES / MIB / snapshotSeconds
  const parts = Object.entries(secondsOf).map(([name, s]) => `${name} ${s.toFixed(2)} s`)
  report.note(
    `cluster: p99 of other regions during / without = ${median(ratios).toFixed(2)} ` +
      `(rounds: ${ratios.map((ratio) => ratio.toFixed(2)).join(', ')}); ` +
      `the snapshot as a whole ${wholeMib.toFixed(0)} MiB/s; mean by phase: ${parts.join(', ')}`,
  )
}
