/**
 * The RocksDB binding's own functions, typed. We call these rather than the package's abstract-level
 * classes, which check no more, keep every iterator and batch in a set until its public close(), and
 * write batches about a quarter slower. The package's version is pinned for this.
 *
 * INVARIANTS that the binding does not check (each one crashes the process when broken)
 * - No call with a database that is not open, nor with a column of another database.
 * - One asynchronous operation per iterator; no iterator_close while it runs.
 * - The thread that opened the database closes it, after every other thread has stopped using it.
 * - Never `unsafe: true` in a get: the values pin cache blocks, and close() then aborts.
 */
import { createRequire } from 'node:module'
import { errorMessage, PolyraftError } from '../base/errors.ts'

declare const opaque: unique symbol
interface Opaque<Name extends string> {
  readonly [opaque]: Name
}
export type NativeDatabase = Opaque<'database'>
export type NativeColumn = Opaque<'column'>
export type NativeBatch = Opaque<'batch'>
export type NativeIterator = Opaque<'iterator'>

export type NativeColumns = Readonly<Record<string, NativeColumn>>

/** The default family is passed as undefined: the binding then skips its slow option look-ups. */
export type ColumnOption = { readonly column: NativeColumn } | undefined

/** A get ends after the value that passes `highWaterMarkBytes` (int32); null for those behind. */
export type NativeGetOptions =
  | { readonly column?: NativeColumn; readonly highWaterMarkBytes?: number }
  | undefined

export interface NativeIteratorOptions {
  readonly column: NativeColumn
  readonly gte?: Buffer
  readonly lt: Buffer
  readonly reverse: boolean
  readonly keys: true
  readonly values: boolean
  /** Without these two the binding reads uninitialised memory. */
  readonly keyEncoding: 'buffer'
  readonly valueEncoding: 'buffer'
  /** A chunk ends after the row that passes this many bytes. int32. */
  readonly highWaterMarkBytes: number
  readonly fillCache: boolean
}

export interface NativeChunk {
  /** key, value, key, value, …; values are undefined where values were not asked for. */
  readonly rows: (Buffer | undefined)[]
  readonly finished: boolean
}

type Callback<T> = (error: Error | null, result: T) => void

export interface NativeBinding {
  db_init(pathOrHandle: string | bigint): NativeDatabase
  /** Returns the columns at once when another thread has the database open. */
  db_open(
    database: NativeDatabase,
    options: object,
    callback: Callback<NativeColumns>,
  ): NativeColumns | 0 | undefined
  db_get_handle(database: NativeDatabase): bigint
  db_close(database: NativeDatabase, callback: (error: Error | null) => void): void
  db_get_many_sync(
    database: NativeDatabase,
    keys: readonly Uint8Array[],
    options: NativeGetOptions,
  ): (Buffer | undefined | null)[]
  db_clear(
    database: NativeDatabase,
    options: { readonly column: NativeColumn; readonly gte: Buffer; readonly lt: Buffer },
  ): void
  db_get_property(database: NativeDatabase, property: string): string
  db_get_latest_sequence(database: NativeDatabase): number
  iterator_init(database: NativeDatabase, options: NativeIteratorOptions): NativeIterator
  iterator_nextv(iterator: NativeIterator, count: number, callback: Callback<NativeChunk>): void
  iterator_nextv_sync(iterator: NativeIterator, count: number): NativeChunk
  iterator_close(iterator: NativeIterator): void
  batch_init(): NativeBatch
  batch_put(batch: NativeBatch, key: Uint8Array, value: Uint8Array, options: ColumnOption): void
  batch_del(batch: NativeBatch, key: Uint8Array, options: ColumnOption): void
  batch_clear(batch: NativeBatch): void
  batch_write(
    database: NativeDatabase,
    batch: NativeBatch,
    options: { readonly sync: boolean } | undefined,
  ): void
}

let loaded: NativeBinding | undefined

/** Loaded on first use, so that programs on the memory engine need no prebuilt binary. */
export function loadNative(): NativeBinding {
  if (loaded !== undefined) return loaded
  const require = createRequire(import.meta.url)
  try {
    loaded = require('@nxtedition/rocksdb/binding.js') as NativeBinding
  } catch (error) {
    throw new PolyraftError(
      'Unsupported',
      `no RocksDB binary for ${process.platform}-${process.arch}: run on linux-x64 (glibc 2.34 or ` +
        `newer) or darwin-arm64, or reinstall the dependencies (${errorMessage(error)})`,
      { platform: process.platform, arch: process.arch },
      { cause: error },
    )
  }
  return loaded
}
