/** A snapshot as if it had been received, without stores that send and receive. */
import { join } from 'node:path'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { applyStateKey } from '../../src/region/keys.ts'
import { decodeApplyState } from '../../src/region/state.ts'
import { SnapshotBuilder } from '../../src/snap/builder.ts'
import { removeSnapshot } from '../../src/snap/files.ts'
import { type SnapshotMeta, snapshotName } from '../../src/snap/format.ts'
import { loadRegionStates } from '../../src/store/bootstrap.ts'
import { carry } from '../snap/support.ts'

/** A received set in `dir`, of the only region as the stopped store in `storeDir` has it. */
export async function receivedSet(storeDir: string, dir: string): Promise<SnapshotMeta> {
  const engine = await openRocksDb({ dir: join(storeDir, 'kv') })
  try {
    const { region } = loadRegionStates(engine)[0]!
    const applied = decodeApplyState(engine.get(ColumnFamily.Raft, applyStateKey(region.id))!)
    const pin = { region, index: applied.appliedIndex, term: applied.appliedTerm }
    const builder = new SnapshotBuilder({ engine, fs: nodeFileSystem, dir, pin })
    let meta = await builder.step()
    while (meta === undefined) meta = await builder.step()
    carry(nodeFileSystem, meta, { fs: nodeFileSystem, dir }, { dir }).finish()
    removeSnapshot(nodeFileSystem, dir, snapshotName('gen', meta))
    return meta
  } finally {
    await engine.close()
  }
}
