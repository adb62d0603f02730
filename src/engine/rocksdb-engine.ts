/**
 * Opening RocksDB, once per process, and joining it from worker threads by its handle.
 *
 * INVARIANTS
 * - The thread that opened closes last: stop attached threads and await their exit before close().
 * - A handle is good until its owner's close(); attaching later is refused, and opens nothing.
 */
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { MIB } from '../base/limits.ts'
import { type Logger, silentLogger } from '../base/logger.ts'
import { makeDirectory } from '../base/make-directory.ts'
import {
  loadNative,
  type NativeBinding,
  type NativeColumns,
  type NativeDatabase,
} from './native.ts'
import type { SharedKvEngine } from './port.ts'
import { directoryError, openError } from './rocksdb-errors.ts'
import { RocksEngine } from './rocksdb-kv.ts'
import {
  ATTACH_OPTIONS,
  memoryBytesMax,
  mustBeSizes,
  nativeOpenOptions,
  type OptionSetName,
  sizesOf,
} from './rocksdb-options.ts'

export interface RocksDbOptions {
  readonly dir: string
  /** Sizes where none is given. Default: small. */
  readonly optionSet?: OptionSetName
  /** Block cache of the data family. Small: 32 MiB, large: 1 GiB. Most: just below 4 GiB. */
  readonly blockCacheBytes?: number | 'auto'
  /** Size of one memtable of the data family. Small: 16 MiB, large: 128 MiB. Least: 64 KiB. */
  readonly writeBufferBytes?: number | 'auto'
  /** Threads that flush and compact. Default 0: half of the machine's processors. */
  readonly backgroundJobs?: number
  readonly logger?: Logger
}

/** Engines that this thread opened: a collected one would close RocksDB under attached threads. */
const owned = new Set<RocksEngine>()

/**
 * Opens or creates the database in `dir`. Errors: DataDirLocked, DataDirUnusable, Corruption,
 * DiskError, ConfigInvalid (sizes), Unsupported (no binary for this platform).
 */
export async function openRocksDb(options: RocksDbOptions): Promise<SharedKvEngine> {
  const { optionSet = 'small', blockCacheBytes = 'auto', writeBufferBytes = 'auto' } = options
  const sizes = sizesOf(optionSet, blockCacheBytes, writeBufferBytes)
  mustBeSizes(sizes)
  const native = loadNative()
  await makeDirectory(options.dir).catch((error: unknown) => {
    throw directoryError(error, options.dir)
  })
  const database = native.db_init(options.dir)
  const nativeOptions = nativeOpenOptions(sizes, options.backgroundJobs ?? 0)
  const columns = await openNative(native, database, nativeOptions).catch((error: unknown) => {
    throw openError(error, options.dir)
  })
  const { logger = silentLogger } = options
  const opened = { native, database, columns, memoryBytesMax: memoryBytesMax(sizes) }
  const engine = new RocksEngine(opened, logger, (closed) => {
    owned.delete(closed)
  })
  owned.add(engine)
  const mib = { memoryMiBMax: Math.ceil(opened.memoryBytesMax / MIB) }
  logger.info({ dir: options.dir, optionSet, ...sizes, ...mib }, 'RocksDB is open')
  return engine
}

/**
 * Joins the database that another thread of this process has open; close() only detaches. Errors:
 * Closed, where the owner has closed it. A number that never was a handle crashes the process.
 */
export async function attachRocksDb(handle: bigint): Promise<SharedKvEngine> {
  assert(typeof handle === 'bigint' && handle > 0n, 'a handle comes from an open engine')
  const native = loadNative()
  const database = native.db_init(handle)
  const columns = await openNative(native, database, ATTACH_OPTIONS).catch((error: unknown) => {
    throw new PolyraftError(
      'Closed',
      'the engine was closed by the thread that opened it; attach before that',
      {},
      { cause: error },
    )
  })
  return new RocksEngine({ native, database, columns, memoryBytesMax: 0 }, silentLogger, undefined)
}

function openNative(
  native: NativeBinding,
  database: NativeDatabase,
  options: object,
): Promise<NativeColumns> {
  return new Promise((resolve, reject) => {
    const columns = native.db_open(database, options, (error, opened) => {
      if (error) reject(error)
      else resolve(opened)
    })
    if (typeof columns === 'object') resolve(columns)
  })
}
