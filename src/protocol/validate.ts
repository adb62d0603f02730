/**
 * What is wrong with a request in itself, before anything is done for it. The client asks before it
 * sends, the server before it executes, so both say the same.
 */
import { compareBytes } from '../base/bytes.ts'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX } from '../base/limits.ts'
import { RawKind, type RawRequest } from './raw.ts'
import { notSupported } from './tikvpb.ts'

const API_V1 = 0
/** Bounds of a scan may be a longest key and a zero byte: the first key behind it. */
const BOUND_BYTES_MAX = KEY_BYTES_MAX + 1
/** Of a name that is repeated: errors travel in headers of HTTP/2 too, whose length is limited. */
const SHOWN_LENGTH_MAX = 64

/** The error text, or undefined when the request can be executed. @hot */
export function validateRequest(request: RawRequest): string | undefined {
  if (request.apiVersion !== API_V1) {
    return `API version ${request.apiVersion} is not supported by this server, use V1 (0)`
  }
  if (request.cf !== '' && !isColumnFamily(request.cf)) {
    return `column family "${shown(request.cf)}" does not exist, there are default, lock and write`
  }
  return validateOperands(request) ?? validateTtls(request)
}

/** The cut may go through a surrogate pair, half of which no header can hold. */
function shown(name: string): string {
  if (name.length <= SHOWN_LENGTH_MAX) return name
  return `${name.slice(0, SHOWN_LENGTH_MAX).toWellFormed()}…`
}

function isColumnFamily(cf: string): boolean {
  return cf === 'default' || cf === 'lock' || cf === 'write'
}

function validateOperands(request: RawRequest): string | undefined {
  switch (request.kind) {
    case RawKind.Get:
    case RawKind.Delete:
      return validateKey(request.key)
    case RawKind.Put:
      return validateKey(request.key) ?? validateValue(request.value)
    case RawKind.BatchGet:
    case RawKind.BatchDelete:
      return validateKeys(request.keys)
    case RawKind.BatchPut:
      return validatePairs(request.keys, request.values)
    case RawKind.Scan:
      return validateScan(request)
  }
}

function validateKey(key: Buffer): string | undefined {
  if (key.length === 0) return 'key is empty'
  if (key.length <= KEY_BYTES_MAX) return undefined
  return `key is ${key.length} bytes long, the limit is ${KEY_BYTES_MAX}`
}

function validateValue(value: Buffer): string | undefined {
  if (value.length <= ENTRY_BYTES_MAX) return undefined
  return `value is ${value.length} bytes long, the limit is ${ENTRY_BYTES_MAX}`
}

function validateKeys(keys: readonly Buffer[]): string | undefined {
  for (let i = 0; i < keys.length; i++) {
    const error = validateKey(keys[i]!)
    if (error !== undefined) return error
  }
  return undefined
}

function validatePairs(keys: readonly Buffer[], values: readonly Buffer[]): string | undefined {
  if (keys.length !== values.length) {
    return `${keys.length} keys have ${values.length} values`
  }
  for (let i = 0; i < values.length; i++) {
    const error = validateValue(values[i]!)
    if (error !== undefined) return error
  }
  return validateKeys(keys)
}

function validateScan(request: RawRequest): string | undefined {
  const { key, endKey } = request
  const longest = Math.max(key.length, endKey.length)
  if (longest > BOUND_BYTES_MAX) {
    return `scan bound is ${longest} bytes long, the limit is ${BOUND_BYTES_MAX}`
  }
  // Only two bounds can be the wrong way round: an empty one is open. An empty range is allowed.
  if (key.length === 0 || endKey.length === 0) return undefined
  const order = compareBytes(key, endKey)
  if (request.reverse ? order >= 0 : order <= 0) return undefined
  return request.reverse
    ? 'scan range is the wrong way round: start_key of a reverse scan is its upper bound'
    : 'scan range is the wrong way round: start_key is above end_key'
}

function validateTtls(request: RawRequest): string | undefined {
  const { ttls } = request
  if (ttls.length === 0) return undefined
  if (ttls.length > 1 && ttls.length !== request.keys.length) {
    return `${ttls.length} ttls for ${request.keys.length} keys: give none, one, or one a key`
  }
  for (const ttl of ttls) {
    if (ttl !== 0) return notSupported('TTL')
  }
  return undefined
}
