/**
 * Suite `cluster`: three store processes and PD on this machine, beside a three-member etcd where it
 * is installed, interleaved in one run: 256-byte values, 256 operations in flight (puts with 1024, too,
 * and one after another: that is latency), three replicas, every write fsynced by a quorum before it is
 * acknowledged, reads linearizable. Larger values come last, because what they leave to compact would
 * be in the way of everything else; for the same reason nobody's turn with them begins before the
 * system that was at it last has calmed down.
 *
 * Every system first runs for a while, because V8 compiles a store's code meanwhile, and a store is up
 * for days. What it did in the first FIRST_SECONDS is a row of its own.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { PolyraftError } from '../base/errors.ts'
import { connect } from '../client/connect.ts'
import { startCluster } from './cluster-process.ts'
import { EtcdClient } from './etcd-client.ts'
import { EtcdCluster, etcdVersion } from './etcd-cluster.ts'
import {
  BenchData,
  type LoadResult,
  median,
  nameFailures,
  type Operation,
  runLoad,
  summary,
} from './load.ts'
import { freePortBlock } from './port-block.ts'
import { cpuSeconds, processorShares, residentMiB } from './process-stats.ts'
import { BenchReport } from './report.ts'
import { type Scratch, withScratch } from './scratch.ts'
import type { BenchOptions } from './suite.ts'
import { until } from './until.ts'

const SMALL = new BenchData(256)
const LARGE = new BenchData(4096)
const INFLIGHT = 256
const INFLIGHT_MANY = 1024
const FIRST_SECONDS = 10
/** The first ones and as many again: with many regions V8 is not done before. */
const WARM_UP_SECONDS = 2 * FIRST_SECONDS
const ROUNDS = 3
const DEFAULT_SECONDS = 4
/** Regions without work hibernate after an election time-out or two. */
const FALL_ASLEEP_MS = 4_000
const REST_MS = 4_000
/** Compacts nothing any more: of one processor, all its processes together. */
const CALM_SHARE = 0.2
const CALM_LOOK_MS = 250
const CALM_MS_MAX = 60_000
const DEFAULT_REGIONS = [1, 16, 64]

interface Phase {
  readonly name: string
  readonly operation: 'put' | 'get'
  readonly inflight: number
  readonly data: BenchData
}

const FIRST: Phase = {
  name: `put, first ${FIRST_SECONDS} s after the start`,
  operation: 'put',
  inflight: INFLIGHT,
  data: SMALL,
}
const PUT: Phase = { ...FIRST, name: 'put' }
const PHASES: readonly Phase[] = [
  PUT,
  { ...PUT, name: 'get', operation: 'get' },
  { ...PUT, name: `put, ${INFLIGHT_MANY} in flight`, inflight: INFLIGHT_MANY },
  { ...PUT, name: 'put, one after another', inflight: 1 },
]
const PUT_LARGE: Phase = { ...PUT, name: `put of ${LARGE.valueBytes} bytes`, data: LARGE }

interface System {
  readonly name: string
  readonly serverPids: readonly number[]
  readonly operations: (data: BenchData) => { readonly put: Operation; readonly get: Operation }
}

interface Sample extends LoadResult {
  /** Share of all CPU time of the phase that the client (this process) took. */
  readonly clientShare: number
}

export async function run(options: BenchOptions): Promise<void> {
  const report = new BenchReport(options.json)
  const seconds = options.seconds ?? DEFAULT_SECONDS
  const regions = options.args.length > 0 ? options.args.map(regionCount) : DEFAULT_REGIONS
  const etcd = etcdVersion()
  report.note(
    `${INFLIGHT} in flight, ${SMALL.valueBytes}-byte values, 3 replicas, fsync before every acknowledgement; ` +
      `warmed up for ${WARM_UP_SECONDS} s, then ${ROUNDS} interleaved rounds of ${seconds} s each, medians; ` +
      (etcd === undefined ? 'etcd is not installed, so there is no comparison' : `etcd ${etcd}`),
  )
  const puts: number[] = []
  for (const count of regions) {
    puts.push(await runOne(count, seconds, etcd !== undefined, report))
  }
  report.finish()
  if (puts.length > 1) noteFlatness(regions, puts, report)
}

function regionCount(text: string): number {
  const count = Number(text)
  if (Number.isSafeInteger(count) && count >= 1) return count
  throw new PolyraftError('InvalidArgument', `"${text}" is no number of regions`)
}

function noteFlatness(
  regions: readonly number[],
  puts: readonly number[],
  report: BenchReport,
): void {
  const shares = puts.map((rate) => (rate / puts[0]!).toFixed(2))
  report.note(
    `puts/s with ${regions.join(', ')} regions, as shares of the first: ${shares.join(', ')}`,
  )
}

/** Returns our puts/s. */
async function runOne(
  regions: number,
  seconds: number,
  withEtcd: boolean,
  report: BenchReport,
): Promise<number> {
  return withScratch('cluster', async (scratch) => {
    const polyraft = await startPolyraft(scratch, regions, report)
    const systems = [polyraft]
    if (withEtcd) systems.push(await startEtcd(scratch))
    const puts = await measure(systems, regions, seconds, report)
    reportMemory(polyraft, `after the run, ${regions} region(s)`, report)
    return puts
  })
}

async function startPolyraft(
  scratch: Scratch,
  regions: number,
  report: BenchReport,
): Promise<System> {
  const cluster = await startCluster(scratch, 'polyraft', regions)
  const kv = await scratch.open(connect({ pd: [cluster.pd], timeoutMs: 10_000 }))
  const { pd, stores } = cluster.pids
  const system = {
    name: 'polyraft',
    serverPids: [pd, ...stores],
    operations: (data: BenchData) => data.operations(kv),
  }
  reportMemory(system, `at rest, ${regions} region(s)`, report)
  await reportRest(system, regions, report)
  return system
}

async function startEtcd(scratch: Scratch): Promise<System> {
  const dir = join(scratch.dir, 'etcd')
  mkdirSync(dir)
  const cluster = new EtcdCluster(dir, await freePortBlock(6))
  scratch.onEnd(() => cluster.stop())
  const client = new EtcdClient(await cluster.leader())
  scratch.onEnd(() => client.close())
  return {
    name: 'etcd',
    serverPids: cluster.pids,
    operations: (data) => ({
      put: (n, done) => client.put(data.key(n), data.value(n), done),
      get: (n, done) => client.get(data.key(n), done),
    }),
  }
}

/** A B A B …, so that a machine whose speed drifts treats both alike. Returns the first one's puts/s. */
async function measure(
  systems: readonly System[],
  regions: number,
  seconds: number,
  report: BenchReport,
): Promise<number> {
  const firsts: Sample[][] = []
  for (const system of systems) {
    firsts.push([await sample(system, FIRST, FIRST_SECONDS)])
    await sample(system, FIRST, WARM_UP_SECONDS - FIRST_SECONDS)
  }
  const samples = await takeTurns(PHASES, systems, seconds)
  const [large] = await takeTurns([PUT_LARGE], systems, seconds)
  reportPhase(FIRST, regions, systems, firsts, report)
  const rates = PHASES.map((phase, p) => reportPhase(phase, regions, systems, samples[p]!, report))
  reportPhase(PUT_LARGE, regions, systems, large!, report)
  return rates[PHASES.indexOf(PUT)]![0]!
}

/** For each phase, for each system, its rounds. */
async function takeTurns(
  phases: readonly Phase[],
  systems: readonly System[],
  seconds: number,
): Promise<Sample[][][]> {
  const samples = phases.map(() => systems.map((): Sample[] => []))
  for (let round = 0; round < ROUNDS; round++) {
    for (const [p, phase] of phases.entries()) {
      for (const [s, system] of systems.entries()) {
        samples[p]![s]!.push(await sample(system, phase, seconds))
        if (phase.data === LARGE) await calm(system)
      }
    }
  }
  return samples
}

function calm({ name, serverPids }: System): Promise<void> {
  return until(`calming down of ${name}`, 0, CALM_MS_MAX, async () => {
    const shares = await processorShares(serverPids, CALM_LOOK_MS)
    return shares.reduce((sum, share) => sum + share, 0) < CALM_SHARE
  })
}

/** A row for each system, and how they compare. Returns their rates. */
function reportPhase(
  phase: Phase,
  regions: number,
  systems: readonly System[],
  samples: readonly (readonly Sample[])[],
  report: BenchReport,
): number[] {
  const rates = systems.map(({ name }, s) => {
    const list = samples[s]!
    const { failed, ...figures } = summary(list)
    report.add({
      suite: 'cluster',
      case: `${phase.name}, ${regions} region(s)`,
      system: name,
      ...figures,
      config: {
        regions,
        inflight: phase.inflight,
        valueBytes: phase.data.valueBytes,
        replicas: 3,
        synced: true,
        clientCpuShare: Number(median(list.map(({ clientShare }) => clientShare)).toFixed(2)),
        failed,
      },
    })
    return figures.opsPerSec
  })
  if (rates.length === 2) {
    const ratio = (rates[0]! / rates[1]!).toFixed(2)
    report.note(`${phase.name}, ${regions} region(s): polyraft / etcd = ${ratio}`)
  }
  return rates
}

async function sample(system: System, phase: Phase, seconds: number): Promise<Sample> {
  const serverBefore = cpuSeconds(system.serverPids)
  const clientBefore = cpuSeconds([process.pid])
  const result = await runLoad({
    inflight: phase.inflight,
    seconds,
    operation: system.operations(phase.data)[phase.operation],
  })
  const client = cpuSeconds([process.pid]) - clientBefore
  const server = cpuSeconds(system.serverPids) - serverBefore
  nameFailures(`${system.name}, ${phase.name}`, result)
  return { ...result, clientShare: client / (client + server) }
}

/** What the processes cost while nobody asks for anything. */
async function reportRest(system: System, regions: number, report: BenchReport): Promise<void> {
  await sleep(FALL_ASLEEP_MS)
  const shares = await processorShares(system.serverPids, REST_MS)
  const [pd, ...stores] = shares.map((share) => `${(share * 100).toFixed(1)} %`)
  report.note(
    `processor at rest, ${regions} region(s), of one: PD ${pd}, stores ${stores.join(', ')}`,
  )
}

function reportMemory(system: System, when: string, report: BenchReport): void {
  const [pd, ...stores] = system.serverPids.map(residentMiB)
  const list = stores.map((mib) => mib.toFixed(0)).join(', ')
  report.note(`resident memory ${when}: PD ${pd!.toFixed(0)} MiB, stores ${list} MiB`)
}
