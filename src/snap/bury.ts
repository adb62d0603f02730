/**
 * Removes what a destroyed replica leaves in the engine. Every step may be repeated after a crash:
 *
 *   tombstone   region state Tombstone, not cleared; apply state and snapshot state go    synced
 *               (where apply wrote one, by the entry that removed the replica, it stays as it is)
 *   data        the region's range, in all families                                   not synced
 *   cleared     region state Tombstone, cleared                                       not synced
 *
 * INVARIANTS
 * - Nothing goes before the tombstone is on disk: half a replica never comes back to life.
 * - Until it is cleared the range belongs to the dead replica: nobody else's data comes there. What
 *   is written there later stands behind "cleared" in the engine's log, so a crash that takes the
 *   mark back takes that back too.
 */
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import {
  applyStateKey,
  dataEndKey,
  dataKey,
  regionStateKey,
  snapshotStateKey,
} from '../region/keys.ts'
import {
  decodeRegionState,
  encodeRegionState,
  RegionStateKind,
  type Tombstone,
} from '../region/state.ts'
import { SNAPSHOT_FAMILIES } from './builder.ts'

export function buryReplica(engine: KvEngine, told: Tombstone): void {
  const tombstone = asApplied(engine, told)
  const { region } = tombstone
  const batch = engine.newBatch()
  const dead = encodeRegionState({ ...tombstone, cleared: false })
  batch.put(ColumnFamily.Raft, regionStateKey(region.id), dead)
  batch.delete(ColumnFamily.Raft, applyStateKey(region.id))
  batch.delete(ColumnFamily.Raft, snapshotStateKey(region.id))
  engine.write(batch, { sync: true })
  // Without peers it never had a range, nor data.
  if (region.peers.length > 0) clearRange(engine, tombstone)
  const mark = engine.newBatch()
  const cleared = encodeRegionState({ ...tombstone, cleared: true })
  mark.put(ColumnFamily.Raft, regionStateKey(region.id), cleared)
  engine.write(mark, { sync: false })
}

/**
 * A replica that hears of its end from others may know less than apply has done by then: a later
 * membership, or the very entry that removed it, which members may have to hear of (store/replicas.ts).
 * The tombstone of an earlier peer is another matter: ids only rise, so the later one stands for both.
 */
function asApplied(engine: KvEngine, told: Tombstone): Tombstone {
  const bytes = engine.get(ColumnFamily.Raft, regionStateKey(told.region.id))
  const state = bytes === undefined ? undefined : decodeRegionState(bytes)
  if (state?.kind === RegionStateKind.Normal) return { ...told, region: state.region }
  const wroteApply = state?.kind === RegionStateKind.Tombstone && state.peerId === told.peerId
  return wroteApply ? state : told
}

function clearRange(engine: KvEngine, { region }: Tombstone): void {
  for (const cf of SNAPSHOT_FAMILIES) {
    engine.deleteRange(cf, dataKey(region.startKey), dataEndKey(region.endKey))
  }
}
