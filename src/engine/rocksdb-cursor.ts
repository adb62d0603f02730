/**
 * A cursor over one native iterator, which pins the moment in which it was made.
 *
 * INVARIANT: one asynchronous step at a time, and none runs when the iterator is closed: either
 * crashes the process.
 */
import { assert } from '../base/assert.ts'
import type { NativeBinding, NativeColumn, NativeDatabase, NativeIterator } from './native.ts'
import type { KvCursor, ScanResult } from './port.ts'
import { readError } from './rocksdb-errors.ts'
import { nextChunk, openIterator } from './rocksdb-scan.ts'

/** The chunk ends by bytes; this only bounds a chunk of tiny rows. */
const ROWS_MAX = 4096
/** Rows become buffers on the calling thread: in pieces that do not hold it up. */
const CHUNK_BYTES = 64 * 1024

export class RocksCursor implements KvCursor {
  readonly #native: NativeBinding
  readonly #iterator: NativeIterator
  readonly #onClose: () => void
  #running = false
  #closed = false

  constructor(
    native: NativeBinding,
    database: NativeDatabase,
    column: NativeColumn,
    start: Buffer,
    end: Buffer,
    onClose: () => void,
  ) {
    this.#native = native
    this.#onClose = onClose
    this.#iterator = openIterator(native, database, column, {
      start,
      end,
      limit: Number.MAX_SAFE_INTEGER,
      bytesMax: CHUNK_BYTES,
      reverse: false,
      keysOnly: false,
    })
  }

  async next(bytesMax: number): Promise<ScanResult> {
    assert(!this.#running && !this.#closed, 'an open cursor does one step at a time')
    this.#running = true
    const rows: Buffer[] = []
    let bytes = 0
    try {
      while (bytes < bytesMax) {
        const chunk = await nextChunk(this.#native, this.#iterator, ROWS_MAX)
        for (const row of chunk.rows) {
          rows.push(row!)
          bytes += row!.length
        }
        if (chunk.finished) return { rows, complete: true }
      }
      return { rows, complete: false }
    } catch (error) {
      throw readError(error)
    } finally {
      this.#running = false
    }
  }

  close(): void {
    assert(!this.#running, 'a cursor is closed between its steps')
    if (this.#closed) return
    this.#closed = true
    this.#native.iterator_close(this.#iterator)
    this.#onClose()
  }
}
