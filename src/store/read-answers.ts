/** What the engine found, as answers to the requests that asked for it. */
import { GET_BYTES_MAX, MIB, SCAN_ANSWER_ROWS_MAX, SCAN_BYTES_MAX } from '../base/limits.ts'
import { decodeStoredValue } from '../command/stored-value.ts'
import type { ScanResult } from '../engine/port.ts'
import {
  errorResponse,
  GET_ANSWER_TOO_LARGE,
  pairsResponse,
  RawKind,
  type RawRequest,
  type RawResponse,
  SCAN_ANSWER_TOO_LARGE,
  valueResponse,
} from '../protocol/raw.ts'
import { userKey } from '../region/keys.ts'

/** What a pair takes in an answer besides its key and value, at most. */
export const PAIR_OVERHEAD_BYTES = 16

/** Keys of a point read. */
export function keyCount(request: RawRequest): number {
  return request.kind === RawKind.Get ? 1 : request.keys.length
}

/** What a read took from its region; nothing when it failed. */
export function readVolume(
  request: RawRequest,
  { regionError, error, value, pairs }: RawResponse,
): { keys: number; bytes: number } {
  if (regionError !== undefined || error !== '') return NOTHING
  if (request.kind === RawKind.Get) return { keys: 1, bytes: value?.length ?? 0 }
  const keys = request.kind === RawKind.Scan ? pairs.length / 2 : request.keys.length
  let bytes = 0
  for (let i = 0; i < pairs.length; i++) bytes += pairs[i]!.length
  return { keys, bytes }
}

const NOTHING = { keys: 0, bytes: 0 }

/** The answer to a point read whose values begin at `offset`; undefined when one was not read. */
export function pointResponse(
  request: RawRequest,
  values: readonly (Buffer | undefined | null)[],
  offset: number,
): RawResponse | undefined {
  if (request.kind === RawKind.Get) {
    const stored = values[offset]
    if (stored === null) return undefined
    return valueResponse(stored === undefined ? undefined : decodeStoredValue(stored))
  }
  const { keys } = request
  const pairs: Buffer[] = []
  for (let i = 0; i < keys.length; i++) {
    const stored = values[offset + i]
    if (stored === null) return undefined
    if (stored !== undefined) pairs.push(keys[i]!, decodeStoredValue(stored))
  }
  return pairsResponse(pairs)
}

export function getAnswerTooLarge(): RawResponse {
  return errorResponse(`${GET_ANSWER_TOO_LARGE} ${GET_BYTES_MAX / MIB} MiB: ask for fewer keys`)
}

/**
 * A client takes fewer rows than it asked for as the end of the region, so an answer is never cut
 * short in silence: one that is too large is an error that says what to do.
 */
export function scanResponse(
  { rows, complete }: ScanResult,
  limit: number,
  keysOnly: boolean,
): RawResponse {
  if (!complete && rows.length / 2 < limit) {
    const many = rows.length / 2 >= SCAN_ANSWER_ROWS_MAX
    const most = many ? `${SCAN_ANSWER_ROWS_MAX} rows` : `${SCAN_BYTES_MAX / MIB} MiB`
    return errorResponse(`${SCAN_ANSWER_TOO_LARGE} ${most}: ask for fewer rows`)
  }
  for (let i = 0; i < rows.length; i += 2) {
    rows[i] = userKey(rows[i]!)
    if (!keysOnly) rows[i + 1] = decodeStoredValue(rows[i + 1]!)
  }
  return pairsResponse(rows)
}
