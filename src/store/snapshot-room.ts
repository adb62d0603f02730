/**
 * Disk space that snapshots on their way in will take: what is promised to one is not promised to
 * another. A snapshot takes its size twice, as files and as the data itself; what has come already
 * is on the disk, and no longer only promised.
 */
import { assert } from '../base/assert.ts'
import type { RegionId } from '../base/ids.ts'

const SPACE_FACTOR = 2

export class SnapshotRoom {
  /** Bytes that may be written without making the store short of space. */
  readonly #free: () => number
  readonly #promised = new Map<RegionId, number>()

  constructor(free: () => number) {
    this.#free = free
  }

  get promisedBytes(): number {
    let sum = 0
    for (const bytes of this.#promised.values()) sum += bytes
    return sum
  }

  /** False when there is none. */
  take(regionId: RegionId, bytes: number): boolean {
    assert(!this.#promised.has(regionId), `region ${regionId} receives one snapshot at a time`)
    const wanted = bytes * SPACE_FACTOR
    if (this.#free() - this.promisedBytes < wanted) return false
    this.#promised.set(regionId, wanted)
    return true
  }

  onWritten(regionId: RegionId, bytes: number): void {
    const left = this.#promised.get(regionId)
    if (left !== undefined) this.#promised.set(regionId, Math.max(0, left - bytes))
  }

  /** Installed, or given up. Idempotent. */
  give(regionId: RegionId): void {
    this.#promised.delete(regionId)
  }
}
