/** RocksDB's own figures. The binding asks the data family only: the others are small. */
import type { NativeBinding, NativeDatabase } from './native.ts'

/** Name in stats() → RocksDB property. */
const PROPERTIES: Readonly<Record<string, string>> = {
  rocksdb_sst_bytes: 'rocksdb.total-sst-files-size',
  rocksdb_live_data_bytes: 'rocksdb.estimate-live-data-size',
  rocksdb_keys_estimate: 'rocksdb.estimate-num-keys',
  rocksdb_memtable_bytes: 'rocksdb.size-all-mem-tables',
  rocksdb_block_cache_bytes: 'rocksdb.block-cache-usage',
  rocksdb_table_reader_bytes: 'rocksdb.estimate-table-readers-mem',
  rocksdb_pending_compaction_bytes: 'rocksdb.estimate-pending-compaction-bytes',
  rocksdb_running_compactions: 'rocksdb.num-running-compactions',
  rocksdb_running_flushes: 'rocksdb.num-running-flushes',
  rocksdb_write_stopped: 'rocksdb.is-write-stopped',
  rocksdb_snapshots: 'rocksdb.num-snapshots',
}

export function readStats(native: NativeBinding, database: NativeDatabase): Record<string, number> {
  const stats: Record<string, number> = {
    rocksdb_sequence: native.db_get_latest_sequence(database),
  }
  for (const name in PROPERTIES) {
    stats[name] = Number(native.db_get_property(database, PROPERTIES[name]!))
  }
  return stats
}
