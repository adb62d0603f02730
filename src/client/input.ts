/** What callers give, made into bytes and checked before anything is sent. */
import { EMPTY_BYTES } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX, SCAN_ROWS_MAX } from '../base/limits.ts'
import { mustBeKnown, type OptionNames } from '../base/options.ts'
import type { Bytes, KeyOptions, PutOptions, ScanOptions } from './kv-client.ts'

/** Where the rest of its entry pushes it over the limit, the store says RaftEntryTooLarge. */
export const VALUE_BYTES_MAX = ENTRY_BYTES_MAX

const COLUMN_FAMILIES: ReadonlySet<string> = new Set(['', 'default', 'lock', 'write'])
const PAGE_ROWS = 1024

/** Copies: the caller may use its buffer again before the request is sent, or sent again. */
function toBytes(input: Bytes): Buffer {
  if (typeof input === 'string') return textBytes(input)
  if (input instanceof Uint8Array) return Buffer.from(input)
  throw new PolyraftError(
    'InvalidArgument',
    `keys and values are strings or Uint8Arrays, not ${input === null ? 'null' : typeof input}`,
  )
}

/** For calls that take bytes as they are: of anything else, other bytes than it shows would be stored. */
// @hot
export function mustBeBuffer(given: Buffer): void {
  if (Buffer.isBuffer(given)) return
  throw new PolyraftError(
    'InvalidArgument',
    `putCallback and getCallback take Buffers, not ${given === null ? 'null' : typeof given}`,
  )
}

export function mustBeCallback(callback: unknown): void {
  if (typeof callback === 'function') return
  throw new PolyraftError('InvalidArgument', 'putCallback and getCallback take a callback')
}

/** What UTF-8 has no bytes for would become one and the same replacement character. */
function textBytes(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text, 'utf8')
  throw new PolyraftError(
    'InvalidArgument',
    'a string holds half of a surrogate pair, which has no UTF-8: give bytes as a Uint8Array',
  )
}

export function toKey(input: Bytes): Buffer {
  const key = toBytes(input)
  checkKey(key)
  return key
}

/** Strings are iterable too, but their letters are not what was meant. */
export function toIterable<T>(input: Iterable<T>): Iterable<T> {
  const given: unknown = input
  if (typeof given === 'object' && given !== null && Symbol.iterator in given) return input
  throw new PolyraftError('InvalidArgument', 'a batch is an iterable, such as an array')
}

export function* toPairs<T>(input: Iterable<readonly [T, T]>): Iterable<readonly [T, T]> {
  for (const pair of toIterable(input)) {
    if (!Array.isArray(pair)) {
      throw new PolyraftError('InvalidArgument', 'a batch of puts holds [key, value] pairs')
    }
    yield pair
  }
}

export function checkKey(key: Buffer): void {
  if (key.length === 0) throw new PolyraftError('KeyEmpty', 'a key has at least one byte')
  checkKeyLength(key)
}

function checkKeyLength(key: Buffer): void {
  if (key.length <= KEY_BYTES_MAX) return
  throw new PolyraftError(
    'KeyTooLarge',
    `the key has ${key.length} bytes, at most ${KEY_BYTES_MAX} are allowed`,
    { bytes: key.length, bytesMax: KEY_BYTES_MAX },
  )
}

export function toValue(input: Bytes): Buffer {
  const value = toBytes(input)
  checkValue(value)
  return value
}

export function checkValue(value: Buffer): void {
  if (value.length <= VALUE_BYTES_MAX) return
  throw new PolyraftError(
    'ValueTooLarge',
    `the value has ${value.length} bytes, at most ${VALUE_BYTES_MAX} are allowed: cut it up`,
    { bytes: value.length, bytesMax: VALUE_BYTES_MAX },
  )
}

/** '' for the default column family, as the wire wants it. */
export function toColumnFamily(cf: string | undefined): string {
  if (cf === undefined || cf === 'default') return ''
  if (!COLUMN_FAMILIES.has(cf)) {
    throw new PolyraftError(
      'UnknownColumnFamily',
      `there is no column family ${JSON.stringify(cf)}: use default, lock or write`,
      { cf },
    )
  }
  return cf
}

const KEY_OPTIONS: OptionNames<KeyOptions> = { cf: true }
const PUT_OPTIONS: OptionNames<PutOptions> = { cf: true, ttlSeconds: true }
const SCAN_OPTIONS: OptionNames<ScanOptions> = {
  cf: true,
  start: true,
  end: true,
  limit: true,
  reverse: true,
  keysOnly: true,
  pageRows: true,
}

/** The column family, as the wire wants it. */
export function checkKeyOptions(call: string, options: KeyOptions | undefined): string {
  if (options === undefined) return ''
  mustBeKnown(call, options, KEY_OPTIONS)
  return toColumnFamily(options.cf)
}

/** Likewise. */
export function checkPutOptions(call: string, options: PutOptions | undefined): string {
  if (options === undefined) return ''
  mustBeKnown(call, options, PUT_OPTIONS)
  if (options.ttlSeconds !== undefined) throw unsupported('a time to live (ttlSeconds)')
  return toColumnFamily(options.cf)
}

export function unsupported(what: string): PolyraftError {
  return new PolyraftError('Unsupported', `${what} is not supported by polyraft servers yet`)
}

export interface ScanRange {
  readonly start: Buffer
  readonly end: Buffer
  readonly limit: number
  readonly pageRows: number
  readonly reverse: boolean
  readonly keysOnly: boolean
  readonly cf: string
}

export function toScanRange(options: ScanOptions): ScanRange {
  mustBeKnown('scan', options, SCAN_OPTIONS)
  const start = options.start === undefined ? EMPTY_BYTES : toBytes(options.start)
  const end = options.end === undefined ? EMPTY_BYTES : toBytes(options.end)
  checkKeyLength(start)
  checkKeyLength(end)
  if (end.length > 0 && Buffer.compare(start, end) > 0) {
    throw new PolyraftError(
      'InvalidRange',
      'the start of a scan lies behind its end: start is the lower key, also for reverse scans',
    )
  }
  const pageRows = toCount('pageRows', options.pageRows ?? PAGE_ROWS)
  return {
    start,
    end,
    limit: options.limit === undefined ? Number.POSITIVE_INFINITY : toCount('limit', options.limit),
    pageRows: Math.min(Math.max(pageRows, 1), SCAN_ROWS_MAX),
    reverse: options.reverse ?? false,
    keysOnly: options.keysOnly ?? false,
    cf: toColumnFamily(options.cf),
  }
}

function toCount(name: string, value: number): number {
  if (value === Number.POSITIVE_INFINITY || (Number.isSafeInteger(value) && value >= 0))
    return value
  throw new PolyraftError('InvalidArgument', `${name} is a whole number of rows, not ${value}`)
}
