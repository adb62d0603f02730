/** `polyraft ctl region list|show|by-key`. */
import { printableKey } from '../../base/bytes.ts'
import { errorMessage } from '../../base/errors.ts'
import { MIB } from '../../base/limits.ts'
import type { PdClient, RegionInfo, StoreMeta } from '../../pd/port.ts'
import { type Peer, PeerRole } from '../../region/region.ts'
import type { RegionStatus } from '../../store/port.ts'
import type { CliIo } from '../cli/cli-io.ts'
import { allRegions } from '../cli/cluster-view.ts'
import { jsonText, print } from '../cli/output.ts'
import { type Column, formatFields, formatTable } from '../cli/table.ts'
import type { CtlOptions } from './ctl-command.ts'

const ROLE_NAMES = ['voter', 'learner', 'incoming-voter', 'demoting-voter'] as const

const REGION_COLUMNS: readonly Column<RegionInfo>[] = [
  { title: 'ID', cell: ({ region }) => String(region.id), right: true },
  { title: 'START', cell: ({ region }) => bound(region.startKey) },
  { title: 'END', cell: ({ region }) => bound(region.endKey) },
  { title: 'LEADER', cell: ({ leader }) => (leader ? `store ${leader.storeId}` : 'none') },
  { title: 'STORES', cell: ({ region }) => region.peers.map(storeOf).join(',') },
  { title: 'EPOCH', cell: ({ region }) => `${region.epoch.confVer}/${region.epoch.version}` },
  { title: 'REMARKS', cell: remarks },
]

function bound(key: Buffer): string {
  return key.length === 0 ? '-' : printableKey(key)
}

function storeOf(peer: Peer): string {
  return peer.role === PeerRole.Voter
    ? String(peer.storeId)
    : `${peer.storeId}(${ROLE_NAMES[peer.role]})`
}

function remarks({ downPeers, pendingPeers }: RegionInfo): string {
  const down = downPeers.map(({ peer }) => `store ${peer.storeId} down`)
  const pending = pendingPeers.map((peer) => `store ${peer.storeId} catching up`)
  return [...down, ...pending].join(', ')
}

export async function printRegions(
  io: CliIo,
  pd: PdClient,
  options: CtlOptions & { readonly limit?: number },
): Promise<void> {
  const regions = (await allRegions(pd)).slice(0, options.limit)
  if (options.write === 'json') await print(io.stdout, jsonText(regions.map(regionObject)))
  else await print(io.stdout, formatTable(REGION_COLUMNS, regions))
}

/** What one replica says about itself; the rest of the fields is undefined when it says nothing. */
interface ReplicaRow {
  readonly peer: Peer
  readonly address: string
  readonly status: Partial<RegionStatus> | undefined
  /** Why there is no status. */
  readonly problem: string
}

const REPLICA_COLUMNS: readonly Column<ReplicaRow>[] = [
  { title: 'PEER', cell: ({ peer }) => String(peer.id), right: true },
  { title: 'STORE', cell: ({ peer }) => String(peer.storeId), right: true },
  { title: 'ADDRESS', cell: ({ address }) => address },
  { title: 'KIND', cell: ({ peer }) => ROLE_NAMES[peer.role] },
  { title: 'ROLE', cell: ({ status }) => status?.role ?? '?' },
  { title: 'TERM', cell: ({ status }) => shown(status?.term), right: true },
  { title: 'COMMIT', cell: ({ status }) => shown(status?.commitIndex), right: true },
  { title: 'APPLIED', cell: ({ status }) => shown(status?.appliedIndex), right: true },
  { title: 'FIRST', cell: ({ status }) => shown(status?.firstIndex), right: true },
  { title: 'LAST', cell: ({ status }) => shown(status?.lastIndex), right: true },
  { title: 'REMARKS', cell: replicaRemarks },
]

function replicaRemarks({ problem, status }: ReplicaRow): string {
  const { snapshot, life } = status ?? {}
  if (problem !== '') return problem
  const remarks: string[] = life === undefined ? [] : [life]
  const { source = 'idle', install = 'none', progress = [] } = snapshot ?? {}
  if (source !== 'idle') remarks.push(`snapshot for others: ${source}`)
  if (install !== 'none') remarks.push(`snapshot of its own: ${install}`)
  for (const each of progress) remarks.push(progressRemark(each))
  return remarks.join(', ')
}

/** Stores of an earlier version do not tell. */
type Progress = NonNullable<RegionStatus['snapshot']>['progress'][number]

function progressRemark({ phase, storeId, bytes, bytesTotal }: Progress): string {
  const mib = (count: number): string => (count / MIB).toFixed(1)
  const other = storeId === undefined ? '' : ` ${phase === 'send' ? 'to' : 'from'} store ${storeId}`
  const done = bytesTotal === 0 ? '' : `: ${mib(bytes)} of ${mib(bytesTotal)} MiB`
  return `${phase}${other}${done}`
}

function shown(value: number | undefined): string {
  return value === undefined ? '?' : String(value)
}

export async function printRegion(
  io: CliIo,
  pd: PdClient,
  info: RegionInfo,
  options: CtlOptions,
): Promise<void> {
  const stores = new Map((await pd.getAllStores()).map((store) => [store.id, store]))
  const replicas = await Promise.all(
    info.region.peers.map((peer) => askReplica(io, info, peer, stores.get(peer.storeId))),
  )
  if (options.write === 'json') {
    const replicaObjects = replicas.map(({ peer, address, status, problem }) => ({
      peerId: peer.id,
      storeId: peer.storeId,
      address,
      ...(status === undefined ? { problem } : { status }),
    }))
    await print(io.stdout, jsonText({ ...regionObject(info), replicas: replicaObjects }))
  } else {
    await print(io.stdout, regionText(info, replicas))
  }
}

async function askReplica(
  io: CliIo,
  info: RegionInfo,
  peer: Peer,
  store: StoreMeta | undefined,
): Promise<ReplicaRow> {
  const address = store?.address ?? ''
  if (store === undefined || store.statusAddress === '') {
    return { peer, address, status: undefined, problem: 'no status address is known' }
  }
  const base = /^https?:\/\//.test(store.statusAddress)
    ? store.statusAddress
    : `http://${store.statusAddress}`
  try {
    const status = await io.fetchJson(`${base}/region/${info.region.id}`)
    return { peer, address, status: status as Partial<RegionStatus>, problem: '' }
  } catch (error) {
    return { peer, address, status: undefined, problem: errorMessage(error) }
  }
}

function regionText(info: RegionInfo, replicas: readonly ReplicaRow[]): string {
  const { region, leader } = info
  const fields = formatFields([
    ['region', String(region.id)],
    ['start', bound(region.startKey)],
    ['end', bound(region.endKey)],
    ['epoch', `conf_ver ${region.epoch.confVer}, version ${region.epoch.version}`],
    ['leader', leader ? `peer ${leader.id} on store ${leader.storeId}` : 'none'],
    ['remarks', remarks(info) || '-'],
  ])
  const progress = progressRows(replicas)
  const table = progress.length === 0 ? '' : `\n${formatTable(PROGRESS_COLUMNS, progress)}`
  return `${fields}\n${formatTable(REPLICA_COLUMNS, replicas)}${table}`
}

interface ProgressRow {
  readonly peerId: string
  readonly match: number
  readonly next: number
  readonly state: string
}

const PROGRESS_COLUMNS: readonly Column<ProgressRow>[] = [
  { title: 'PROGRESS OF PEER', cell: (row) => row.peerId, right: true },
  { title: 'MATCH', cell: (row) => String(row.match), right: true },
  { title: 'NEXT', cell: (row) => String(row.next), right: true },
  { title: 'STATE', cell: (row) => row.state },
]

/** As the leader sees its followers. */
function progressRows(replicas: readonly ReplicaRow[]): ProgressRow[] {
  const leader = replicas.find(({ status }) => status?.role === 'leader')
  const progress = leader?.status?.progress ?? {}
  return Object.entries(progress).map(([peerId, each]) => ({ peerId, ...each }))
}

function regionObject(info: RegionInfo): Record<string, unknown> {
  const { region } = info
  return {
    id: region.id,
    startKey: printableKey(region.startKey),
    endKey: printableKey(region.endKey),
    startKeyHex: region.startKey.toString('hex'),
    endKeyHex: region.endKey.toString('hex'),
    epoch: region.epoch,
    leader: info.leader === undefined ? null : peerObject(info.leader),
    peers: region.peers.map(peerObject),
    downPeers: info.downPeers.map(({ peer, downSeconds }) => ({
      peer: peerObject(peer),
      downSeconds,
    })),
    pendingPeers: info.pendingPeers.map(peerObject),
  }
}

function peerObject(peer: Peer): Record<string, unknown> {
  return { ...peer, role: ROLE_NAMES[peer.role] }
}
