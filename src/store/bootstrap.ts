/**
 * How a store gets its identity and its first regions.
 *
 *   no ident    → PD gives an id → ident { adopted: false } is written
 *   registered  → PD waits for a bootstrap  → this store offers the first region (one peer, here)
 *               → PD has a bootstrap plan   → the store waits until PD has drawn up the regions
 *   regions     → raft log of each region made durable → region states and ident { adopted: true }
 *                 in one synced batch
 *
 * Every step can be repeated after a crash: before `adopted` nothing of a region has been used, and
 * the same regions are offered or handed out again.
 */
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import type { PdClient, StoreMeta } from '../pd/port.ts'
import {
  applyStateKey,
  decodeRegionStateKey,
  PREPARE_BOOTSTRAP_KEY,
  REGION_META_MAX_KEY,
  REGION_META_MIN_KEY,
  regionStateKey,
  STORE_IDENT_KEY,
} from '../region/keys.ts'
import { PeerRole, type Region } from '../region/region.ts'
import {
  decodeRegionState,
  decodeStoreIdent,
  encodeApplyState,
  encodeRegionState,
  encodeStoreIdent,
  INITIAL_APPLY_STATE,
  type RegionState,
  RegionStateKind,
  type StoreIdent,
} from '../region/state.ts'

const RETRY_MS = 100
/** How often the wait for PD or for other stores is mentioned in the log. */
const SAY_EVERY_MS = 5_000

export interface BootstrapPorts {
  readonly engine: KvEngine
  readonly pd: PdClient
  readonly logger: Logger
  readonly sleep: (ms: number) => Promise<void>
  /** True once the store is being closed: waiting ends with an error. */
  readonly isStopping: () => boolean
  /** Makes the beginning of each region's raft log durable. */
  readonly createLogs: (regionIds: readonly RegionId[]) => Promise<void>
}

/** The identity on disk, or a new one; refuses a directory that belongs to another cluster. */
export async function loadIdent({ engine, pd }: BootstrapPorts): Promise<StoreIdent> {
  const clusterId = await pd.clusterId()
  const found = readIdent(engine)
  if (found === undefined) {
    const ident = { clusterId, storeId: await pd.allocId(1), adopted: false }
    writeIdent(engine, ident)
    return ident
  }
  if (found.clusterId !== clusterId) {
    throw new PolyraftError(
      'ClusterIdMismatch',
      `this data directory belongs to cluster ${found.clusterId}, but PD serves cluster ` +
        `${clusterId}: give the right --pd-endpoints or another --data-dir`,
      { dataDirClusterId: found.clusterId, pdClusterId: clusterId },
    )
  }
  return found
}

export function readIdent(engine: Pick<KvEngine, 'get'>): StoreIdent | undefined {
  const bytes = engine.get(ColumnFamily.Raft, STORE_IDENT_KEY)
  return bytes === undefined ? undefined : decodeStoreIdent(bytes)
}

function writeIdent(engine: KvEngine, ident: StoreIdent): void {
  const batch = engine.newBatch()
  batch.put(ColumnFamily.Raft, STORE_IDENT_KEY, encodeStoreIdent(ident))
  engine.write(batch, { sync: true })
}

/** Registers the store with PD, bootstrapping the cluster if PD waits for that. */
export async function register(
  ports: BootstrapPorts,
  meta: StoreMeta,
  ident: StoreIdent,
): Promise<void> {
  try {
    await ports.pd.putStore(meta)
    return
  } catch (error) {
    if (!(error instanceof PolyraftError) || error.code !== 'NotBootstrapped') throw error
  }
  if (ident.adopted) {
    throw new PolyraftError(
      'ClusterIdMismatch',
      'PD has forgotten this cluster although the store holds data of it: restore PD from its data directory',
    )
  }
  await offerFirstRegion(ports, meta)
  await ports.pd.putStore(meta)
}

/** The region offered is kept until PD answered, so that a crash in between offers the same again. */
async function offerFirstRegion(
  { engine, pd, logger }: BootstrapPorts,
  meta: StoreMeta,
): Promise<void> {
  const kept = engine.get(ColumnFamily.Raft, PREPARE_BOOTSTRAP_KEY)
  const region = kept === undefined ? await firstRegion(pd, meta) : decodeRegionState(kept).region
  const batch = engine.newBatch()
  const state = encodeRegionState({ kind: RegionStateKind.Normal, region })
  batch.put(ColumnFamily.Raft, PREPARE_BOOTSTRAP_KEY, state)
  engine.write(batch, { sync: true })
  try {
    await pd.bootstrap(meta, region)
    logger.info({ region: region.id }, 'bootstrapped the cluster with its first region')
  } catch (error) {
    if (!(error instanceof PolyraftError) || error.code !== 'AlreadyBootstrapped') throw error
    logger.info({}, 'another store bootstrapped the cluster')
  }
}

async function firstRegion(pd: PdClient, meta: StoreMeta): Promise<Region> {
  const last = await pd.allocId(2)
  return {
    id: last - 1,
    startKey: Buffer.alloc(0),
    endKey: Buffer.alloc(0),
    epoch: { confVer: 1, version: 1 },
    peers: [{ id: last, storeId: meta.id, role: PeerRole.Voter }],
  }
}

/** Takes over the regions that bootstrap gave this store. Returns them. */
export async function adoptRegions(ports: BootstrapPorts, ident: StoreIdent): Promise<Region[]> {
  const { engine, logger } = ports
  const regions = await initialRegions(ports, ident)
  await ports.createLogs(regions.map(({ id }) => id))
  const batch = engine.newBatch()
  for (const region of regions) {
    const state = encodeRegionState({ kind: RegionStateKind.Normal, region })
    batch.put(ColumnFamily.Raft, regionStateKey(region.id), state)
    batch.put(ColumnFamily.Raft, applyStateKey(region.id), encodeApplyState(INITIAL_APPLY_STATE))
  }
  batch.delete(ColumnFamily.Raft, PREPARE_BOOTSTRAP_KEY)
  batch.put(ColumnFamily.Raft, STORE_IDENT_KEY, encodeStoreIdent({ ...ident, adopted: true }))
  engine.write(batch, { sync: true })
  logger.info({ store: ident.storeId, regions: regions.length }, 'took over its first regions')
  return regions
}

async function initialRegions(ports: BootstrapPorts, ident: StoreIdent): Promise<Region[]> {
  const offered = ports.engine.get(ColumnFamily.Raft, PREPARE_BOOTSTRAP_KEY)
  if (offered !== undefined) {
    const { region } = decodeRegionState(offered)
    // PD took either this region or another store's.
    const accepted = await ports.pd.getRegionById(region.id)
    return accepted === undefined ? [] : [region]
  }
  let saidMs = 0
  for (let waitedMs = 0; ; waitedMs += RETRY_MS) {
    const regions = await ports.pd.initialRegions(ident.storeId)
    if (regions !== undefined) return regions
    if (ports.isStopping())
      throw new PolyraftError('Closed', 'the store was stopped while it started')
    if (waitedMs - saidMs >= SAY_EVERY_MS) {
      saidMs = waitedMs
      ports.logger.info({ waitedMs }, 'waiting for the other stores of the bootstrap plan')
    }
    await ports.sleep(RETRY_MS)
  }
}

/** All region states on disk. */
export function loadRegionStates(engine: KvEngine): RegionState[] {
  const { rows } = engine.scanSync(ColumnFamily.Raft, {
    start: REGION_META_MIN_KEY,
    end: REGION_META_MAX_KEY,
    limit: Number.MAX_SAFE_INTEGER,
    bytesMax: Number.MAX_SAFE_INTEGER,
    reverse: false,
    keysOnly: false,
  })
  const states: RegionState[] = []
  for (let i = 0; i < rows.length; i += 2) {
    if (decodeRegionStateKey(rows[i]!) !== undefined) states.push(decodeRegionState(rows[i + 1]!))
  }
  return states
}
