/** RocksDB alone, through our binding and with a store's sizes: what suites compare with. */
import { join } from 'node:path'
import type { SharedKvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import { defaultStoreConfig } from '../store/config.ts'
import type { Scratch } from './scratch.ts'

export function openBareRocksDb(scratch: Scratch): Promise<SharedKvEngine> {
  const { rocksdbBlockCacheBytes, rocksdbWriteBufferBytes } = defaultStoreConfig()
  return scratch.open(
    openRocksDb({
      dir: join(scratch.dir, 'rocksdb'),
      blockCacheBytes: rocksdbBlockCacheBytes,
      writeBufferBytes: rocksdbWriteBufferBytes,
    }),
  )
}
