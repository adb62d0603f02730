/**
 * RocksDB as a KvEngine: synchronous reads and writes on the calling thread, scans in the pool.
 *
 * INVARIANTS
 * - The binding checks nothing, so every native call here stands behind `#mustBeOpen`.
 * - close() first refuses new work, then waits for scans in flight, then closes.
 * - Only the owner closes the database, and only after attached threads have ended.
 * - Reads go on after a failed write; writes do not.
 */
import { AssertionError, assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import {
  closedError,
  isEmptyRange,
  mustBeBytesMax,
  mustBeFamily,
  mustBeKey,
  mustBeRange,
  mustBeScan,
} from './arguments.ts'
import type {
  ColumnOption,
  NativeBatch,
  NativeBinding,
  NativeColumn,
  NativeColumns,
  NativeDatabase,
} from './native.ts'
import {
  COLUMN_FAMILY_NAMES,
  ColumnFamily,
  GET_MANY_BYTES_MAX,
  type KvBatch,
  type KvCursor,
  type ScanOptions,
  type ScanResult,
  type SharedKvEngine,
} from './port.ts'
import { BatchPool, RocksBatch } from './rocksdb-batch.ts'
import { RocksCursor } from './rocksdb-cursor.ts'
import { readError, writeError } from './rocksdb-errors.ts'
import { collect, collectSync, openIterator } from './rocksdb-scan.ts'
import { readStats } from './rocksdb-stats.ts'

/** An open database as the binding hands it over. */
export interface OpenedDatabase {
  readonly native: NativeBinding
  readonly database: NativeDatabase
  readonly columns: NativeColumns
  /** Of caches and memtables; 0 when another thread opened them. */
  readonly memoryBytesMax: number
}

type OnClose = (engine: RocksEngine) => void

const SYNCED = { sync: true } as const
const NO_ROWS: ScanResult = { rows: [], complete: true }

export class RocksEngine implements SharedKvEngine {
  readonly handle: bigint
  readonly #native: NativeBinding
  readonly #database: NativeDatabase
  readonly #columns: readonly NativeColumn[]
  readonly #options: readonly ColumnOption[]
  readonly #pool: BatchPool
  readonly #memoryBytesMax: number
  readonly #logger: Logger
  readonly #onClose: OnClose | undefined
  #broken: PolyraftError | undefined
  #scansInFlight: number
  #onIdle: (() => void) | undefined
  #closed: Promise<void> | undefined
  /** RocksDB's latest sequence before the last barrier; -1 before the first. */
  #syncedSequence: number

  /** `onClose` runs when the owner has closed the database; an attached engine has none. */
  constructor(opened: OpenedDatabase, logger: Logger, onClose: OnClose | undefined) {
    const { native, database, columns } = opened
    this.handle = native.db_get_handle(database)
    this.#native = native
    this.#database = database
    this.#columns = COLUMN_FAMILY_NAMES.map((name) => {
      const column = columns[name]
      assert(column !== undefined, `the database has the column family ${name}`)
      return column
    })
    this.#options = this.#columns.map((column, cf) =>
      cf === ColumnFamily.Default ? undefined : { column },
    )
    this.#pool = new BatchPool(native, this.#options)
    this.#memoryBytesMax = opened.memoryBytesMax
    this.#logger = logger
    this.#onClose = onClose
    this.#broken = undefined
    this.#scansInFlight = 0
    this.#onIdle = undefined
    this.#closed = undefined
    this.#syncedSequence = -1
  }

  get(cf: ColumnFamily, key: Uint8Array): Buffer | undefined {
    return this.getMany(cf, [key])[0] ?? undefined
  }

  // @hot: `bench engine`, cases get-many-1 and get-many-32
  getMany(
    cf: ColumnFamily,
    keys: readonly Uint8Array[],
    bytesMax = GET_MANY_BYTES_MAX,
  ): (Buffer | undefined | null)[] {
    this.#mustBeOpen()
    mustBeFamily(cf)
    mustBeBytesMax(bytesMax)
    if (keys.length === 0) return []
    for (let i = 0; i < keys.length; i++) mustBeKey(keys[i])
    const family = this.#options[cf]
    // The binding ends with the value that passes its mark, and without one at the largest there is.
    // One key is read whatever the mark, and to look the mark up would cost as much as a fifth of it.
    const unmarked = keys.length === 1 || bytesMax === GET_MANY_BYTES_MAX
    const options = unmarked ? family : { ...family, highWaterMarkBytes: bytesMax - 1 }
    try {
      return this.#native.db_get_many_sync(this.#database, keys, options)
    } catch (error) {
      throw readError(error)
    }
  }

  async scan(cf: ColumnFamily, options: ScanOptions): Promise<ScanResult> {
    const nothing = this.#checkScan(options)
    if (nothing !== undefined) return nothing
    this.#scansInFlight++
    try {
      const iterator = openIterator(this.#native, this.#database, this.#column(cf), options)
      return await collect(this.#native, iterator, options)
    } catch (error) {
      throw asReadError(error)
    } finally {
      this.#onReadEnd()
    }
  }

  scanSync(cf: ColumnFamily, options: ScanOptions): ScanResult {
    const nothing = this.#checkScan(options)
    if (nothing !== undefined) return nothing
    try {
      const iterator = openIterator(this.#native, this.#database, this.#column(cf), options)
      return collectSync(this.#native, iterator, options)
    } catch (error) {
      throw asReadError(error)
    }
  }

  openCursor(cf: ColumnFamily, start: Buffer, end: Buffer): KvCursor {
    this.#mustBeOpen()
    mustBeRange(start, end)
    const cursor = new RocksCursor(this.#native, this.#database, this.#column(cf), start, end, () =>
      this.#onReadEnd(),
    )
    this.#scansInFlight++
    return cursor
  }

  newBatch(): KvBatch {
    this.#mustBeOpen()
    return new RocksBatch(this.#pool)
  }

  // @hot: `bench engine`
  write(batch: KvBatch, options: { readonly sync: boolean }): void {
    this.#mustBeWritable()
    assert(batch instanceof RocksBatch, 'the batch was made by a RocksDB engine')
    assert(batch.pool === this.#pool, 'the batch was made by this engine')
    const native = batch.takeNative()
    if (batch.length > 0) {
      this.#writeNative(native, options)
    } else if (options.sync) {
      this.sync()
    }
    this.#pool.give(native, batch.bytes)
  }

  /**
   * An empty synced batch: a WAL record of no rows and no sequence number, whose fdatasync covers
   * every record before it, of any thread and in any WAL file. Nothing is written when no sequence
   * number was used since the last barrier.
   */
  sync(): void {
    this.#mustBeWritable()
    const sequence = this.#native.db_get_latest_sequence(this.#database)
    if (sequence === this.#syncedSequence) return
    const batch = this.#pool.take()
    this.#writeNative(batch, SYNCED)
    this.#pool.give(batch, 0)
    this.#syncedSequence = sequence
  }

  deleteRange(cf: ColumnFamily, start: Buffer, end: Buffer): void {
    this.#mustBeWritable()
    mustBeRange(start, end)
    if (isEmptyRange(start, end)) return
    const range = { column: this.#column(cf), gte: start, lt: end }
    try {
      this.#native.db_clear(this.#database, range)
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  stats(): Record<string, number> {
    this.#mustBeOpen()
    const stats = readStats(this.#native, this.#database)
    stats.rocksdb_memory_bytes_max = this.#memoryBytesMax
    return stats
  }

  close(): Promise<void> {
    this.#closed ??= this.#drainAndClose()
    return this.#closed
  }

  async #drainAndClose(): Promise<void> {
    this.#pool.open = false
    if (this.#scansInFlight > 0) {
      await new Promise<void>((resolve) => {
        this.#onIdle = resolve
      })
    }
    if (this.#onClose === undefined) return
    await this.#closeNative().finally(() => this.#onClose?.(this))
  }

  /** RocksDB is closed and its LOCK released even where it reports an error. */
  #closeNative(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#native.db_close(this.#database, (error) => {
        if (!error) return resolve()
        if (this.#broken === undefined) return reject(writeError(error))
        this.#logger.warn(
          { err: error },
          'RocksDB reported an error at close, after a failed write',
        )
        resolve()
      })
    })
  }

  #writeNative(batch: NativeBatch, options: { readonly sync: boolean }): void {
    try {
      this.#native.batch_write(this.#database, batch, options)
    } catch (error) {
      throw this.#breakWith(error)
    }
  }

  #breakWith(error: unknown): PolyraftError {
    this.#broken = writeError(error)
    this.#logger.error({ err: error }, this.#broken.message)
    return this.#broken
  }

  #onReadEnd(): void {
    this.#scansInFlight--
    if (this.#scansInFlight === 0) this.#onIdle?.()
  }

  /** The result of a scan that needs no iterator, after its checks. */
  #checkScan(options: ScanOptions): ScanResult | undefined {
    this.#mustBeOpen()
    mustBeScan(options)
    if (isEmptyRange(options.start, options.end)) return NO_ROWS
    return options.limit === 0 ? { rows: [], complete: false } : undefined
  }

  #column(cf: ColumnFamily): NativeColumn {
    mustBeFamily(cf)
    return this.#columns[cf]!
  }

  #mustBeOpen(): void {
    if (!this.#pool.open) throw closedError()
  }

  #mustBeWritable(): void {
    this.#mustBeOpen()
    if (this.#broken !== undefined) throw this.#broken
  }
}

function asReadError(error: unknown): unknown {
  return error instanceof AssertionError || error instanceof PolyraftError
    ? error
    : readError(error)
}
