/**
 * The ranges of the initialised replicas of a store, those that are being destroyed included: so
 * that no snapshot brings data to where another replica has its own.
 */
import { createRequire } from 'node:module'
import type sortedBTree from 'sorted-btree'
import { compareBytes } from '../base/bytes.ts'
import type { RegionId } from '../base/ids.ts'
import type { Region } from '../region/region.ts'

// CommonJS: loaders disagree on where an import of it has the class, require does not.
const { default: BTree } = createRequire(import.meta.url)('sorted-btree') as typeof sortedBTree

export class RegionRanges {
  readonly #byId = new Map<RegionId, Region>()
  readonly #byStart = new BTree<Buffer, Region>(undefined, compareBytes)

  get size(): number {
    return this.#byId.size
  }

  set(region: Region): void {
    this.delete(region.id)
    this.#byId.set(region.id, region)
    this.#byStart.set(region.startKey, region)
  }

  delete(regionId: RegionId): void {
    const before = this.#byId.get(regionId)
    if (before === undefined) return
    this.#byId.delete(regionId)
    if (this.#byStart.get(before.startKey) === before) this.#byStart.delete(before.startKey)
  }

  /** Another region that has part of this one's range. */
  findOther(region: Region): Region | undefined {
    const { id, startKey, endKey } = region
    // Ranges do not overlap one another: of those that begin before, only the last can reach in.
    const before = this.#byStart.nextLowerPair(startKey)?.[1]
    if (before !== undefined && before.id !== id && reaches(before, startKey)) return before
    for (let key = startKey, own = true; ; own = false) {
      const at = own ? this.#byStart.get(key) : undefined
      const next = at ?? this.#byStart.nextHigherPair(key)?.[1]
      if (next === undefined) return undefined
      if (endKey.length > 0 && compareBytes(next.startKey, endKey) >= 0) return undefined
      if (next.id !== id) return next
      key = next.startKey
    }
  }
}

function reaches({ endKey }: Region, key: Buffer): boolean {
  return endKey.length === 0 || compareBytes(endKey, key) > 0
}
