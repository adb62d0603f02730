/**
 * How full the disk of a store is, as a state machine over what statfs says. RocksDB never recovers
 * from a write that failed for want of space, so a store must stop taking writes before that.
 *
 *   normal ──below almostFullBytes──▶ almost-full ──below fullBytes──▶ full
 *          ◀──above it + margin─────             ◀──above it + margin──
 *
 * almost-full   writes of clients are refused; reads and deletes go on
 * full          deletes too, and entries of other stores that have a quorum without this one; the
 *               reserve is given up, so that compactions, elections and what is under way have space
 *
 * Free space is what would be free if the reserve had all that it is to have. So a reserve that grows
 * or is given up changes no state, and a store that lives on it never believes to have recovered.
 *
 * INVARIANTS
 * - Getting worse shows at once, getting better only past a margin: a disk at the edge does not make
 *   the store change its mind with every write.
 * - Figures that make no sense change nothing.
 */
import { assert } from '../base/assert.ts'
import type { DiskState } from '../base/disk-state.ts'
import { MIB } from '../base/limits.ts'

export interface DiskFigures {
  readonly totalBytes: number
  /** What this process may still use. */
  readonly freeBytes: number
}

/** Asked on a timer by the store; nodeDiskProbe in production. */
export interface DiskProbe {
  measure(directory: string): DiskFigures
}

export interface DiskLimits {
  /** Least: fullBytes. */
  readonly almostFullBytes: number
  /** Least: 0. */
  readonly fullBytes: number
  /** How far above a limit free space must be to leave its state. */
  readonly marginBytes: number
}

/** What RocksDB may need to open again: about the size of its WAL. */
const RESERVE_BYTES_MAX = 256 * MIB
const RESERVE_SHARE = 0.02
const FULL_BYTES_MIN = 256 * MIB
/** A disk too small for that: most of it is to be used all the same. */
const FULL_SHARE_MAX = 1 / 16
const MARGIN_SHARE = 0.25

/** Space for the reserve file where the operator named none: 2 % of the disk, at most 256 MiB. */
export function defaultReserveBytes(totalBytes: number): number {
  return Math.floor(Math.min(RESERVE_BYTES_MAX, totalBytes * RESERVE_SHARE))
}

/** Limits that follow from the reserve: room for a compaction of its size before writes stop. */
export function limitsFor(reserveBytes: number, totalBytes: number): DiskLimits {
  const least = Math.min(FULL_BYTES_MIN, Math.floor(totalBytes * FULL_SHARE_MAX))
  const fullBytes = Math.max(least, Math.floor(reserveBytes / 2))
  return {
    almostFullBytes: fullBytes * 2,
    fullBytes,
    marginBytes: Math.floor(fullBytes * MARGIN_SHARE),
  }
}

export class DiskSpace {
  readonly #limits: DiskLimits
  #state: DiskState = 'normal'
  #freeBytes: number | undefined = undefined

  constructor(limits: DiskLimits) {
    assert(limits.fullBytes >= 0 && limits.marginBytes >= 0, 'limits are not negative')
    assert(limits.almostFullBytes >= limits.fullBytes, 'a disk is almost full before it is full')
    this.#limits = limits
  }

  get state(): DiskState {
    return this.#state
  }

  /** As last observed. */
  get freeBytes(): number | undefined {
    return this.#freeBytes
  }

  /** Answers the new state when it has changed. */
  observe({ totalBytes, freeBytes }: DiskFigures): DiskState | undefined {
    if (!(freeBytes >= 0 && freeBytes <= totalBytes)) return undefined
    this.#freeBytes = freeBytes
    return this.#become(next(this.#state, freeBytes, this.#limits))
  }

  #become(state: DiskState): DiskState | undefined {
    if (state === this.#state) return undefined
    this.#state = state
    return state
  }
}

function next(state: DiskState, freeBytes: number, limits: DiskLimits): DiskState {
  const { almostFullBytes, fullBytes, marginBytes } = limits
  if (freeBytes < fullBytes) return 'full'
  if (state === 'full' && freeBytes < fullBytes + marginBytes) return 'full'
  if (freeBytes < almostFullBytes) return 'almost-full'
  if (state !== 'normal' && freeBytes < almostFullBytes + marginBytes) return 'almost-full'
  return 'normal'
}
