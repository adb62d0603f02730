/**
 * The bootstrap plan: a new cluster that knows how many stores it starts with begins with its
 * regions cut and replicated, instead of growing out of one region on the first store.
 *
 * Region i of n (n > 1) begins at a two-byte key, evenly spaced over 0x2000 … 0x7f00: printable
 * ASCII, where text keys spread. The first region begins at '' and the last ends at '', so the whole
 * key space is covered; binary keys fall mostly into these two. Up to 24,320 regions.
 *
 * Replicas go round the stores: region i has its first peer, which campaigns first, on store i mod
 * s, and the others on the stores behind it.
 */
import { PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { PeerRole, type Region } from '../region/region.ts'

export interface BootstrapPlan {
  /** Stores that have to register before the cluster begins. */
  readonly stores: number
  readonly regions: number
  /** Wanted replicas of a region; as many as there are stores at most. */
  readonly replicas: number
}

const FIRST_BOUNDARY = 0x2000
const LAST_BOUNDARY = 0x7f00
const REGIONS_MAX = LAST_BOUNDARY - FIRST_BOUNDARY

export function mustBeValidPlan(plan: BootstrapPlan): void {
  const inRange = (value: number, max: number): boolean =>
    Number.isInteger(value) && value >= 1 && value <= max
  if (!inRange(plan.stores, 1000) || !inRange(plan.replicas, 1000)) {
    throw new PolyraftError('ConfigInvalid', 'the bootstrap plan needs 1 to 1000 stores, replicas')
  }
  if (!inRange(plan.regions, REGIONS_MAX)) {
    throw new PolyraftError(
      'ConfigInvalid',
      `a cluster starts with 1 to ${REGIONS_MAX} regions, not ${plan.regions}`,
    )
  }
}

/** The start keys of regions 1 … n-1. */
export function planBoundaries(regions: number): Buffer[] {
  const boundaries: Buffer[] = []
  for (let i = 1; i < regions; i++) {
    const boundary = Buffer.allocUnsafe(2)
    boundary.writeUInt16BE(FIRST_BOUNDARY + Math.floor((i * REGIONS_MAX) / regions))
    boundaries.push(boundary)
  }
  return boundaries
}

/** Ids that planRegions needs. */
export function planIdCount(plan: BootstrapPlan, stores: number): number {
  return plan.regions * (1 + Math.min(plan.replicas, stores))
}

/** The regions, with ids from `firstId` on. */
export function planRegions(
  plan: BootstrapPlan,
  stores: readonly StoreId[],
  firstId: number,
): Region[] {
  const boundaries = planBoundaries(plan.regions)
  const replicas = Math.min(plan.replicas, stores.length)
  let id = firstId
  return Array.from({ length: plan.regions }, (_, i) => ({
    id: id++,
    startKey: boundaries[i - 1] ?? Buffer.alloc(0),
    endKey: boundaries[i] ?? Buffer.alloc(0),
    epoch: { confVer: 1, version: 1 },
    peers: Array.from({ length: replicas }, (_, r) => ({
      id: id++,
      storeId: stores[(i + r) % stores.length]!,
      role: PeerRole.Voter,
    })),
  }))
}
