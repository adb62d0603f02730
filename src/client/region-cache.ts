/**
 * What this client believes about regions and their leaders: ordered by start key, and by id.
 *
 * INVARIANT: cached regions never overlap, and never move back to an older epoch; where knowledge
 * conflicts, the higher version wins, then (for the same region) the higher conf_ver.
 */
import sortedBtree from 'sorted-btree'
import { compareBytes } from '../base/bytes.ts'
import type { RegionId } from '../base/ids.ts'
import { type Peer, PeerRole, type Region, regionContains } from '../region/region.ts'

// A CommonJS module: Node gives its `module.exports`, a bundler or test runner its default export.
const BTree = (sortedBtree.default ?? sortedBtree) as typeof sortedBtree.default

export class CachedRegion {
  readonly region: Region
  /** Believed leader: any peer until an answer tells better. */
  leader: Peer
  /** Replicas in a row that were believed to lead, and named no leader. */
  rotations = 0

  constructor(region: Region, leader: Peer) {
    this.region = region
    this.leader = leader
  }
}

function endsBehind(region: Region, key: Uint8Array): boolean {
  return region.endKey.length === 0 || compareBytes(region.endKey, key) > 0
}

/** True when `known` must not give way to `fresh`. */
function isNewer(known: Region, fresh: Region): boolean {
  if (known.epoch.version !== fresh.epoch.version) {
    return known.epoch.version > fresh.epoch.version
  }
  return known.id === fresh.id && known.epoch.confVer > fresh.epoch.confVer
}

export class RegionCache {
  #byStart = new BTree<Buffer, CachedRegion>(undefined, compareBytes)
  #byId = new Map<RegionId, CachedRegion>()
  /** Traffic is often local: the region of the last look-up is tried first. */
  #last: CachedRegion | undefined = undefined
  #pair: [Buffer, CachedRegion] | undefined = undefined

  get size(): number {
    return this.#byId.size
  }

  byId(regionId: RegionId): CachedRegion | undefined {
    return this.#byId.get(regionId)
  }

  /** The region that holds `key`. */
  // @hot
  locate(key: Buffer): CachedRegion | undefined {
    const last = this.#last
    if (last !== undefined && regionContains(last.region, key)) return last
    const pair = this.#byStart.getPairOrNextLower(key, this.#pair)
    return this.#remember(pair, pair !== undefined && endsBehind(pair[1].region, key))
  }

  /** The region that holds the keys just below `bound`; empty = the last region. */
  locateBefore(bound: Buffer): CachedRegion | undefined {
    const pair = this.#byStart.nextLowerPair(bound.length === 0 ? undefined : bound)
    if (pair === undefined) return undefined
    const end = pair[1].region.endKey
    const reaches = end.length === 0 || (bound.length !== 0 && compareBytes(end, bound) >= 0)
    return reaches ? pair[1] : undefined
  }

  #remember(pair: [Buffer, CachedRegion] | undefined, holds: boolean): CachedRegion | undefined {
    if (pair === undefined) return undefined
    this.#pair = pair
    if (!holds) return undefined
    this.#last = pair[1]
    return pair[1]
  }

  /** The entry that now stands for this region; undefined when newer knowledge contradicts it. */
  insert(region: Region, leader: Peer | undefined): CachedRegion | undefined {
    const first = leader ?? region.peers.find((peer) => peer.role !== PeerRole.Learner)
    if (first === undefined) return undefined
    const known = this.#byId.get(region.id)
    if (known !== undefined && isNewer(known.region, region)) return undefined
    const overlapping = this.#overlapping(region)
    if (overlapping.some((entry) => isNewer(entry.region, region))) return undefined
    for (const entry of overlapping) this.remove(entry)
    if (known !== undefined) this.remove(known)
    const entry = new CachedRegion(region, first)
    this.#byStart.set(region.startKey, entry)
    this.#byId.set(region.id, entry)
    return entry
  }

  remove(entry: CachedRegion): void {
    if (this.#byId.get(entry.region.id) !== entry) return
    this.#byId.delete(entry.region.id)
    this.#byStart.delete(entry.region.startKey)
    if (this.#last === entry) this.#last = undefined
  }

  clear(): void {
    this.#byStart.clear()
    this.#byId.clear()
    this.#last = undefined
  }

  #overlapping(region: Region): CachedRegion[] {
    const found: CachedRegion[] = []
    const lower = this.#byStart.getPairOrNextLower(region.startKey)
    if (lower !== undefined && endsBehind(lower[1].region, region.startKey)) found.push(lower[1])
    let next = this.#byStart.nextHigherPair(region.startKey)
    while (next !== undefined && endsBehind(region, next[0])) {
      found.push(next[1])
      next = this.#byStart.nextHigherPair(next[0])
    }
    return found
  }
}
