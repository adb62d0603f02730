/** `polyraft ctl store list`. */
import type { StoreId } from '../../base/ids.ts'
import type { PdClient, RegionInfo, StoreMeta } from '../../pd/port.ts'
import type { CliIo } from '../cli/cli-io.ts'
import {
  heartbeatAgeMs,
  type StoreCondition,
  storeCondition,
  viewCluster,
} from '../cli/cluster-view.ts'
import { print } from '../cli/output.ts'
import { formatSeconds } from '../cli/progress.ts'
import { type Column, formatTable } from '../cli/table.ts'
import type { CtlOptions } from './ctl.ts'

interface StoreRow {
  readonly store: StoreMeta
  readonly condition: StoreCondition
  /** null = never. */
  readonly heartbeatAgeSeconds: number | null
  readonly peers: number
  readonly leaders: number
}

const COLUMNS: readonly Column<StoreRow>[] = [
  { title: 'ID', cell: (row) => String(row.store.id), right: true },
  { title: 'ADDRESS', cell: (row) => row.store.address },
  { title: 'STATUS', cell: (row) => row.store.statusAddress },
  { title: 'STATE', cell: (row) => row.condition },
  { title: 'HEARD', cell: heard },
  { title: 'PEERS', cell: (row) => String(row.peers), right: true },
  { title: 'LEADERS', cell: (row) => String(row.leaders), right: true },
  { title: 'VERSION', cell: (row) => row.store.version },
  { title: 'LABELS', cell: (row) => labels(row.store) },
]

function heard(row: StoreRow): string {
  return row.heartbeatAgeSeconds === null
    ? 'never'
    : `${formatSeconds(row.heartbeatAgeSeconds)} ago`
}

function labels(store: StoreMeta): string {
  return Object.entries(store.labels)
    .map(([name, value]) => `${name}=${value}`)
    .join(',')
}

export async function printStores(io: CliIo, pd: PdClient, options: CtlOptions): Promise<void> {
  const view = await viewCluster(pd, Date.now())
  const peers = countBy(view.regions, (info) => info.region.peers.map((peer) => peer.storeId))
  const leaders = countBy(view.regions, ({ leader }) => (leader ? [leader.storeId] : []))
  const rows = view.stores.map((store): StoreRow => {
    const ageMs = heartbeatAgeMs(store, view.nowMs)
    return {
      store,
      condition: storeCondition(store, view.nowMs),
      heartbeatAgeSeconds: Number.isFinite(ageMs) ? Math.max(0, ageMs) / 1000 : null,
      peers: peers.get(store.id) ?? 0,
      leaders: leaders.get(store.id) ?? 0,
    }
  })
  await print(io.stdout, options.write === 'json' ? json(rows) : formatTable(COLUMNS, rows))
}

function json(rows: readonly StoreRow[]): string {
  const flat = rows.map(({ store, ...counts }) => ({ ...store, ...counts }))
  return `${JSON.stringify(flat, null, 2)}\n`
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
