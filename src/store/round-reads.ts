/**
 * Runs the reads that peers have cleared in a round: all point reads of a column family in one call
 * into the engine, scans one by one off the thread.
 */
import { compareBytes } from '../base/bytes.ts'
import { errorMessage } from '../base/errors.ts'
import { MIB, SCAN_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { columnFamilyNumber } from '../command/column-family.ts'
import { decodeStoredValue } from '../command/stored-value.ts'
import type { ColumnFamily, KvReader } from '../engine/port.ts'
import type { ReadExecutor } from '../peer/ports.ts'
import {
  errorResponse,
  OK_RESPONSE,
  pairsResponse,
  RawKind,
  type RawRequest,
  type RawResponse,
  SCAN_ANSWER_TOO_LARGE,
  valueResponse,
} from '../protocol/raw.ts'
import { dataEndKey, dataKey, userKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'

const USER_FAMILIES = 3

export class RoundReads implements ReadExecutor {
  readonly #engine: KvReader
  readonly #logger: Logger
  readonly #release: (request: RawRequest) => void
  /** By column family. */
  readonly #requests: RawRequest[][] = []
  readonly #keys: Buffer[][] = []
  #waiting = 0
  /** Scans under way. */
  #scans = 0

  constructor(engine: KvReader, logger: Logger, release: (request: RawRequest) => void) {
    this.#engine = engine
    this.#logger = logger
    this.#release = release
    for (let cf = 0; cf < USER_FAMILIES; cf++) {
      this.#requests.push([])
      this.#keys.push([])
    }
  }

  get scansRunning(): number {
    return this.#scans
  }

  // @hot bench: store
  read(request: RawRequest, region: Region): void {
    const cf = columnFamilyNumber(request.cf) ?? 0
    if (request.kind === RawKind.Scan) {
      this.#scan(request, region, cf as ColumnFamily)
      return
    }
    const keys = this.#keys[cf]!
    if (request.kind === RawKind.Get) keys.push(dataKey(request.key))
    else for (const key of request.keys) keys.push(dataKey(key))
    this.#requests[cf]!.push(request)
    this.#waiting++
  }

  /** Ends the round. */
  flush(): void {
    if (this.#waiting === 0) return
    this.#waiting = 0
    for (let cf = 0; cf < USER_FAMILIES; cf++) {
      if (this.#requests[cf]!.length > 0) this.#flushFamily(cf as ColumnFamily)
    }
  }

  /** Reads that were queued into a round that will not end. */
  takeWaiting(): RawRequest[] {
    this.#waiting = 0
    for (const keys of this.#keys) keys.length = 0
    return this.#requests.flatMap((requests) => requests.splice(0))
  }

  #flushFamily(cf: ColumnFamily): void {
    const requests = this.#requests[cf]!
    const keys = this.#keys[cf]!
    this.#requests[cf] = []
    this.#keys[cf] = []
    let values: (Buffer | undefined)[]
    try {
      values = this.#engine.getMany(cf, keys)
    } catch (error) {
      for (const request of requests) this.#answer(request, this.#failure(request, error))
      return
    }
    let at = 0
    for (const request of requests) {
      this.#answer(request, this.#found(request, values, at))
      at += request.kind === RawKind.Get ? 1 : request.keys.length
    }
  }

  /** A value that makes no sense is an error of who asked for it; the others get their answers. */
  #found(
    request: RawRequest,
    values: readonly (Buffer | undefined)[],
    offset: number,
  ): RawResponse {
    try {
      if (request.kind !== RawKind.Get) return batchResponse(request.keys, values, offset)
      const stored = values[offset]
      return valueResponse(stored === undefined ? undefined : decodeStoredValue(stored))
    } catch (error) {
      return this.#failure(request, error)
    }
  }

  #scan(request: RawRequest, region: Region, cf: ColumnFamily): void {
    const { start, end } = scanBounds(request, region)
    if (request.limit === 0 || compareBytes(start, end) >= 0) {
      this.#answer(request, OK_RESPONSE)
      return
    }
    const { limit, reverse, keyOnly: keysOnly } = request
    this.#scans++
    this.#engine
      .scan(cf, { start, end, limit, bytesMax: SCAN_BYTES_MAX, reverse, keysOnly })
      .then(({ rows, complete }) => scanResponse(rows, complete, limit, keysOnly))
      .catch((error: unknown) => this.#failure(request, error))
      .then((response) => {
        this.#scans--
        this.#answer(request, response)
      })
  }

  #failure(request: RawRequest, error: unknown): RawResponse {
    this.#logger.error({ region: request.regionId, error: errorMessage(error) }, 'a read failed')
    return errorResponse(`the read failed on the store: ${errorMessage(error)}`)
  }

  #answer(request: RawRequest, response: RawResponse): void {
    this.#release(request)
    request.sink.respond(request, response)
  }
}

function batchResponse(
  keys: readonly Buffer[],
  values: readonly (Buffer | undefined)[],
  offset: number,
): RawResponse {
  const pairs: Buffer[] = []
  for (let i = 0; i < keys.length; i++) {
    const stored = values[offset + i]
    if (stored !== undefined) pairs.push(keys[i]!, decodeStoredValue(stored))
  }
  return pairsResponse(pairs)
}

/** What is asked for, within the region. Forward: [key, endKey); reverse: [endKey, key). */
function scanBounds(request: RawRequest, region: Region): { start: Buffer; end: Buffer } {
  const low = request.reverse ? request.endKey : request.key
  const high = request.reverse ? request.key : request.endKey
  const start = compareBytes(low, region.startKey) > 0 ? low : region.startKey
  const regionEnd = dataEndKey(region.endKey)
  const asked = dataEndKey(high)
  return { start: dataKey(start), end: compareBytes(asked, regionEnd) < 0 ? asked : regionEnd }
}

/**
 * A client takes fewer rows than it asked for as the end of the region, so an answer is never cut
 * short in silence: one that is too large is an error that says what to do.
 */
function scanResponse(
  rows: Buffer[],
  complete: boolean,
  limit: number,
  keysOnly: boolean,
): RawResponse {
  if (!complete && rows.length / 2 < limit) {
    return errorResponse(`${SCAN_ANSWER_TOO_LARGE} ${SCAN_BYTES_MAX / MIB} MiB: ask for fewer rows`)
  }
  for (let i = 0; i < rows.length; i += 2) {
    rows[i] = userKey(rows[i]!)
    if (!keysOnly) rows[i + 1] = decodeStoredValue(rows[i + 1]!)
  }
  return pairsResponse(rows)
}
