/**
 * Part `idle`: what clusters cost while nobody asks for anything. Their regions have no work from the
 * start, so that they hibernate; what is measured is what is left then.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { startCluster } from './cluster-process.ts'
import { processorShares, residentMiB } from './process-stats.ts'
import type { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'

const REGIONS = [1, 64, 1000, 5000]
/** After the start: elections, then an election time-out or two of quiet, and heaps come to rest. */
const FALL_ASLEEP_MS = 20_000
const REST_MS = 10_000

export async function runIdle(report: BenchReport): Promise<void> {
  for (const regions of REGIONS) {
    await withScratch('regions', async (scratch) => {
      const cluster = await startCluster(scratch, 'cluster', regions)
      await sleep(FALL_ASLEEP_MS)
      const { pd, stores } = cluster.pids
      const shares = await processorShares([pd, ...stores], REST_MS)
      const [pdMs, ...storeMs] = shares.map((share) => share * 1000)
      const [pdMib, ...storeMib] = [pd, ...stores].map((pid) => Math.round(residentMiB(pid)))
      const config = {
        regions,
        storesCpuMsPerSec: Number(storeMs.reduce((sum, ms) => sum + ms, 0).toFixed(1)),
        pdCpuMsPerSec: Number(pdMs!.toFixed(1)),
        storeMib: Math.max(...storeMib),
        pdMib: pdMib!,
      }
      report.note(
        `idle, ${regions} region(s): PD ${config.pdCpuMsPerSec} ms of processor time a second, three stores ` +
          `${config.storesCpuMsPerSec} ms; memory PD ${pdMib} MiB, stores ${storeMib.join(', ')} MiB`,
      )
      report.add({
        suite: 'regions',
        case: `idle, ${regions} region(s)`,
        system: 'polyraft',
        opsPerSec: 0,
        p50Ms: 0,
        p99Ms: 0,
        n: 0,
        config,
      })
    })
  }
}
