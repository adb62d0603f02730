/** `polyraft ctl store list|show|delete`. */

import { type DiskState, diskStateText } from '../../base/disk-state.ts'
import { PolyraftError } from '../../base/errors.ts'
import type { StoreId } from '../../base/ids.ts'
import type { PdAdmin } from '../../pd/admin-port.ts'
import { type PdClient, type RegionInfo, type StoreMeta, StoreState } from '../../pd/port.ts'
import type { StoreCondition } from '../../pd/store-condition.ts'
import type { CliIo } from '../cli/cli-io.ts'
import {
  type ClusterView,
  conditionOf,
  diskStateOf,
  heartbeatAgeMs,
  viewCluster,
} from '../cli/cluster-view.ts'
import { jsonText, print } from '../cli/output.ts'
import { formatCount, formatSeconds } from '../cli/progress.ts'
import { type Column, formatFields, formatTable } from '../cli/table.ts'
import { formatAbout } from '../units.ts'
import type { CtlOptions } from './ctl-command.ts'

interface StoreRow {
  readonly store: StoreMeta
  readonly condition: StoreCondition
  /** null = never. */
  readonly heartbeatAgeSeconds: number | null
  readonly peers: number
  readonly leaders: number
  /** Of its disk, in bytes; null = it has not told yet. */
  readonly capacity: number | null
  readonly available: number | null
  readonly diskState: DiskState | null
}

const COLUMNS: readonly Column<StoreRow>[] = [
  { title: 'ID', cell: (row) => String(row.store.id), right: true },
  { title: 'ADDRESS', cell: (row) => row.store.address },
  { title: 'STATUS', cell: (row) => row.store.statusAddress },
  { title: 'STATE', cell: stateOf },
  { title: 'HEARD', cell: heard },
  { title: 'PEERS', cell: (row) => String(row.peers), right: true },
  { title: 'LEADERS', cell: (row) => String(row.leaders), right: true },
  { title: 'DISK', cell: ({ capacity }) => bytes(capacity), right: true },
  { title: 'FREE', cell: ({ available }) => bytes(available), right: true },
  { title: 'VERSION', cell: (row) => row.store.version },
  { title: 'LABELS', cell: (row) => labels(row.store) },
]

function stateOf({ condition, diskState }: StoreRow): string {
  return diskState === null || diskState === 'normal'
    ? condition
    : `${condition}, disk ${diskStateText(diskState)}`
}

function heard(row: StoreRow): string {
  return row.heartbeatAgeSeconds === null
    ? 'never'
    : `${formatSeconds(row.heartbeatAgeSeconds)} ago`
}

function bytes(count: number | null): string {
  return count === null ? '-' : formatAbout(count)
}

function labels(store: StoreMeta): string {
  return Object.entries(store.labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}

export async function printStores(
  io: CliIo,
  pd: PdClient,
  admin: PdAdmin,
  options: CtlOptions,
): Promise<void> {
  const rows = rowsOf(await viewCluster(pd, admin, Date.now()))
  await print(
    io.stdout,
    options.write === 'json' ? jsonText(rows.map(flat)) : formatTable(COLUMNS, rows),
  )
}

export async function printStore(
  io: CliIo,
  pd: PdClient,
  admin: PdAdmin,
  storeId: StoreId,
  options: CtlOptions,
): Promise<void> {
  const view = await viewCluster(pd, admin, Date.now())
  const row = rowsOf(view).find(({ store }) => store.id === storeId)
  if (row === undefined) throw new PolyraftError('NotFound', `there is no store ${storeId}`)
  if (options.write === 'json') await print(io.stdout, jsonText(flat(row)))
  else await print(io.stdout, storeText(row))
}

function storeText(row: StoreRow): string {
  const { store } = row
  return formatFields([
    ['store', String(store.id)],
    ['state', stateOf(row)],
    ['address', store.address],
    ['peer address', store.peerAddress],
    ['status', store.statusAddress || '-'],
    ['heard', heard(row)],
    ['started', new Date(store.startTimestamp * 1000).toISOString()],
    ['peers', String(row.peers)],
    ['leaders', String(row.leaders)],
    ['disk', bytes(row.capacity)],
    ['free', bytes(row.available)],
    ['version', store.version],
    ['labels', labels(store) || '-'],
  ])
}

export interface DeleteOptions extends CtlOptions {
  readonly physicallyDestroyed?: boolean
  readonly force?: boolean
}

export async function deleteStore(
  io: CliIo,
  admin: PdAdmin,
  storeId: StoreId,
  options: DeleteOptions,
): Promise<void> {
  const { physicallyDestroyed = false, force = false } = options
  const { store, regions } = await admin.deleteStore(storeId, { physicallyDestroyed, force })
  if (options.write === 'json') {
    await print(io.stdout, jsonText({ ...store, regions }))
  } else await print(io.stdout, `${removalText(store, regions)}\n`)
}

function removalText(store: StoreMeta, regions: number): string {
  const { id, address } = store
  if (store.state === StoreState.Tombstone) return `store ${id} is removed`
  const left = `${formatCount(regions, 'region')} still ${regions === 1 ? 'has' : 'have'} a peer on it`
  return store.physicallyDestroyed
    ? `store ${id} counts as lost, ${address} is free for a new one; ${left}`
    : `store ${id} is being removed; ${left}: polyraft ctl store show ${id} tells how far it is`
}

function rowsOf(view: ClusterView): StoreRow[] {
  const peers = countBy(view.regions, (info) => info.region.peers.map((peer) => peer.storeId))
  const leaders = countBy(view.regions, ({ leader }) => (leader ? [leader.storeId] : []))
  return view.stores.map((store): StoreRow => {
    const stats = view.stats.get(store.id)
    const ageMs = heartbeatAgeMs(store, view.nowMs)
    return {
      store,
      condition: conditionOf(store, view),
      heartbeatAgeSeconds: Number.isFinite(ageMs) ? Math.max(0, ageMs) / 1000 : null,
      peers: peers.get(store.id) ?? 0,
      leaders: leaders.get(store.id) ?? 0,
      capacity: stats?.capacity ?? null,
      available: stats?.available ?? null,
      diskState: diskStateOf(stats) ?? null,
    }
  })
}

function flat({ store, ...counts }: StoreRow): Record<string, unknown> {
  return { ...store, ...counts }
}

function countBy(
  regions: readonly RegionInfo[],
  storesOf: (info: RegionInfo) => readonly StoreId[],
): Map<StoreId, number> {
  const counts = new Map<StoreId, number>()
  for (const info of regions) {
    for (const id of storesOf(info)) counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  return counts
}
