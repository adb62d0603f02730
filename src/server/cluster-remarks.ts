/**
 * What people should know of a cluster that `polyraft up` has brought up, though all of it that is
 * here serves: stores that are not here, and regions with fewer replicas than there are stores for.
 */

import { silentLogger } from '../base/logger.ts'
import { connectPdAdmin } from '../pd/admin-client.ts'
import type { PdClient, StoreMeta } from '../pd/port.ts'
import { DISCONNECTED_AFTER_MS } from '../pd/schedule-config.ts'
import { isGone } from '../pd/store-condition.ts'
import { type ClusterPlan, pdFlag } from './cluster-plan.ts'
import { replicasOf } from './cluster-stores.ts'

type Plan = Pick<ClusterPlan, 'dir' | 'pdAddress' | 'stores' | 'resumed'>

/** `ids` are those of the stores here. */
export async function clusterRemarks(
  plan: Plan,
  ids: readonly number[],
  pd: PdClient,
): Promise<string[]> {
  if (!plan.resumed) return []
  const admin = await connectPdAdmin([plan.pdAddress], { logger: silentLogger })
  try {
    const { replicas } = await admin.settings()
    return remarksOn(plan, ids, await pd.getAllStores(), replicas)
  } finally {
    await admin.close()
  }
}

export function remarksOn(
  plan: Plan,
  ids: readonly number[],
  known: readonly StoreMeta[],
  replicas: number,
): string[] {
  const missing = known.filter((store) => !isGone(store) && !ids.includes(store.id))
  const count = plan.stores.length
  const remarks = missing.map((store) => notHere(plan, store, count + missing.length))
  const possible = replicasOf(count)
  if (replicas < possible) {
    const have = replicas === 1 ? '1 replica' : `${replicas} replicas`
    remarks.push(
      `each region has ${have}, though there are ${count} stores: to have ${possible}, run ` +
        `npx polyraft ctl config set replicas ${possible}${pdFlag(plan)}`,
    )
  }
  return remarks
}

function notHere(plan: Plan, { id, address }: StoreMeta, count: number): string {
  return (
    `store ${id} (${address}) of this cluster is not among the stores in ${plan.dir}: unless it runs ` +
    'elsewhere, its replicas are missing. If its data is lost, run npx polyraft ctl store delete ' +
    `${id} --physically-destroyed${pdFlag(plan)}, which is accepted once it has been silent for ` +
    `${DISCONNECTED_AFTER_MS / 1000} s; then start again with --stores ${count}`
  )
}
