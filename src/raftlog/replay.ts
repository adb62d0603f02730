/**
 * Rebuilds the regions from blocks in the order of their sequence.
 *
 * Dead segments go one by one, oldest first, so what is left may begin in the middle of a story:
 * entries of a region whose state comes later, or entries behind a gap whose compaction comes later.
 * Both are accepted on the way and must be resolved when the last block was replayed.
 */
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, RegionId, Term } from '../base/ids.ts'
import { REJOIN } from '../base/rejoin.ts'
import type { HardState } from '../raft/types.ts'
import type { BlockItem, ItemState } from './block-items.ts'
import { RegionLog } from './region-log.ts'
import type { Segment } from './segment.ts'

interface CompactionMark {
  readonly truncatedIndex: LogIndex
  readonly truncatedTerm: Term
}

const NO_MARK: CompactionMark = { truncatedIndex: -1, truncatedTerm: 0 }
const NO_STATE: HardState = Object.freeze({ term: 0, vote: 0, commit: 0 })

export class Replay {
  readonly regions = new Map<RegionId, RegionLog>()
  /** Regions whose log does not reach down to their compaction mark: the mark as last read. */
  readonly #gaps = new Map<RegionLog, CompactionMark>()

  apply(items: readonly BlockItem[], segment: Segment): void {
    for (const item of items) this.#applyItem(item, segment)
  }

  /** Whether the log holds all that it must hold of a region. */
  isWhole(region: RegionLog): boolean {
    return !this.#gaps.has(region) && region.stateSegment !== undefined
  }

  /** After the last block: every region must be whole. */
  finish(): void {
    for (const region of this.regions.values()) {
      if (!this.isWhole(region)) {
        throw new PolyraftError(
          'Corruption',
          `raft log of region ${region.id}: its state or its entries below ${region.first} are in ` +
            `no segment; ${REJOIN}`,
          { regionId: region.id },
        )
      }
      region.persistedIndex = region.last
    }
  }

  #applyItem(item: BlockItem, segment: Segment): void {
    if (item.reset) this.#drop(item.regionId)
    if (item.state !== undefined) this.#applyState(item.regionId, item.state, segment)
    if (item.lengths.length > 0) this.#applyEntries(item, segment)
  }

  #drop(regionId: RegionId): void {
    const region = this.regions.get(regionId)
    if (region === undefined) return
    region.release()
    this.#gaps.delete(region)
    this.regions.delete(regionId)
  }

  #applyState(regionId: RegionId, state: ItemState, segment: Segment): void {
    let region = this.regions.get(regionId)
    if (region === undefined) {
      region = new RegionLog(regionId, state.truncatedIndex, state.truncatedTerm, state.hardState)
      this.regions.set(regionId, region)
    }
    region.hardState = state.hardState
    region.placeState(segment)
    if (state.truncatedIndex < region.first - 1) {
      this.#gaps.set(region, state)
      return
    }
    region.index.compact(state.truncatedIndex)
    region.truncatedTerm = state.truncatedTerm
    this.#gaps.delete(region)
  }

  #applyEntries(item: BlockItem, segment: Segment): void {
    const region = this.#regionOf(item)
    const first = item.firstIndex
    if (first > region.last + 1 || first < region.first) {
      this.#restart(region, first)
    } else {
      region.index.truncate(first)
    }
    for (let i = 0; i < item.lengths.length; i++) {
      region.index.append(item.terms[i]!, segment, item.offsets[i]!, item.lengths[i]!)
    }
  }

  #regionOf(item: BlockItem): RegionLog {
    const known = this.regions.get(item.regionId)
    if (known !== undefined) return known
    const region = new RegionLog(item.regionId, item.firstIndex - 1, 0, NO_STATE)
    this.regions.set(item.regionId, region)
    this.#gaps.set(region, NO_MARK)
    return region
  }

  /** Begins the log anew at `first`: what it had below cannot be joined to it. */
  #restart(region: RegionLog, first: LogIndex): void {
    const mark = this.#gaps.get(region) ?? {
      truncatedIndex: region.first - 1,
      truncatedTerm: region.truncatedTerm,
    }
    region.index.restart(first)
    if (mark.truncatedIndex === first - 1) {
      region.truncatedTerm = mark.truncatedTerm
      this.#gaps.delete(region)
    } else {
      this.#gaps.set(region, mark)
    }
  }
}
