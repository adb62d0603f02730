/**
 * Scans over one native iterator, in chunks, so that a long one neither holds a pool thread nor
 * turns thousands of rows into buffers in one go.
 *
 * The iterator is made, and so its moment fixed, inside the call; it is closed only when no
 * asynchronous step of it runs. Every returned buffer owns exactly its bytes.
 */
import { assert } from '../base/assert.ts'
import { EMPTY_BYTES } from '../base/bytes.ts'
import { MIB } from '../base/limits.ts'
import type {
  NativeBinding,
  NativeChunk,
  NativeColumn,
  NativeDatabase,
  NativeIterator,
} from './native.ts'
import type { ScanOptions, ScanResult } from './port.ts'

const CHUNK_ROWS_MAX = 1024
const CHUNK_BYTES_MAX = MIB
/** Longer scans are one-off passes that must not push the working set out of the cache. */
const CACHED_SCAN_ROWS_MAX = 256

export function openIterator(
  native: NativeBinding,
  database: NativeDatabase,
  column: NativeColumn,
  options: ScanOptions,
): NativeIterator {
  const bytesMax = Math.max(0, Math.min(options.bytesMax - 1, CHUNK_BYTES_MAX))
  return native.iterator_init(database, {
    column,
    ...(options.start.length > 0 ? { gte: options.start } : {}),
    lt: options.end,
    reverse: options.reverse,
    keys: true,
    values: !options.keysOnly,
    keyEncoding: 'buffer',
    valueEncoding: 'buffer',
    highWaterMarkBytes: bytesMax,
    fillCache: options.limit <= CACHED_SCAN_ROWS_MAX,
  })
}

/** Gathers chunks and knows when the limits are reached. */
class Rows {
  readonly rows: Buffer[]
  #bytes: number
  readonly #options: ScanOptions

  constructor(options: ScanOptions) {
    this.rows = []
    this.#bytes = 0
    this.#options = options
  }

  wanted(): number {
    return Math.min(this.#options.limit - this.rows.length / 2, CHUNK_ROWS_MAX)
  }

  /** The result, when this chunk ends the scan. */
  add(chunk: NativeChunk): ScanResult | undefined {
    assert(chunk.finished || chunk.rows.length > 0, 'an unfinished scan makes progress')
    const { limit, bytesMax, keysOnly } = this.#options
    for (let i = 0; i < chunk.rows.length; i += 2) {
      const key = chunk.rows[i]!
      const value = keysOnly ? EMPTY_BYTES : chunk.rows[i + 1]!
      this.rows.push(key, value)
      this.#bytes += key.length + value.length
      const full = this.rows.length / 2 >= limit || this.#bytes >= bytesMax
      if (full) return { rows: this.rows, complete: false }
    }
    return chunk.finished ? { rows: this.rows, complete: true } : undefined
  }
}

export function collectSync(
  native: NativeBinding,
  iterator: NativeIterator,
  options: ScanOptions,
): ScanResult {
  const rows = new Rows(options)
  try {
    for (;;) {
      const result = rows.add(native.iterator_nextv_sync(iterator, rows.wanted()))
      if (result !== undefined) return result
    }
  } finally {
    native.iterator_close(iterator)
  }
}

export async function collect(
  native: NativeBinding,
  iterator: NativeIterator,
  options: ScanOptions,
): Promise<ScanResult> {
  const rows = new Rows(options)
  try {
    for (;;) {
      const result = rows.add(await nextChunk(native, iterator, rows.wanted()))
      if (result !== undefined) return result
    }
  } finally {
    native.iterator_close(iterator)
  }
}

export function nextChunk(
  native: NativeBinding,
  iterator: NativeIterator,
  count: number,
): Promise<NativeChunk> {
  return new Promise((resolve, reject) => {
    native.iterator_nextv(iterator, count, (error, chunk) => {
      if (error) reject(error)
      else resolve(chunk)
    })
  })
}
