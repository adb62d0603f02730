/**
 * The messages of pdpb, metapb and meta_storagepb as objects: field for field what the .proto files
 * beside this module say, in camel case. Sub-messages may be absent (protobufjs reads them as null);
 * numbers, texts, bytes and lists never are.
 */
import type { PeerRole } from '../region/region.ts'

type Maybe<T> = T | null | undefined

// metapb

export interface WireCluster {
  id: number
  maxPeerCount: number
}

export interface WireStore {
  id: number
  address: string
  /** 0 up, 1 offline, 2 tombstone. */
  state: number
  labels: { key: string; value: string }[]
  version: string
  peerAddress: string
  statusAddress: string
  gitHash: string
  startTimestamp: number
  deployPath: string
  /** Unix nanoseconds, rounded to what a double holds. */
  lastHeartbeat: number
  physicallyDestroyed: boolean
  nodeState: number
}

export interface WireEpoch {
  confVer: number
  version: number
}

export interface WirePeer {
  id: number
  storeId: number
  role: PeerRole
}

export interface WireRegion {
  id: number
  startKey: Uint8Array
  endKey: Uint8Array
  regionEpoch: Maybe<WireEpoch>
  peers: WirePeer[]
}

// pdpb: headers

export const PdErrorType = {
  Unknown: 1,
  NotBootstrapped: 2,
  StoreTombstone: 3,
  AlreadyBootstrapped: 4,
  DuplicatedEntry: 8,
  EntryNotFound: 9,
  InvalidValue: 10,
  RegionsNotContainAllKeyRange: 12,
} as const
export type PdErrorType = (typeof PdErrorType)[keyof typeof PdErrorType]

export interface RequestHeader {
  clusterId: number
  senderId: number
  callerId: string
  callerComponent: string
}

export interface ResponseHeader {
  clusterId: number
  error: Maybe<{ type: PdErrorType; message: string }>
}

export interface HeaderRequest {
  header: Maybe<RequestHeader>
}

export interface HeaderResponse {
  header: Maybe<ResponseHeader>
}

// pdpb: discovery

export interface WireMember {
  name: string
  memberId: number
  peerUrls: string[]
  clientUrls: string[]
  leaderPriority: number
  deployPath: string
  binaryVersion: string
}

export interface GetMembersResponse extends HeaderResponse {
  members: WireMember[]
  leader: Maybe<WireMember>
  etcdLeader: Maybe<WireMember>
}

export interface GetClusterInfoResponse extends HeaderResponse {
  serviceModes: number[]
  tsoUrls: string[]
}

export interface ClusterConfigMessage {
  cluster: Maybe<WireCluster>
}
export type GetClusterConfigResponse = HeaderResponse & ClusterConfigMessage
export type PutClusterConfigRequest = HeaderRequest & ClusterConfigMessage

// pdpb: time, bootstrap, ids

export interface WireTimestamp {
  physical: number
  logical: number
  suffixBits: number
}

export interface TsoRequest extends HeaderRequest {
  count: number
  dcLocation: string
}

export interface TsoResponse extends HeaderResponse {
  count: number
  timestamp: Maybe<WireTimestamp>
}

export interface GetMinTsResponse extends HeaderResponse {
  timestamp: Maybe<WireTimestamp>
}

export interface GetGcSafePointResponse extends HeaderResponse {
  safePoint: number
}

export interface BootstrapRequest extends HeaderRequest {
  store: Maybe<WireStore>
  region: Maybe<WireRegion>
}

export interface IsBootstrappedResponse extends HeaderResponse {
  bootstrapped: boolean
}

export interface AllocIdRequest extends HeaderRequest {
  count: number
}

export interface AllocIdResponse extends HeaderResponse {
  id: number
  count: number
}

export interface IsSnapshotRecoveringResponse extends HeaderResponse {
  marked: boolean
}

// pdpb: stores

export interface WireInterval {
  startTimestamp: number
  endTimestamp: number
}

export interface WireStoreStats {
  storeId: number
  capacity: number
  available: number
  regionCount: number
  startTime: number
  isBusy: boolean
  usedSize: number
  bytesWritten: number
  keysWritten: number
  bytesRead: number
  keysRead: number
  interval: Maybe<WireInterval>
}

export interface GetStoreRequest extends HeaderRequest {
  storeId: number
}

export interface GetStoreResponse extends HeaderResponse {
  store: Maybe<WireStore>
  stats: Maybe<WireStoreStats>
}

export interface PutStoreRequest extends HeaderRequest {
  store: Maybe<WireStore>
}

export interface GetAllStoresRequest extends HeaderRequest {
  excludeTombstoneStores: boolean
}

export interface GetAllStoresResponse extends HeaderResponse {
  stores: WireStore[]
}

export interface StoreHeartbeatRequest extends HeaderRequest {
  stats: Maybe<WireStoreStats>
}

// pdpb: regions

export interface WirePeerStats {
  peer: Maybe<WirePeer>
  downSeconds: number
}

/** The body that GetRegion, QueryRegion and the scans share. */
export interface WireRegionInfo {
  region: Maybe<WireRegion>
  leader: Maybe<WirePeer>
  downPeers: WirePeerStats[]
  pendingPeers: WirePeer[]
}

export interface RegionHeartbeatRequest extends HeaderRequest, WireRegionInfo {
  bytesWritten: number
  bytesRead: number
  keysWritten: number
  keysRead: number
  approximateSize: number
  approximateKeys: number
  interval: Maybe<WireInterval>
  term: number
}

export interface WireChangePeer {
  peer: Maybe<WirePeer>
  changeType: number
}

export interface RegionHeartbeatResponse extends HeaderResponse {
  regionId: number
  regionEpoch: Maybe<WireEpoch>
  targetPeer: Maybe<WirePeer>
  /** changeType as in eraftpb: 0 add, 1 remove, 2 add learner. */
  changePeer: Maybe<WireChangePeer>
  changePeerV2?: Maybe<{ changes: WireChangePeer[] }>
  transferLeader: Maybe<{ peer: Maybe<WirePeer>; peers: WirePeer[] }>
}

export interface GetRegionRequest extends HeaderRequest {
  regionKey: Uint8Array
  needBuckets: boolean
}

export interface GetRegionByIdRequest extends HeaderRequest {
  regionId: number
  needBuckets: boolean
}

export type GetRegionResponse = HeaderResponse & WireRegionInfo

export interface QueryRegionRequest extends HeaderRequest {
  needBuckets: boolean
  ids: number[]
  keys: Uint8Array[]
  prevKeys: Uint8Array[]
}

export interface QueryRegionResponse extends HeaderResponse {
  keyIdMap: number[]
  prevKeyIdMap: number[]
  regionsById: Record<string, WireRegionInfo>
}

export interface ScanRegionsRequest extends HeaderRequest {
  startKey: Uint8Array
  limit: number
  endKey: Uint8Array
}

export interface ScanRegionsResponse extends HeaderResponse {
  regionMetas: WireRegion[]
  leaders: WirePeer[]
  regions: WireRegionInfo[]
}

export interface BatchScanRegionsRequest extends HeaderRequest {
  needBuckets: boolean
  ranges: { startKey: Uint8Array; endKey: Uint8Array }[]
  limit: number
  containAllKeyRange: boolean
}

export interface BatchScanRegionsResponse extends HeaderResponse {
  regions: WireRegionInfo[]
}

// pdpb: operators

export const OperatorStatus = {
  Success: 0,
  Timeout: 1,
  Cancel: 2,
  Replace: 3,
  Running: 4,
} as const
export type OperatorStatus = (typeof OperatorStatus)[keyof typeof OperatorStatus]

export interface GetOperatorRequest extends HeaderRequest {
  regionId: number
}

export interface GetOperatorResponse extends HeaderResponse {
  regionId: number
  desc: Uint8Array
  status: OperatorStatus
  kind: Uint8Array
}

// pdpb: settings

export interface LoadGlobalConfigRequest {
  names: string[]
  configPath: string
}

export interface LoadGlobalConfigResponse {
  items: { name: string; value: string }[]
  revision: number
}

// meta_storagepb and polyraftpb

export interface MetaGetRequest {
  header: Maybe<{ clusterId: number; source: string }>
  key: Uint8Array
  rangeEnd: Uint8Array
  limit: number
  revision: number
}

export interface MetaKeyValue {
  key: Uint8Array
  createRevision: number
  modRevision: number
  version: number
  value: Uint8Array
  lease: number
}

export interface MetaGetResponse {
  header: Maybe<{
    clusterId: number
    error: Maybe<{ type: number; message: string }>
    revision: number
  }>
  kvs: MetaKeyValue[]
  more: boolean
  count: number
}

export interface InitialRegionsMessage {
  regions: WireRegion[]
}
