/**
 * Which regions have a peer on a store, and how many it leads: kept with every change of a region, so
 * that nobody has to look through all of them.
 */
import type { RegionId, StoreId } from '../base/ids.ts'
import type { RegionInfo } from './port.ts'

const NONE: ReadonlySet<RegionId> = new Set()

export class StoreIndex {
  readonly #regions = new Map<StoreId, Set<RegionId>>()
  readonly #leaders = new Map<StoreId, number>()

  regionsOn(storeId: StoreId): ReadonlySet<RegionId> {
    return this.#regions.get(storeId) ?? NONE
  }

  leadersOn(storeId: StoreId): number {
    return this.#leaders.get(storeId) ?? 0
  }

  add({ region, leader }: RegionInfo): void {
    for (const { storeId } of region.peers) {
      const ids = this.#regions.get(storeId)
      if (ids === undefined) this.#regions.set(storeId, new Set([region.id]))
      else ids.add(region.id)
    }
    if (leader !== undefined) this.#countLeader(leader.storeId, 1)
  }

  /** Puts one state of a region in the place of another, of the same region. */
  replace(before: RegionInfo, after: RegionInfo): void {
    for (const { storeId } of before.region.peers) {
      const stays = after.region.peers.some((peer) => peer.storeId === storeId)
      if (!stays) this.#regions.get(storeId)?.delete(before.region.id)
    }
    if (before.leader !== undefined) this.#countLeader(before.leader.storeId, -1)
    this.add(after)
  }

  remove({ region, leader }: RegionInfo): void {
    for (const { storeId } of region.peers) this.#regions.get(storeId)?.delete(region.id)
    if (leader !== undefined) this.#countLeader(leader.storeId, -1)
  }

  #countLeader(storeId: StoreId, change: number): void {
    this.#leaders.set(storeId, this.leadersOn(storeId) + change)
  }
}
