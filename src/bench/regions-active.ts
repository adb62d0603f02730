/**
 * Part `active`: puts to clusters that differ in their number of regions. All of them are up at once
 * and loaded in turns, since this machine's speed changes more in a minute than what is looked for.
 *
 * More regions are also led by more stores, and that has a price of its own where stores share
 * processors. So each is measured twice: with its leaders where PD put them, on all stores, and with
 * all of them on one, as with one region.
 */
import { EMPTY_BYTES } from '../base/bytes.ts'
import { silentLogger } from '../base/logger.ts'
import { connect } from '../client/connect.ts'
import { connectPdAdmin } from '../pd/admin-client.ts'
import { connectPd } from '../pd/grpc-client.ts'
import { startCluster } from './cluster-process.ts'
import {
  BenchData,
  type LoadResult,
  median,
  nameFailures,
  type Operation,
  runLoad,
  summary,
} from './load.ts'
import { cpuSeconds } from './process-stats.ts'
import type { BenchReport } from './report.ts'
import { type Scratch, withScratch } from './scratch.ts'
import { until } from './until.ts'

/** The first is what the others are compared with. */
const REGIONS = [1, 3, 16, 64]
const TURNS = 7
const INFLIGHT = 256
const VALUE_BYTES = 256
/** As long as V8 compiles a store's code; with many regions it takes longer. */
const WARM_UP_SECONDS = 20
/** Regions sleep while other clusters have their turn: what it takes to wake them is not counted. */
const WAKE_SECONDS = 0.5
const SETTLE_SECONDS = 8
const POLL_MS = 50
const MOVE_MS_MAX = 30_000

const SPREAD = 'leaders on all stores'
const GATHERED = 'leaders on one store'

interface Cluster {
  readonly regions: number
  readonly pd: string
  readonly pids: readonly number[]
  readonly put: Operation
}

interface Turn extends LoadResult {
  /** Of stores, PD and client, for each put. */
  readonly cpuMicros: number
  /** Of the first cluster's puts/s in the same round of turns. */
  readonly share: number
}

const data = new BenchData(VALUE_BYTES)

export async function runActive(report: BenchReport, seconds: number): Promise<void> {
  await withScratch('regions', async (scratch) => {
    report.note(
      `active: ${INFLIGHT} puts of ${VALUE_BYTES} bytes in flight, 3 replicas, fsync before every ` +
        `acknowledgement; clusters of ${REGIONS.join(', ')} regions in ${TURNS} turns of ${seconds} s, medians`,
    )
    const clusters: Cluster[] = []
    for (const regions of REGIONS) clusters.push(await start(scratch, regions))
    await loadAll(clusters, WARM_UP_SECONDS)
    addRows(report, SPREAD, clusters, await takeTurns(clusters, seconds))
    for (const cluster of clusters) await gatherLeaders(scratch, cluster.pd)
    await loadAll(clusters, SETTLE_SECONDS)
    addRows(report, GATHERED, clusters, await takeTurns(clusters, seconds))
  })
}

async function start(scratch: Scratch, regions: number): Promise<Cluster> {
  const cluster = await startCluster(scratch, `${regions}`, regions)
  const kv = await scratch.open(connect({ pd: [cluster.pd], timeoutMs: 10_000 }))
  const { pd, stores } = cluster.pids
  return { regions, pd: cluster.pd, pids: [pd, ...stores], put: data.operations(kv).put }
}

/** All regions get the leader's store of the first one. */
async function gatherLeaders(scratch: Scratch, endpoint: string): Promise<void> {
  const pd = await scratch.open(connectPd([endpoint], { logger: silentLogger }))
  const admin = await scratch.open(connectPdAdmin([endpoint], { logger: silentLogger }))
  const all = () => pd.scanRegions(EMPTY_BYTES, EMPTY_BYTES, Math.max(...REGIONS))
  const regions = await all()
  const storeId = regions[0]!.leader!.storeId
  for (const { region, leader } of regions) {
    if (leader?.storeId === storeId) continue
    await admin.addOperator({ kind: 'transfer-leader', regionId: region.id, storeId })
  }
  await until('moving leaders', POLL_MS, MOVE_MS_MAX, async () =>
    (await all()).every(({ leader }) => leader?.storeId === storeId),
  )
}

async function loadAll(clusters: readonly Cluster[], seconds: number): Promise<void> {
  for (const cluster of clusters) await load(cluster, seconds)
}

async function load({ regions, put }: Cluster, seconds: number): Promise<LoadResult> {
  const result = await runLoad({ inflight: INFLIGHT, seconds, operation: put })
  nameFailures(`${regions} region(s)`, result)
  return result
}

/** For each cluster its turns. */
async function takeTurns(clusters: readonly Cluster[], seconds: number): Promise<Turn[][]> {
  const turns = clusters.map((): Turn[] => [])
  for (let turn = 0; turn < TURNS; turn++) {
    let first: number | undefined
    for (const [i, cluster] of clusters.entries()) {
      await load(cluster, WAKE_SECONDS)
      const pids = [...cluster.pids, process.pid]
      const before = cpuSeconds(pids)
      const result = await load(cluster, seconds)
      const cpuMicros = ((cpuSeconds(pids) - before) * 1e6) / result.operations
      first ??= result.opsPerSec
      turns[i]!.push({ ...result, cpuMicros, share: result.opsPerSec / first })
    }
  }
  return turns
}

function addRows(
  report: BenchReport,
  where: string,
  clusters: readonly Cluster[],
  turns: readonly (readonly Turn[])[],
): void {
  const shares: string[] = []
  for (const [i, { regions }] of clusters.entries()) {
    const { failed, ...figures } = summary(turns[i]!)
    const share = median(turns[i]!.map((turn) => turn.share)).toFixed(2)
    const cpuMicros = median(turns[i]!.map((turn) => turn.cpuMicros))
    shares.push(share)
    report.add({
      suite: 'regions',
      case: `put, ${regions} region(s), ${where}`,
      system: 'polyraft',
      ...figures,
      config: {
        regions,
        share: Number(share),
        cpuMicros: Number(cpuMicros.toFixed(1)),
        inflight: INFLIGHT,
        valueBytes: VALUE_BYTES,
        replicas: 3,
        synced: true,
        failed,
      },
    })
  }
  report.note(
    `active, ${where}: puts/s with ${REGIONS.join(', ')} regions, as shares of the first: ${shares.join(', ')}`,
  )
}
