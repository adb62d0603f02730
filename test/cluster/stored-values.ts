/** What is in the engine of a store that was stopped, without asking its peers. */
import { join } from 'node:path'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { dataKey } from '../../src/region/keys.ts'

/** Keys of `wanted` of which the store in `storeDir` does not hold the value. */
export async function keysMissingIn(
  storeDir: string,
  wanted: ReadonlyMap<string, string>,
): Promise<string[]> {
  const engine = await openRocksDb({ dir: join(storeDir, 'kv') })
  try {
    const missing = [...wanted].filter(([key, value]) => {
      const stored = engine.get(ColumnFamily.Default, dataKey(Buffer.from(key)))
      return stored?.subarray(0, -1).toString() !== value
    })
    return missing.map(([key]) => key)
  } finally {
    await engine.close()
  }
}
