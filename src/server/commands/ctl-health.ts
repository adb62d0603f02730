/** `polyraft ctl health`. */
import type { PdAdmin } from '../../pd/admin-port.ts'
import type { PdClient } from '../../pd/port.ts'
import { isGone } from '../../pd/store-condition.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { findProblems } from '../cli/cluster-problems.ts'
import {
  countRegions,
  countSilentStores,
  type RegionCounts,
  viewCluster,
} from '../cli/cluster-view.ts'
import { jsonText, print } from '../cli/output.ts'
import { formatCount } from '../cli/progress.ts'
import { EXIT_FAILED } from '../cli/run.ts'
import type { CtlOptions } from './ctl-command.ts'

export async function printHealth(
  io: CliIo,
  pd: PdClient,
  admin: PdAdmin,
  options: CtlOptions,
): Promise<void> {
  const view = await viewCluster(pd, admin, Date.now())
  const problems = findProblems(view)
  const counts = countRegions(view)
  const catchingUp = view.regions.reduce((sum, info) => sum + info.pendingPeers.length, 0)
  const stores = view.stores.filter((store) => !isGone(store))
  const silentStores = countSilentStores(view)
  const sizes = { stores: stores.length, silentStores, regions: view.regions.length }
  if (options.write === 'json') {
    const report = { healthy: problems.length === 0, ...sizes, catchingUp, ...counts, problems }
    await print(io.stdout, jsonText(report))
  } else if (problems.length === 0) {
    const size = `${formatCount(sizes.regions, 'region')} on ${formatCount(sizes.stores, 'store')}`
    await print(io.stdout, `healthy: ${size}${remarks(counts, catchingUp, silentStores)}\n`)
  } else {
    const lines = problems.map((problem) => `unhealthy: ${problem}\n`).join('')
    await print(io.stdout, `${lines}${summary(sizes.regions, counts)}\n`)
  }
  if (problems.length > 0) io.setExitCode(EXIT_FAILED)
}

/** What is going on in a cluster that is well. */
function remarks(
  { learners, leavingPeers }: RegionCounts,
  catchingUp: number,
  silentStores: number,
): string {
  const notes: string[] = []
  if (silentStores > 0) notes.push(`${formatCount(silentStores, 'empty store')} silent`)
  if (catchingUp > 0) notes.push(`${formatCount(catchingUp, 'replica')} catching up`)
  if (learners > 0) notes.push(`${formatCount(learners, 'region')} with a learner`)
  if (leavingPeers > 0) notes.push(`${formatCount(leavingPeers, 'region')} leaving a store`)
  return notes.map((note) => `, ${note}`).join('')
}

function summary(regions: number, counts: RegionCounts): string {
  const parts = [
    [counts.noQuorum, 'without a quorum'],
    [counts.noLeader, 'without a leader'],
    [counts.missingPeers, 'missing a replica'],
    [counts.downPeers, 'with a replica down'],
    [counts.pendingPeers, 'with a replica catching up'],
    [counts.learners, 'with a learner'],
    [counts.leavingPeers, 'leaving a store'],
  ] as const
  const told = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`)
  return `of ${formatCount(regions, 'region')}: ${told.join(', ') || 'all have a leader and their replicas'}`
}
