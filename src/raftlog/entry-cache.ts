/**
 * Memory for entries over all regions. Entries that are not persisted always stay; of the others
 * the globally oldest go first once `capacity` is passed.
 *
 *   queue   ring of (region, last index of a write), oldest first; stale pairs are skipped
 *
 * An entry's data may be a view of something large, such as a received frame. Keeping it would pin
 * all of that, so such data is copied, small ones together into slabs.
 */
import type { LogIndex } from '../base/ids.ts'
import type { Entry } from '../raft/types.ts'
import type { RegionLog } from './region-log.ts'

/** Entry, view and slots in arrays, roughly. */
const ENTRY_OVERHEAD_BYTES = 160
const SLAB_BYTES = 64 * 1024
const SLAB_ENTRY_BYTES_MAX = 8 * 1024
/** What a view may pin beyond twice its size before it is copied. */
const PINNED_SLACK_BYTES = 4 * 1024

export class EntryCache {
  readonly #capacity: number
  #bytes = 0
  #entries = 0
  #slab = Buffer.allocUnsafeSlow(0)
  #slabUsed = 0
  #queueRegions: (RegionLog | undefined)[] = new Array(64).fill(undefined)
  #queueLasts = new Float64Array(64)
  #queueHead = 0
  #queueLength = 0

  constructor(capacity: number) {
    this.#capacity = capacity
  }

  get bytes(): number {
    return this.#bytes
  }

  get entries(): number {
    return this.#entries
  }

  /** Takes a write's entries, which the region's index already has. */
  add(region: RegionLog, entry: Entry): void {
    region.pushCached(this.#owned(entry))
    this.#entries++
    this.#bytes += entry.data.length + ENTRY_OVERHEAD_BYTES
  }

  /** After the last add() of a write: makes it known to eviction, and evicts. */
  commit(region: RegionLog, last: LogIndex): void {
    if (this.#queueLength === this.#queueLasts.length) this.#makeRoom()
    const slot = (this.#queueHead + this.#queueLength) & (this.#queueLasts.length - 1)
    this.#queueRegions[slot] = region
    this.#queueLasts[slot] = last
    this.#queueLength++
    this.enforce()
  }

  /** Drops `from` and everything above; call before the index drops them. */
  truncate(region: RegionLog, from: LogIndex): void {
    const keep = Math.max(0, from - region.cachedFirst)
    while (region.cachedCount > keep) this.#forget(region.popCached().data.length)
  }

  /** Drops persisted entries up to and including `through`. */
  evict(region: RegionLog, through: LogIndex): void {
    const end = Math.min(through, region.persistedIndex)
    while (isCached(region, end)) {
      // The index tells the size: an entry that goes need not come into the processor's caches again.
      this.#forget(region.index.dataBytes(region.cachedFirst))
      region.shiftCached()
    }
  }

  clear(region: RegionLog): void {
    while (region.cachedCount > 0) this.#forget(region.popCached().data.length)
  }

  /** Evicts until the capacity holds or only unpersisted entries would be left to drop. */
  enforce(): void {
    while (this.#bytes > this.#capacity && this.#queueLength > 0) {
      const region = this.#queueRegions[this.#queueHead]!
      const last = this.#queueLasts[this.#queueHead]!
      this.evict(region, last)
      if (isCached(region, last)) return
      this.#queueRegions[this.#queueHead] = undefined
      this.#queueHead = (this.#queueHead + 1) & (this.#queueLasts.length - 1)
      this.#queueLength--
    }
  }

  #forget(dataBytes: number): void {
    this.#entries--
    this.#bytes -= dataBytes + ENTRY_OVERHEAD_BYTES
  }

  #owned(entry: Entry): Entry {
    const { data } = entry
    if (data.buffer.byteLength <= data.length * 2 + PINNED_SLACK_BYTES) return entry
    const copy = this.#allocate(data.length)
    copy.set(data)
    return { index: entry.index, term: entry.term, type: entry.type, data: copy }
  }

  #allocate(length: number): Buffer {
    if (length > SLAB_ENTRY_BYTES_MAX) return Buffer.allocUnsafeSlow(length)
    if (this.#slabUsed + length > this.#slab.length) {
      this.#slab = Buffer.allocUnsafeSlow(SLAB_BYTES)
      this.#slabUsed = 0
    }
    const start = this.#slabUsed
    this.#slabUsed += length
    return this.#slab.subarray(start, start + length)
  }

  /** Sweeps pairs whose entries are gone, and doubles the ring when that frees less than half. */
  #makeRoom(): void {
    const mask = this.#queueLasts.length - 1
    const regions: (RegionLog | undefined)[] = []
    const lasts: number[] = []
    for (let i = 0; i < this.#queueLength; i++) {
      const slot = (this.#queueHead + i) & mask
      const region = this.#queueRegions[slot]!
      const last = this.#queueLasts[slot]!
      if (!isCached(region, last)) continue
      regions.push(region)
      lasts.push(last)
    }
    const size = this.#queueLasts.length * (regions.length * 2 > mask + 1 ? 2 : 1)
    this.#queueLength = regions.length
    this.#queueHead = 0
    while (regions.length < size) regions.push(undefined)
    this.#queueRegions = regions
    this.#queueLasts = new Float64Array(size)
    this.#queueLasts.set(lasts)
  }
}

/** Does the region still have anything in memory that a write ending at `last` brought? */
function isCached(region: RegionLog, last: LogIndex): boolean {
  return region.cachedCount > 0 && region.cachedFirst <= last
}
