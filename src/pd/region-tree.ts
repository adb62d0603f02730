/**
 * The regions that PD knows, by id and by start key, and the rule by which a heartbeat may change
 * them. Pure: durability is the caller's.
 *
 * INVARIANTS
 * - Regions never overlap; there may be holes until a heartbeat fills them.
 * - For one id, version and conf_ver never fall, nor does the term of its leader.
 */
import { createRequire } from 'node:module'
import type sortedBTree from 'sorted-btree'
import { compareBytes, printableKey } from '../base/bytes.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Peer } from '../region/region.ts'
import { type Region, regionContains, sameEpoch } from '../region/region.ts'
import type { DownPeer, RegionHeartbeat, RegionInfo } from './port.ts'
import { StoreIndex } from './store-index.ts'

// CommonJS: loaders disagree on where an import of it has the class, require does not.
const { default: BTree } = createRequire(import.meta.url)('sorted-btree') as typeof sortedBTree

/** What the last accepted heartbeat said; nothing but the region survives a restart of PD. */
export interface RegionRecord extends RegionInfo {
  readonly region: Region
  readonly leader: Peer | undefined
  readonly term: number
  readonly downPeers: readonly DownPeer[]
  readonly pendingPeers: readonly Peer[]
  readonly approximateSize: number
  readonly approximateKeys: number
}

export type HeartbeatResult =
  | { readonly accepted: false; readonly reason: string }
  | {
      readonly accepted: true
      /** The region's durable part changed, and has to be written. */
      readonly changed: boolean
      /** Older regions that this one displaced. */
      readonly removed: readonly RegionId[]
    }

function refuse(reason: string): HeartbeatResult {
  return { accepted: false, reason }
}

function withoutHeartbeat(region: Region): RegionRecord {
  return {
    region,
    leader: undefined,
    term: 0,
    downPeers: [],
    pendingPeers: [],
    approximateSize: 0,
    approximateKeys: 0,
  }
}

function recordOf(heartbeat: RegionHeartbeat): RegionRecord {
  return {
    region: heartbeat.region,
    leader: heartbeat.leader,
    term: heartbeat.term,
    downPeers: heartbeat.downPeers,
    pendingPeers: heartbeat.pendingPeers,
    approximateSize: heartbeat.approximateSize,
    approximateKeys: heartbeat.approximateKeys,
  }
}

/** Whether [start, end) ends before `key`, or at it. */
function endsBy(region: Region, key: Uint8Array): boolean {
  return region.endKey.length > 0 && compareBytes(region.endKey, key) <= 0
}

export class RegionTree {
  readonly #byId = new Map<RegionId, RegionRecord>()
  readonly #byStart = new BTree<Buffer, RegionRecord>(undefined, compareBytes)
  readonly #byStore = new StoreIndex()

  get size(): number {
    return this.#byId.size
  }

  get(regionId: RegionId): RegionRecord | undefined {
    return this.#byId.get(regionId)
  }

  all(): IterableIterator<RegionRecord> {
    return this.#byStart.values()
  }

  /** Regions with a peer there; the set changes as they do. */
  regionsOn(storeId: StoreId): ReadonlySet<RegionId> {
    return this.#byStore.regionsOn(storeId)
  }

  leadersOn(storeId: StoreId): number {
    return this.#byStore.leadersOn(storeId)
  }

  find(key: Uint8Array): RegionRecord | undefined {
    const record = this.#byStart.getPairOrNextLower(key as Buffer)?.[1]
    return record !== undefined && regionContains(record.region, key) ? record : undefined
  }

  /** The left neighbour of the region with `key`; undefined at the first region and at a hole. */
  findPrevious(key: Uint8Array): RegionRecord | undefined {
    const current = this.find(key)
    if (current === undefined) return undefined
    const left = this.#byStart.nextLowerPair(current.region.startKey)?.[1]
    const adjacent = left?.region.endKey.equals(current.region.startKey)
    return adjacent ? left : undefined
  }

  /** Regions that meet [start, end), in order; an empty end is open, limit 0 = all. */
  scan(start: Uint8Array, end: Uint8Array, limit: number): RegionRecord[] {
    const found: RegionRecord[] = []
    const first = this.find(start)?.region.startKey ?? (start as Buffer)
    for (const [startKey, record] of this.#byStart.entries(first)) {
      if (end.length > 0 && compareBytes(startKey, end) >= 0) break
      found.push(record)
      if (found.length === limit) break
    }
    return found
  }

  /** Puts a region without a heartbeat: at start and at bootstrap. */
  load(region: Region): void {
    this.#put(withoutHeartbeat(region))
  }

  /** Decides over a heartbeat and, when it is accepted, takes it in. */
  applyHeartbeat(heartbeat: RegionHeartbeat): HeartbeatResult {
    const { region } = heartbeat
    const known = this.#byId.get(region.id)
    const stale = known && staleReason(known, heartbeat)
    if (stale !== undefined) return refuse(stale)
    const overlaps = this.#overlaps(region)
    const newer = overlaps.find((other) => other.region.epoch.version > region.epoch.version)
    if (newer !== undefined) {
      return refuse(
        `region ${region.id} at version ${region.epoch.version} overlaps region ` +
          `${newer.region.id} at version ${newer.region.epoch.version}`,
      )
    }
    const removed = overlaps.map((other) => other.region.id)
    for (const id of removed) this.#remove(id)
    this.#put(recordOf(heartbeat))
    const changed = known === undefined || !sameEpoch(known.region.epoch, region.epoch)
    return { accepted: true, changed, removed }
  }

  /** Other regions that share keys with this one. */
  #overlaps(region: Region): RegionRecord[] {
    return this.scan(region.startKey, region.endKey, 0).filter(
      (other) => other.region.id !== region.id,
    )
  }

  #put(record: RegionRecord): void {
    const { id, startKey } = record.region
    const before = this.#byId.get(id)
    if (before === undefined) this.#byStore.add(record)
    else {
      this.#byStore.replace(before, record)
      if (!before.region.startKey.equals(startKey)) this.#byStart.delete(before.region.startKey)
    }
    this.#byId.set(id, record)
    this.#byStart.set(startKey, record)
  }

  #remove(regionId: RegionId): void {
    const record = this.#byId.get(regionId)
    if (record === undefined) return
    this.#byStore.remove(record)
    this.#byId.delete(regionId)
    this.#byStart.delete(record.region.startKey)
  }
}

function staleReason(known: RegionRecord, heartbeat: RegionHeartbeat): string | undefined {
  const { id, epoch, startKey, endKey } = heartbeat.region
  const current = known.region.epoch
  if (epoch.version < current.version) {
    return `region ${id}: version ${epoch.version} is behind ${current.version}`
  }
  if (epoch.confVer < current.confVer) {
    return `region ${id}: conf_ver ${epoch.confVer} is behind ${current.confVer}`
  }
  if (heartbeat.term < known.term) {
    return `region ${id}: term ${heartbeat.term} is behind ${known.term}`
  }
  const moved = !startKey.equals(known.region.startKey) || !endKey.equals(known.region.endKey)
  if (epoch.version === current.version && moved) {
    return `region ${id}: other keys from ${printableKey(startKey)} without a new version`
  }
  return undefined
}

/** First key of [start, end) that no region of the ordered list covers; undefined = no gap. */
export function firstGap(
  regions: readonly RegionRecord[],
  start: Uint8Array,
  end: Uint8Array,
): Uint8Array | undefined {
  let next = start
  for (const { region } of regions) {
    if (compareBytes(region.startKey, next) > 0) return next
    if (region.endKey.length === 0) return undefined
    if (!endsBy(region, next)) next = region.endKey
    if (end.length > 0 && compareBytes(next, end) >= 0) return undefined
  }
  return next
}
