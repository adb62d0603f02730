/**
 * A call over many keys: sorted, cut into pieces, a bounded number of them in flight. A piece that
 * meets a region border is cut there just before it is sent, so a split under way costs nothing
 * but that, and a piece whose answer would be too large is asked for again in halves. The batch
 * settles when its last piece has, so that nothing goes on behind its back.
 */
import { assert } from '../base/assert.ts'
import { compareBytes, EMPTY_BYTES } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import {
  GET_ANSWER_TOO_LARGE,
  NO_BUFFERS,
  RawKind,
  RawRequest,
  type RawResponse,
} from '../protocol/raw.ts'
import { type Region, regionContains } from '../region/region.ts'
import type { Call, Reject, Settler } from './call.ts'
import type { Dispatcher } from './dispatcher.ts'

const PIECE_KEYS_MAX = 512
const PIECE_BYTES_MAX = MIB
const PIECES_IN_FLIGHT_MAX = 16

export type BatchKind =
  | typeof RawKind.BatchGet
  | typeof RawKind.BatchPut
  | typeof RawKind.BatchDelete

/** Keys in order, without doubles, and their values when there are any. */
export interface SortedKeys {
  readonly keys: Buffer[]
  readonly values: Buffer[]
}

/** Of a key given twice the last one stays. */
export function sortKeys(keys: Buffer[], values: Buffer[] | undefined): SortedKeys {
  if (isStrictlySorted(keys)) return { keys, values: values ?? [] }
  const order = keys.map((_, i) => i)
  order.sort((a, b) => compareBytes(keys[a]!, keys[b]!) || a - b)
  const sorted: SortedKeys = { keys: [], values: [] }
  for (let i = 0; i < order.length; i++) {
    const at = order[i]!
    const next = order[i + 1]
    if (next !== undefined && keys[at]!.equals(keys[next]!)) continue
    sorted.keys.push(keys[at]!)
    if (values !== undefined) sorted.values.push(values[at]!)
  }
  return sorted
}

function isStrictlySorted(keys: readonly Buffer[]): boolean {
  for (let i = 1; i < keys.length; i++) {
    if (compareBytes(keys[i - 1]!, keys[i]!) >= 0) return false
  }
  return true
}

/** Values found, by the key's bytes as a latin1 string. */
export type Found = Map<string, Buffer>

export class Batch {
  readonly kind: BatchKind
  readonly cf: string
  readonly found: Found = new Map()
  #dispatcher: Dispatcher
  #sorted: SortedKeys
  #deadlineMs: number
  #resolve: (found: Found) => void
  #reject: Reject
  /** Keys before it belong to a piece. */
  #next = 0
  #inFlight = 0
  #keysDone = 0
  #starting = false
  #error: PolyraftError | undefined = undefined

  constructor(
    dispatcher: Dispatcher,
    kind: BatchKind,
    cf: string,
    sorted: SortedKeys,
    resolve: (found: Found) => void,
    reject: Reject,
  ) {
    this.kind = kind
    this.cf = cf
    this.#dispatcher = dispatcher
    this.#sorted = sorted
    this.#resolve = resolve
    this.#reject = reject
    this.#deadlineMs = dispatcher.nowMs() + dispatcher.timeoutMs
  }

  start(): void {
    // A piece may settle within submit: that must not start others from inside this loop.
    if (this.#starting) return
    this.#starting = true
    const { keys } = this.#sorted
    while (
      this.#error === undefined &&
      this.#next < keys.length &&
      this.#inFlight < PIECES_IN_FLIGHT_MAX
    ) {
      const end = this.#pieceEnd(this.#next)
      const from = this.#next
      this.#next = end
      this.submit(from, end)
    }
    this.#starting = false
    if (this.#inFlight === 0) this.#settle()
  }

  /** `cutFrom`: the piece was the end of this one, and so were its attempts. */
  submit(from: number, to: number, cutFrom?: Call): void {
    const nowMs = this.#dispatcher.nowMs()
    const request = new RawRequest(this.kind, this.#dispatcher, 0)
    request.cf = this.cf
    this.assign(request, from, to)
    this.#inFlight++
    let call: Call
    try {
      call = this.#dispatcher.take(this.#deadlineMs)
    } catch (error) {
      this.onPieceFailed(error as PolyraftError)
      return
    }
    call.settler = new BatchPiece(this, from, to)
    if (cutFrom !== undefined) {
      call.mayHaveExecuted = cutFrom.mayHaveExecuted
      call.fencedUntilMs = cutFrom.fencedUntilMs
    }
    this.#dispatcher.submit(call, request, nowMs)
  }

  assign(request: RawRequest, from: number, to: number): void {
    const { keys, values } = this.#sorted
    request.keys = keys.slice(from, to)
    request.values = this.kind === RawKind.BatchPut ? values.slice(from, to) : NO_BUFFERS
  }

  /** Index behind the last key of [from, to) that the region holds; the first one is known to. */
  endInRegion(from: number, to: number, region: Region): number {
    const { keys } = this.#sorted
    let low = from + 1
    let high = to
    while (low < high) {
      const middle = (low + high) >>> 1
      if (regionContains(region, keys[middle]!)) low = middle + 1
      else high = middle
    }
    return low
  }

  #pieceEnd(from: number): number {
    const { keys, values } = this.#sorted
    let bytes = 0
    let end = from
    while (end < keys.length && end - from < PIECE_KEYS_MAX) {
      bytes += keys[end]!.length + (values[end] ?? EMPTY_BYTES).length
      if (end > from && bytes > PIECE_BYTES_MAX) break
      end++
    }
    return end
  }

  onPieceDone(keyCount: number): void {
    this.#keysDone += keyCount
    this.#onPieceSettled()
  }

  /** The piece is asked for again, as two. */
  halve(from: number, to: number): void {
    const middle = (from + to + 1) >>> 1
    this.submit(from, middle)
    this.submit(middle, to)
    this.#onPieceSettled()
  }

  onPieceFailed(error: PolyraftError): void {
    if (this.#error === undefined || error.code === 'Undetermined') this.#error = error
    this.#onPieceSettled()
  }

  #onPieceSettled(): void {
    this.#inFlight--
    this.start()
  }

  #settle(): void {
    const keyCount = this.#sorted.keys.length
    if (this.#error === undefined) {
      assert(this.#keysDone === keyCount, 'every key of the batch was answered')
      this.#resolve(this.found)
    } else {
      this.#reject(withProgress(this.#error, this.kind, this.#keysDone, keyCount))
    }
  }
}

/** For a write that stopped half-way: how much of it is known to be done. */
function withProgress(
  error: PolyraftError,
  kind: BatchKind,
  keysDone: number,
  keyCount: number,
): PolyraftError {
  if (kind === RawKind.BatchGet) return error
  return new PolyraftError(
    error.code,
    `${keysDone} of ${keyCount} keys are known to be written: ${error.message}`,
    { ...error.data, keysDone, keyCount },
    { cause: error },
  )
}

class BatchPiece implements Settler {
  #batch: Batch
  #from: number
  #to: number

  constructor(batch: Batch, from: number, to: number) {
    this.#batch = batch
    this.#from = from
    this.#to = to
  }

  fit(call: Call, request: RawRequest, region: Region): void {
    const end = this.#batch.endInRegion(this.#from, this.#to, region)
    if (end === this.#to) return
    const to = this.#to
    this.#to = end
    this.#batch.assign(request, this.#from, end)
    this.#batch.submit(end, to, call)
  }

  succeed(_request: RawRequest, response: RawResponse): void {
    if (this.#batch.kind === RawKind.BatchGet) {
      const pairs = response.pairs
      for (let i = 0; i + 1 < pairs.length; i += 2) {
        this.#batch.found.set(pairs[i]!.toString('latin1'), pairs[i + 1]!)
      }
    }
    this.#batch.onPieceDone(this.#to - this.#from)
  }

  fail(error: PolyraftError): void {
    const tooLarge = error.message.startsWith(GET_ANSWER_TOO_LARGE)
    if (tooLarge && this.#to - this.#from > 1) this.#batch.halve(this.#from, this.#to)
    else this.#batch.onPieceFailed(error)
  }
}
