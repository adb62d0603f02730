/**
 * Part `idle`: what clusters cost while nobody asks for anything. Their regions have no work from the
 * start, so that they hibernate; what is measured is what is left then.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ClusterProcess, freePortBlock } from './cluster-process.ts'
import { cpuSeconds, processStats } from './process-stats.ts'
import type { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'

const REGIONS = [1, 64, 1000, 5000]
/** After the start: elections, then an election time-out or two of quiet, and heaps come to rest. */
const FALL_ASLEEP_MS = 20_000
const REST_MS = 10_000

export async function runIdle(report: BenchReport): Promise<void> {
  for (const regions of REGIONS) {
    await withScratch('regions', async (scratch) => {
      const dir = join(scratch.dir, 'cluster')
      mkdirSync(dir)
      const cluster = new ClusterProcess(dir, await freePortBlock(7), regions)
      scratch.onEnd(() => cluster.stop())
      await cluster.ready()
      await sleep(FALL_ASLEEP_MS)
      const { pd, stores } = cluster.pids
      const before = [cpuSeconds([pd]), cpuSeconds(stores)]
      await sleep(REST_MS)
      const msPerSecond = [cpuSeconds([pd]), cpuSeconds(stores)].map((now, i) =>
        Number((((now - before[i]!) * 1e6) / REST_MS).toFixed(1)),
      )
      addRow(report, regions, msPerSecond as [number, number], pd, stores)
    })
  }
}

function addRow(
  report: BenchReport,
  regions: number,
  [pdMs, storesMs]: readonly [number, number],
  pd: number,
  stores: readonly number[],
): void {
  const mebibytes = (pid: number): number => Math.round(processStats(pid)?.residentMiB ?? 0)
  const list = stores.map(mebibytes).join(', ')
  report.note(
    `idle, ${regions} region(s): PD ${pdMs} ms of processor time a second, three stores ${storesMs} ms; ` +
      `memory PD ${mebibytes(pd)} MiB, stores ${list} MiB`,
  )
  report.add({
    suite: 'regions',
    case: `idle, ${regions} region(s)`,
    system: 'polyraft',
    opsPerSec: 0,
    p50Ms: 0,
    p99Ms: 0,
    n: 0,
    config: {
      regions,
      storesCpuMsPerSec: storesMs,
      pdCpuMsPerSec: pdMs,
      storeMib: Math.max(...stores.map(mebibytes)),
      pdMib: mebibytes(pd),
    },
  })
}
