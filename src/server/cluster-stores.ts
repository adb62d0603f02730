/**
 * How many stores the directory of a cluster on this machine has. `polyraft up` and openCluster keep
 * their clusters alike, so that either opens what the other made:
 *
 *   DIR/pd/   DIR/store-1/ … DIR/store-N/
 */
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { makeDataDir, mustNotBeOthers } from '../base/data-dir.ts'
import { PolyraftError } from '../base/errors.ts'

const REPLICAS_MAX = 3

/** 0 = there is no cluster yet. `flag` is how the directory was given, for messages. */
export async function existingStores(dir: string, flag?: string): Promise<number> {
  if (!existsSync(dir)) return 0
  mustNotBeOthers(dir, 'cluster')
  await makeDataDir(dir, flag)
  const numbers = readdirSync(dir).map((name) => Number(/^store-(\d+)$/.exec(name)?.[1] ?? 0))
  return Math.max(0, ...numbers)
}

export function storeDir(dir: string, number: number): string {
  return join(dir, `store-${number}`)
}

/** Replicas of each region of a new cluster. */
export function replicasOf(stores: number): number {
  return Math.min(REPLICAS_MAX, stores)
}

/**
 * Stores of an embedded cluster: those that its directory has; 1 or 3 of a new one. Fewer would leave
 * regions without their majority, and more would hold none of the data: a region keeps the replicas
 * that it began with until an administrator asks for others, which takes `polyraft up`.
 */
export async function embeddedStores(dir: string, wanted: number | undefined): Promise<number> {
  const existing = await existingStores(dir)
  if (existing === 0) return newStores(wanted ?? 1)
  if (wanted === undefined || wanted === existing) return existing
  throw new PolyraftError(
    'InvalidArgument',
    `${dir} holds a cluster of ${existing} ${existing === 1 ? 'store' : 'stores'}, not ${wanted}: ` +
      'leave stores out to open it, or give another dir for a new one',
    { dir, stores: existing },
  )
}

function newStores(wanted: number): number {
  if (wanted === 1 || wanted === 3) return wanted
  throw new PolyraftError('InvalidArgument', `stores is 1 or 3, not ${String(wanted)}`)
}

/** The last one first: from then on the directory tells how many stores it has. */
export async function makeStoreDirs(dir: string, count: number): Promise<void> {
  for (let number = count; number >= 1; number--) await makeDataDir(storeDir(dir, number))
}
