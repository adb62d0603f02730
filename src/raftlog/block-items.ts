/** Decodes and verifies one whole block: nothing of it is used unless all of it is right. */
import { crc32c } from '../base/crc32c.ts'
import type { LogIndex, RegionId, Term } from '../base/ids.ts'
import type { HardState } from '../raft/types.ts'
import { ITEM_ENTRIES, ITEM_RESET, ITEM_STATE, MetaReader } from './block-codec.ts'
import {
  BLOCK_HEADER_BYTES,
  type BlockHeader,
  FRAME_HEADER_BYTES,
  frameSeed,
  verifyFrame,
} from './format.ts'

export interface ItemState {
  readonly hardState: HardState
  readonly truncatedIndex: LogIndex
  readonly truncatedTerm: Term
}

export interface BlockItem {
  readonly regionId: RegionId
  readonly reset: boolean
  readonly state: ItemState | undefined
  readonly firstIndex: LogIndex
  /** Parallel, one for each entry. Offsets are the frames' in the file. */
  readonly terms: readonly Term[]
  readonly lengths: readonly number[]
  readonly offsets: readonly number[]
}

const NONE: readonly number[] = []

/**
 * The block's items, or what is wrong with its bytes. Throws Corruption where the checksum is right
 * and the content cannot be: nobody tore that.
 */
export function decodeBlock(
  bytes: Buffer,
  start: number,
  header: BlockHeader,
): BlockItem[] | string {
  const dataStart = start + BLOCK_HEADER_BYTES
  const metaStart = dataStart + header.dataBytes
  const end = metaStart + header.metaBytes
  if (end > bytes.length) return 'the block goes beyond the end of the file'
  const meta = bytes.subarray(metaStart, end)
  if (crc32c(meta) !== header.metaCrc) return 'the checksum of the block is wrong'
  const reader = new MetaReader(meta, `raft log block at ${start}`)
  const items: BlockItem[] = []
  let frame = dataStart
  while (!reader.done) {
    const item = decodeItem(reader, frame)
    items.push(item)
    for (let i = 0; i < item.lengths.length; i++) {
      const seed = frameSeed(item.regionId, item.firstIndex + i, item.terms[i]!)
      if (!verifyFrame(bytes, frame, item.lengths[i]!, seed)) {
        return `the checksum of entry ${item.firstIndex + i} of region ${item.regionId} is wrong`
      }
      frame += FRAME_HEADER_BYTES + item.lengths[i]!
    }
  }
  return frame === metaStart ? items : 'the entries do not fill the block'
}

function decodeItem(reader: MetaReader, frame: number): BlockItem {
  const regionId = reader.varint()
  const flags = reader.flags()
  const reset = (flags & ITEM_RESET) !== 0
  const state = (flags & ITEM_STATE) === 0 ? undefined : decodeState(reader)
  if ((flags & ITEM_ENTRIES) === 0) {
    return { regionId, reset, state, firstIndex: 0, terms: NONE, lengths: NONE, offsets: NONE }
  }
  const firstIndex = reader.varint()
  const count = reader.varint()
  if (firstIndex === 0) throw reader.corrupt('entries begin at index 0')
  // Each has at least one byte behind here, so this bounds what the loops below may allocate.
  if (count === 0 || count > reader.left) throw reader.corrupt(`${count} entries`)
  if (!Number.isSafeInteger(firstIndex + count)) throw reader.corrupt('an index above 2^53-1')
  const terms = decodeTerms(reader, count)
  const lengths: number[] = []
  const offsets: number[] = []
  for (let i = 0; i < count; i++) {
    const length = reader.varint()
    lengths.push(length)
    offsets.push(frame)
    frame += FRAME_HEADER_BYTES + length
  }
  return { regionId, reset, state, firstIndex, terms, lengths, offsets }
}

function decodeTerms(reader: MetaReader, count: number): number[] {
  const terms: number[] = []
  while (terms.length < count) {
    const term = reader.varint()
    const run = reader.varint()
    if (run === 0 || run > count - terms.length) throw reader.corrupt(`a run of ${run} terms`)
    for (let left = run; left > 0; left--) terms.push(term)
  }
  return terms
}

function decodeState(reader: MetaReader): ItemState {
  const hardState = { term: reader.varint(), vote: reader.varint(), commit: reader.varint() }
  return { hardState, truncatedIndex: reader.varint(), truncatedTerm: reader.varint() }
}
