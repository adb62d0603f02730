/** Between the wire's messages and the program's own shapes. Bytes that are kept are copied. */

import type {
  RegionHeartbeatRequest,
  RegionHeartbeatResponse,
  RequestHeader,
  ResponseHeader,
  WireChangePeer,
  WirePeer,
  WireRegion,
  WireRegionInfo,
  WireStore,
  WireStoreStats,
} from '../protocol/pd-messages.ts'
import type { Peer, Region, RegionEpoch } from '../region/region.ts'
import type {
  ChangePeer,
  ChangePeerType,
  DownPeer,
  RegionHeartbeat,
  RegionInfo,
  RegionOrder,
  StoreMeta,
  StoreState,
  StoreStats,
} from './port.ts'
import { mustBePeers, mustBeRegion } from './wire-checks.ts'

const NANOS_PER_MS = 1_000_000

function peerFromWire(wire: WirePeer): Peer {
  return { id: wire.id, storeId: wire.storeId, role: wire.role }
}

/** A peer that may be absent; servers also send one without ids for "none". */
function maybePeerFromWire(wire: WirePeer | null | undefined): Peer | undefined {
  return wire == null || wire.id === 0 ? undefined : peerFromWire(wire)
}

function peerToWire(peer: Peer): WirePeer {
  return { id: peer.id, storeId: peer.storeId, role: peer.role }
}

export function regionFromWire(wire: WireRegion): Region {
  const epoch: RegionEpoch = {
    confVer: wire.regionEpoch?.confVer ?? 0,
    version: wire.regionEpoch?.version ?? 0,
  }
  return {
    id: wire.id,
    startKey: Buffer.from(wire.startKey),
    endKey: Buffer.from(wire.endKey),
    epoch,
    peers: wire.peers.map(peerFromWire),
  }
}

export function regionToWire(region: Region): WireRegion {
  return {
    id: region.id,
    startKey: region.startKey,
    endKey: region.endKey,
    regionEpoch: { confVer: region.epoch.confVer, version: region.epoch.version },
    peers: region.peers.map(peerToWire),
  }
}

function downPeersFromWire(wire: WireRegionInfo['downPeers']): DownPeer[] {
  const down: DownPeer[] = []
  for (const { peer, downSeconds } of wire) {
    if (peer != null) down.push({ peer: peerFromWire(peer), downSeconds })
  }
  return down
}

export function regionInfoFromWire(wire: WireRegionInfo): RegionInfo | undefined {
  if (wire.region == null) return undefined
  return {
    region: regionFromWire(wire.region),
    leader: maybePeerFromWire(wire.leader),
    downPeers: downPeersFromWire(wire.downPeers),
    pendingPeers: wire.pendingPeers.map(peerFromWire),
  }
}

export function regionInfoToWire(info: RegionInfo): WireRegionInfo {
  return {
    region: regionToWire(info.region),
    leader: info.leader && peerToWire(info.leader),
    downPeers: info.downPeers.map(({ peer, downSeconds }) => ({
      peer: peerToWire(peer),
      downSeconds,
    })),
    pendingPeers: info.pendingPeers.map(peerToWire),
  }
}

export const NO_REGION_INFO: WireRegionInfo = {
  region: undefined,
  leader: undefined,
  downPeers: [],
  pendingPeers: [],
}

/** An int64 may be any number; times are for people, so the nearest that a record can hold will do. */
function timeFromWire(time: number): number {
  return Math.min(Math.max(0, time), Number.MAX_SAFE_INTEGER)
}

export function storeFromWire(wire: WireStore): StoreMeta {
  const labels: Record<string, string> = {}
  for (const { key, value } of wire.labels) {
    if (key !== '__proto__') labels[key] = value
  }
  return {
    id: wire.id,
    address: wire.address,
    peerAddress: wire.peerAddress,
    statusAddress: wire.statusAddress,
    labels,
    version: wire.version,
    state: wire.state as StoreState,
    startTimestamp: timeFromWire(wire.startTimestamp),
    lastHeartbeatMs: timeFromWire(Math.round(wire.lastHeartbeat / NANOS_PER_MS)),
    deployPath: wire.deployPath,
    physicallyDestroyed: wire.physicallyDestroyed,
  }
}

/** metapb.NodeState that says the same as each StoreState. */
const NODE_STATES = [1, 2, 3] as const

export function storeToWire(store: StoreMeta): WireStore {
  return {
    id: store.id,
    address: store.address,
    state: store.state,
    labels: Object.entries(store.labels).map(([key, value]) => ({ key, value })),
    version: store.version,
    peerAddress: store.peerAddress,
    statusAddress: store.statusAddress,
    gitHash: '',
    startTimestamp: store.startTimestamp,
    deployPath: store.deployPath,
    lastHeartbeat: store.lastHeartbeatMs * NANOS_PER_MS,
    physicallyDestroyed: store.physicallyDestroyed,
    nodeState: NODE_STATES[store.state],
  }
}

export function storeStatsFromWire(wire: WireStoreStats): StoreStats {
  return {
    storeId: wire.storeId,
    capacity: wire.capacity,
    available: wire.available,
    usedSize: wire.usedSize,
    regionCount: wire.regionCount,
    startTime: wire.startTime,
    bytesWritten: wire.bytesWritten,
    keysWritten: wire.keysWritten,
    bytesRead: wire.bytesRead,
    keysRead: wire.keysRead,
    isBusy: wire.isBusy,
    intervalStartS: wire.interval?.startTimestamp ?? 0,
    intervalEndS: wire.interval?.endTimestamp ?? 0,
  }
}

export function storeStatsToWire(stats: StoreStats): WireStoreStats {
  const { intervalStartS, intervalEndS, ...same } = stats
  return {
    ...same,
    interval: { startTimestamp: intervalStartS, endTimestamp: intervalEndS },
  }
}

/** Undefined when the message lacks its region or its leader; throws InvalidArgument. */
export function heartbeatFromWire(wire: RegionHeartbeatRequest): RegionHeartbeat | undefined {
  const leader = maybePeerFromWire(wire.leader)
  if (wire.region == null || leader === undefined) return undefined
  const downPeers = downPeersFromWire(wire.downPeers)
  const pendingPeers = wire.pendingPeers.map(peerFromWire)
  mustBePeers([leader, ...pendingPeers, ...downPeers.map(({ peer }) => peer)])
  return {
    region: mustBeRegion(regionFromWire(wire.region)),
    leader,
    term: wire.term,
    downPeers,
    pendingPeers,
    bytesWritten: wire.bytesWritten,
    keysWritten: wire.keysWritten,
    bytesRead: wire.bytesRead,
    keysRead: wire.keysRead,
    approximateSize: wire.approximateSize,
    approximateKeys: wire.approximateKeys,
    intervalStartS: wire.interval?.startTimestamp ?? 0,
    intervalEndS: wire.interval?.endTimestamp ?? 0,
  }
}

export function heartbeatToWire(
  heartbeat: RegionHeartbeat,
  header: RequestHeader,
): RegionHeartbeatRequest {
  return {
    header,
    ...regionInfoToWire(heartbeat),
    term: heartbeat.term,
    bytesWritten: heartbeat.bytesWritten,
    keysWritten: heartbeat.keysWritten,
    bytesRead: heartbeat.bytesRead,
    keysRead: heartbeat.keysRead,
    approximateSize: heartbeat.approximateSize,
    approximateKeys: heartbeat.approximateKeys,
    interval: { startTimestamp: heartbeat.intervalStartS, endTimestamp: heartbeat.intervalEndS },
  }
}

export function orderFromWire(wire: RegionHeartbeatResponse): RegionOrder {
  const { regionEpoch, changePeer, changePeerV2 } = wire
  const changed = changePeer == null ? undefined : changeFromWire(changePeer)
  return {
    regionId: wire.regionId,
    regionEpoch: regionEpoch == null ? undefined : epochOf(regionEpoch),
    targetPeer: maybePeerFromWire(wire.targetPeer),
    changePeer: changed,
    ...(changePeerV2 != null && { changePeerV2: changesFromWire(changePeerV2.changes) }),
    transferLeader: maybePeerFromWire(wire.transferLeader?.peer),
  }
}

function changeFromWire({ peer, changeType }: WireChangePeer): ChangePeer | undefined {
  const changed = maybePeerFromWire(peer)
  return changed && { peer: changed, changeType: changeType as ChangePeerType }
}

function changesFromWire(wire: readonly WireChangePeer[]): ChangePeer[] {
  return wire.map(changeFromWire).filter((change) => change !== undefined)
}

function changeToWire({ peer, changeType }: ChangePeer): WireChangePeer {
  return { peer: peerToWire(peer), changeType }
}

function epochOf({ confVer, version }: RegionEpoch): RegionEpoch {
  return { confVer, version }
}

export function orderToWire(order: RegionOrder, header: ResponseHeader): RegionHeartbeatResponse {
  const { regionEpoch, changePeer, changePeerV2 } = order
  return {
    header,
    regionId: order.regionId,
    regionEpoch: regionEpoch && epochOf(regionEpoch),
    targetPeer: order.targetPeer && peerToWire(order.targetPeer),
    changePeer: changePeer && changeToWire(changePeer),
    ...(changePeerV2 !== undefined && {
      changePeerV2: { changes: changePeerV2.map(changeToWire) },
    }),
    transferLeader: order.transferLeader && {
      peer: peerToWire(order.transferLeader),
      peers: [],
    },
  }
}
