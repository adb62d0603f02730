/**
 * Scans: pages of one region each, one page fetched ahead of the consumer. The range is always
 * [start, end) with start ≤ end; going in reverse only turns the order around.
 *
 *   forward   cursor ▶ . . . . end      a page covers [cursor, min(end, region end))
 *   reverse   start . . . . ◀ cursor    a page covers [max(start, region start), cursor)
 *
 * A page whose answer would be too large for the store is asked for again with half the rows.
 */
import { compareBytes } from '../base/bytes.ts'
import type { PolyraftError } from '../base/errors.ts'
import { SCAN_BYTES_MAX } from '../base/limits.ts'
import { RawKind, RawRequest, type RawResponse, SCAN_ANSWER_TOO_LARGE } from '../protocol/raw.ts'
import type { Region } from '../region/region.ts'
import type { Call, Reject, Settler } from './call.ts'
import type { Dispatcher } from './dispatcher.ts'
import type { ScanRange } from './input.ts'
import type { Row, Scan } from './kv-client.ts'

/**
 * A page shorter than asked means that the region has no more, unless the server cut it by size. It
 * may count a little differently, so half of its limit is enough to ask again.
 */
const CUT_BYTES_MIN = SCAN_BYTES_MAX / 2
/** A page below it leaves room for one of twice the rows. */
const GROW_BYTES_MAX = SCAN_BYTES_MAX / 4
const ZERO = Buffer.from([0])

interface Page {
  readonly rows: Row[]
  /** Where the next page begins; undefined = the range is done. */
  readonly cursor: Buffer | undefined
  /** Rows to ask for next: fewer after an answer that was too large, then slowly more again. */
  readonly nextRows: number
}

export class RegionScan implements Scan {
  #dispatcher: Dispatcher
  #range: ScanRange

  constructor(dispatcher: Dispatcher, range: ScanRange) {
    this.#dispatcher = dispatcher
    this.#range = range
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Row, void, undefined> {
    for await (const rows of this.pages()) yield* rows
  }

  async *pages(): AsyncGenerator<readonly Row[], void, undefined> {
    const { limit, pageRows } = this.#range
    let left = limit
    let next = this.#isEmpty() ? undefined : this.#fetch(this.#firstCursor(), left, pageRows)
    while (next !== undefined) {
      const page: Page = await next
      const { cursor, nextRows } = page
      left -= page.rows.length
      next = cursor === undefined || left <= 0 ? undefined : this.#fetch(cursor, left, nextRows)
      // Should the consumer leave before it asks for that page, its failure concerns nobody.
      next?.catch(() => {})
      if (page.rows.length > 0) yield page.rows
    }
  }

  #isEmpty(): boolean {
    const { start, end, limit } = this.#range
    return limit <= 0 || (end.length > 0 && compareBytes(start, end) >= 0)
  }

  #firstCursor(): Buffer {
    return this.#range.reverse ? this.#range.end : this.#range.start
  }

  #fetch(cursor: Buffer, left: number, rows: number): Promise<Page> {
    return new Promise((resolve, reject) => {
      const rowsMax = Math.min(left, rows)
      new PageFetch(this.#dispatcher, this.#range, cursor, rowsMax, resolve, reject).submit()
    })
  }
}

class PageFetch implements Settler {
  #dispatcher: Dispatcher
  #range: ScanRange
  #cursor: Buffer
  #rows: number
  #resolve: (page: Page) => void
  #reject: Reject

  constructor(
    dispatcher: Dispatcher,
    range: ScanRange,
    cursor: Buffer,
    rows: number,
    resolve: (page: Page) => void,
    reject: Reject,
  ) {
    this.#dispatcher = dispatcher
    this.#range = range
    this.#cursor = cursor
    this.#rows = rows
    this.#resolve = resolve
    this.#reject = reject
  }

  /** Throws when the client is closed or full. */
  submit(): void {
    const dispatcher = this.#dispatcher
    const nowMs = dispatcher.nowMs()
    const request = new RawRequest(RawKind.Scan, dispatcher, 0)
    request.cf = this.#range.cf
    request.key = this.#cursor
    request.limit = this.#rows
    request.keyOnly = this.#range.keysOnly
    request.reverse = this.#range.reverse
    const call = dispatcher.take(nowMs + dispatcher.timeoutMs)
    call.settler = this
    dispatcher.submit(call, request, nowMs)
  }

  fit(_call: Call, request: RawRequest, region: Region): void {
    request.endKey = request.reverse
      ? higher(this.#range.start, region.startKey)
      : lowerEnd(this.#range.end, region.endKey)
  }

  succeed(request: RawRequest, response: RawResponse): void {
    const rows: Row[] = []
    let bytes = 0
    for (let i = 0; i + 1 < response.pairs.length; i += 2) {
      const row: Row = [response.pairs[i]!, response.pairs[i + 1]!]
      bytes += row[0].length + row[1].length
      rows.push(row)
    }
    const cut = rows.length >= request.limit || (rows.length > 0 && bytes >= CUT_BYTES_MIN)
    const last = rows.at(-1)
    const cursor = cut && last !== undefined ? after(last[0], request.reverse) : request.endKey
    this.#resolve({
      rows,
      cursor: this.#isDone(cursor) ? undefined : cursor,
      nextRows:
        bytes <= GROW_BYTES_MAX ? Math.min(this.#rows * 2, this.#range.pageRows) : this.#rows,
    })
  }

  fail(error: PolyraftError): void {
    if (this.#rows === 1 || !error.message.startsWith(SCAN_ANSWER_TOO_LARGE)) {
      this.#reject(error)
      return
    }
    this.#rows = Math.ceil(this.#rows / 2)
    try {
      this.submit()
    } catch (refusal) {
      this.#reject(refusal)
    }
  }

  #isDone(cursor: Buffer): boolean {
    const { start, end, reverse } = this.#range
    if (reverse) return compareBytes(cursor, start) <= 0
    return cursor.length === 0 || (end.length > 0 && compareBytes(cursor, end) >= 0)
  }
}

/** The bound that excludes this key and leaves out nothing behind it. */
function after(key: Buffer, reverse: boolean): Buffer {
  return reverse ? key : Buffer.concat([key, ZERO])
}

function higher(a: Buffer, b: Buffer): Buffer {
  return compareBytes(a, b) >= 0 ? a : b
}

/** The lower of two ends, where empty is the end of the key space. */
function lowerEnd(a: Buffer, b: Buffer): Buffer {
  if (a.length === 0) return b
  if (b.length === 0) return a
  return compareBytes(a, b) <= 0 ? a : b
}
