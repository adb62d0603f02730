/**
 * What both adapters refuse before anything reaches a native call. A wrong key is a bug of the
 * caller, so it is an assertion; RocksDB itself would abort the process or hang at close.
 */
import { AssertionError, assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { COLUMN_FAMILY_NAMES, GET_MANY_BYTES_MAX, type ScanOptions } from './port.ts'

// @hot: once per key; the message is built only on failure.
export function mustBeKey(key: unknown): void {
  if (!(key instanceof Uint8Array)) throw new AssertionError('an engine key is a Uint8Array')
  if (key.length === 0) throw new AssertionError('an engine key is never empty')
}

// @hot
export function mustBeFamily(cf: number): void {
  if (COLUMN_FAMILY_NAMES[cf] === undefined) throw new AssertionError(`no column family ${cf}`)
}

// @hot
export function mustBeValue(value: unknown): void {
  if (!(value instanceof Uint8Array)) throw new AssertionError('an engine value is a Uint8Array')
}

/** An empty end would mean "nothing" to one reader and "everything" to another: refused. */
export function mustBeRange(start: Buffer, end: Buffer): void {
  mustBeValue(start)
  mustBeKey(end)
}

export function mustBeBytesMax(bytesMax: number): void {
  if (bytesMax < 1 || bytesMax > GET_MANY_BYTES_MAX) {
    throw new AssertionError('a multi-get has a limit of 1 byte to 2 GiB')
  }
}

export function mustBeScan(options: ScanOptions): void {
  mustBeRange(options.start, options.end)
  assert(options.limit >= 0, 'a scan has a limit of 0 rows or more')
  assert(options.bytesMax >= 0, 'a scan has a limit of 0 bytes or more')
}

/** True for a range that holds no key, including one whose bounds are the wrong way round. */
export function isEmptyRange(start: Buffer, end: Buffer): boolean {
  return Buffer.compare(start, end) >= 0
}

export function closedError(): PolyraftError {
  return new PolyraftError('Closed', 'the key-value engine is closed; open it again to use it')
}
