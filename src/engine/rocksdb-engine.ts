/**
 * Opening RocksDB, once per process, and joining it from worker threads by its handle.
 *
 * INVARIANTS
 * - The thread that opened closes last: stop attached threads and await their exit before close().
 * - A handle is good until its owner's close(); attaching later is refused, and opens nothing.
 */
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
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
  BLOCK_CACHE_BYTES_DEFAULT,
  mustBeSizes,
  nativeOpenOptions,
  WRITE_BUFFER_BYTES_DEFAULT,
} from './rocksdb-options.ts'

export interface RocksDbOptions {
  readonly dir: string
  /** Block cache of the data family. Default: 32 MiB. Most: just below 4 GiB. */
  readonly blockCacheBytes?: number
  /** Size of one memtable of the data family. Default: 16 MiB. Least: 64 KiB. */
  readonly writeBufferBytes?: number
  readonly logger?: Logger
}

/** Engines that this thread opened: a collected one would close RocksDB under attached threads. */
const owned = new Set<RocksEngine>()

/**
 * Opens or creates the database in `dir`. Errors: DataDirLocked, DataDirUnusable, Corruption,
 * DiskError, ConfigInvalid (sizes), Unsupported (no binary for this platform).
 */
export async function openRocksDb(options: RocksDbOptions): Promise<SharedKvEngine> {
  const sizes = {
    blockCacheBytes: options.blockCacheBytes ?? BLOCK_CACHE_BYTES_DEFAULT,
    writeBufferBytes: options.writeBufferBytes ?? WRITE_BUFFER_BYTES_DEFAULT,
  }
  mustBeSizes(sizes)
  const native = loadNative()
  await makeDirectory(options.dir).catch((error: unknown) => {
    throw directoryError(error, options.dir)
  })
  const database = native.db_init(options.dir)
  const columns = await openNative(native, database, nativeOpenOptions(sizes)).catch(
    (error: unknown) => {
      throw openError(error, options.dir)
    },
  )
  const opened = { native, database, columns }
  const engine = new RocksEngine(opened, options.logger ?? silentLogger, (closed) => {
    owned.delete(closed)
  })
  owned.add(engine)
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
  return new RocksEngine({ native, database, columns }, silentLogger, undefined)
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
