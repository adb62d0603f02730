/**
 * Point reads that did not fit into their round, a slice at a time: what a round left out because
 * values are large, and batches of many keys.
 *
 *   add ─▶ [ waiting … ] ─▶ group: gets of one family, one call for all ───┐ what was left out is
 *              │                      ▲────────────────────────────────────┘ the next group, alone
 *              └───────────▶ batch: its keys a piece at a time, until it is whole or too large
 *
 * INVARIANTS
 * - A slice reads no more than SLICE_BYTES and one value, and SLICE_KEYS keys.
 * - One batch at most is half read: what its answer may hold is all that is kept between slices.
 * - Each slice reads something that the first of those that wait need, so all of them end.
 */
import { GET_BYTES_MAX, MIB } from '../base/limits.ts'
import { Ring } from '../base/ring.ts'
import { columnFamilyNumber } from '../command/column-family.ts'
import { decodeStoredValue } from '../command/stored-value.ts'
import type { ColumnFamily, KvReader } from '../engine/port.ts'
import { pairsResponse, RawKind, type RawRequest, type RawResponse } from '../protocol/raw.ts'
import { dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { getAnswerTooLarge, PAIR_OVERHEAD_BYTES, pointResponse } from './read-answers.ts'

/** Values that one slice reads: some milliseconds of the thread that decides everything. */
export const SLICE_BYTES = 4 * MIB
export const SLICE_KEYS = 1024

/** A read that a peer has cleared, and the region as it was then. */
export interface WaitingRead {
  readonly request: RawRequest
  readonly region: Region
}

export interface LateReadsPorts {
  readonly engine: Pick<KvReader, 'getMany'>
  /** Whether it may be run now, or go on once it has begun; if not, it has been taken care of. */
  readonly admit: (read: WaitingRead, hasBegun: boolean) => boolean
  /** What `respond` throws is the answer's error. */
  readonly answer: (request: RawRequest, respond: () => RawResponse) => void
}

export class LateReads {
  readonly #ports: LateReadsPorts
  readonly #waiting = new Ring<WaitingRead>()
  /** Gets that a slice has left out. */
  #group: WaitingRead[] = []
  #batch: BatchRead | undefined = undefined

  constructor(ports: LateReadsPorts) {
    this.#ports = ports
  }

  get isEmpty(): boolean {
    return this.#waiting.length === 0 && this.#group.length === 0 && this.#batch === undefined
  }

  add(read: WaitingRead): void {
    this.#waiting.push(read)
  }

  /** Reads one slice. */
  run(): void {
    const { admit } = this.#ports
    this.#group = this.#group.filter((read) => admit(read, false))
    if (this.#batch !== undefined && !admit(this.#batch.read, true)) this.#batch = undefined
    if (this.#batch === undefined && this.#group.length === 0) this.#takeNext()
    if (this.#batch !== undefined) this.#readBatch(this.#batch)
    else if (this.#group.length > 0) this.#readGroup(this.#group)
  }

  takeAll(): RawRequest[] {
    const reads = this.#batch === undefined ? [] : [this.#batch.read]
    reads.push(...this.#group)
    for (let read = this.#waiting.shift(); read !== undefined; read = this.#waiting.shift()) {
      reads.push(read)
    }
    this.#group = []
    this.#batch = undefined
    return reads.map(({ request }) => request)
  }

  /** A batch by itself, or the gets of one family up to the next batch. */
  #takeNext(): void {
    for (let head = this.#waiting.peek(); head !== undefined; head = this.#waiting.peek()) {
      const { kind, cf } = head.request
      const first = this.#group[0]?.request
      if (first !== undefined) {
        const joins = kind === RawKind.Get && cf === first.cf && this.#group.length < SLICE_KEYS
        if (!joins) return
      }
      this.#waiting.shift()
      if (!this.#ports.admit(head, false)) continue
      if (kind === RawKind.Get) {
        this.#group.push(head)
      } else {
        this.#batch = new BatchRead(head)
        return
      }
    }
  }

  #readGroup(group: readonly WaitingRead[]): void {
    const { engine, answer } = this.#ports
    const keys = group.map(({ request }) => dataKey(request.key))
    this.#group = []
    let values: (Buffer | undefined | null)[]
    try {
      values = engine.getMany(familyOf(group[0]!.request), keys, SLICE_BYTES)
    } catch (error) {
      for (const { request } of group) answer(request, () => rethrow(error))
      return
    }
    for (let i = 0; i < group.length; i++) {
      const read = group[i]!
      if (values[i] === null) this.#group.push(read)
      else answer(read.request, () => pointResponse(read.request, values, i)!)
    }
  }

  #readBatch(batch: BatchRead): void {
    const { engine, answer } = this.#ports
    const { request } = batch.read
    try {
      batch.readSlice(engine)
      if (!batch.isWhole && !batch.isTooLarge) return
    } catch (error) {
      this.#batch = undefined
      answer(request, () => rethrow(error))
      return
    }
    this.#batch = undefined
    answer(request, () => (batch.isTooLarge ? getAnswerTooLarge() : pairsResponse(batch.pairs)))
  }
}

/** A batch get, as far as it has been read: a piece of its keys after the other. */
class BatchRead {
  readonly read: WaitingRead
  readonly pairs: Buffer[] = []
  #bytes = 0
  /** Keys in front of it are done. */
  #done = 0
  /** Stored values of the piece behind that; null where one is to be read yet. */
  #piece: (Buffer | undefined | null)[] = []

  constructor(read: WaitingRead) {
    this.read = read
  }

  get isWhole(): boolean {
    return this.#done === this.read.request.keys.length
  }

  get isTooLarge(): boolean {
    return this.#bytes > GET_BYTES_MAX
  }

  readSlice(engine: Pick<KvReader, 'getMany'>): void {
    const { request } = this.read
    if (this.#piece.length === 0) {
      this.#piece = new Array(Math.min(SLICE_KEYS, request.keys.length - this.#done)).fill(null)
    }
    const wanted: number[] = []
    for (let i = 0; i < this.#piece.length; i++) if (this.#piece[i] === null) wanted.push(i)
    const keys = wanted.map((i) => dataKey(request.keys[this.#done + i]!))
    const values = engine.getMany(familyOf(request), keys, SLICE_BYTES)
    for (let i = 0; i < values.length; i++) this.#take(wanted[i]!, values[i])
    if (!this.#piece.includes(null)) this.#endPiece()
  }

  #take(at: number, stored: Buffer | undefined | null): void {
    this.#piece[at] = stored
    if (stored === null || stored === undefined) return
    this.#bytes += this.read.request.keys[this.#done + at]!.length + stored.length
    this.#bytes += PAIR_OVERHEAD_BYTES
  }

  #endPiece(): void {
    const { keys } = this.read.request
    for (let i = 0; i < this.#piece.length; i++) {
      const stored = this.#piece[i]
      if (stored) this.pairs.push(keys[this.#done + i]!, decodeStoredValue(stored))
    }
    this.#done += this.#piece.length
    this.#piece = []
  }
}

export function familyOf(request: RawRequest): ColumnFamily {
  return (columnFamilyNumber(request.cf) ?? 0) as ColumnFamily
}

function rethrow(error: unknown): never {
  throw error
}
