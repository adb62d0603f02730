/** The placement driver as a store or a client sees it, in process or over gRPC. */
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { Peer, Region, RegionEpoch } from '../region/region.ts'

export const StoreState = { Up: 0, Offline: 1, Tombstone: 2 } as const
export type StoreState = (typeof StoreState)[keyof typeof StoreState]

export interface StoreMeta {
  readonly id: StoreId
  /** host:port of tikvpb.Tikv. */
  readonly address: string
  /** host:port of the store-to-store transport. */
  readonly peerAddress: string
  readonly statusAddress: string
  readonly labels: Readonly<Record<string, string>>
  readonly version: string
  readonly state: StoreState
  /** Unix seconds. */
  readonly startTimestamp: number
  /** Unix milliseconds of the last heartbeat; 0 = never. (The wire has nanoseconds.) */
  readonly lastHeartbeatMs: number
  readonly deployPath: string
  /** Somebody said that its data is gone: its address is free, its peers are replaced at once. */
  readonly physicallyDestroyed: boolean
}

export interface StoreStats {
  readonly storeId: StoreId
  readonly capacity: number
  readonly available: number
  readonly usedSize: number
  readonly regionCount: number
  readonly startTime: number
  readonly bytesWritten: number
  readonly keysWritten: number
  readonly bytesRead: number
  readonly keysRead: number
  readonly isBusy: boolean
  readonly intervalStartS: number
  readonly intervalEndS: number
}

export interface DownPeer {
  readonly peer: Peer
  readonly downSeconds: number
}

export interface RegionInfo {
  readonly region: Region
  readonly leader: Peer | undefined
  readonly downPeers: readonly DownPeer[]
  readonly pendingPeers: readonly Peer[]
}

export interface RegionHeartbeat {
  readonly region: Region
  readonly leader: Peer
  readonly term: number
  readonly downPeers: readonly DownPeer[]
  readonly pendingPeers: readonly Peer[]
  readonly bytesWritten: number
  readonly keysWritten: number
  readonly bytesRead: number
  readonly keysRead: number
  /** MiB. */
  readonly approximateSize: number
  readonly approximateKeys: number
  readonly intervalStartS: number
  readonly intervalEndS: number
}

/** As in eraftpb.ConfChangeType. AddNode of a learner promotes it. */
export const ChangePeerType = { AddNode: 0, RemoveNode: 1, AddLearnerNode: 2 } as const
export type ChangePeerType = (typeof ChangePeerType)[keyof typeof ChangePeerType]

export interface ChangePeer {
  readonly peer: Peer
  readonly changeType: ChangePeerType
}

/** An order of PD to the leader of a region; one of a kind that is not known is ignored. */
export interface RegionOrder {
  readonly regionId: RegionId
  /** What the order was made for: it is void once the region's is another one. */
  readonly regionEpoch: RegionEpoch | undefined
  /** The leader, as PD knows it. */
  readonly targetPeer: Peer | undefined
  readonly changePeer: ChangePeer | undefined
  /** Several changes at once, through the joint state; none: leave it. */
  readonly changePeerV2?: readonly ChangePeer[] | undefined
  readonly transferLeader: Peer | undefined
}

export interface PdClient {
  clusterId(): Promise<ClusterId>
  /** Last id of a fresh block of `count`. */
  allocId(count: number): Promise<number>
  isBootstrapped(): Promise<boolean>
  /** Rejects with AlreadyBootstrapped when another store won. */
  bootstrap(store: StoreMeta, region: Region): Promise<void>
  /**
   * Regions that PD's bootstrap plan gave this store: undefined while the plan still waits for
   * stores, empty when the plan has none for it (or PD has no plan).
   */
  initialRegions(storeId: StoreId): Promise<Region[] | undefined>
  /** Registers or updates. Rejects with NotBootstrapped when PD waits for a bootstrap first. */
  putStore(store: StoreMeta): Promise<void>
  getStore(storeId: StoreId): Promise<StoreMeta | undefined>
  /** As it last told; undefined before that, or when there is no such store. */
  getStoreStats(storeId: StoreId): Promise<StoreStats | undefined>
  getAllStores(): Promise<StoreMeta[]>
  getRegion(key: Uint8Array): Promise<RegionInfo | undefined>
  getPrevRegion(key: Uint8Array): Promise<RegionInfo | undefined>
  getRegionById(regionId: RegionId): Promise<RegionInfo | undefined>
  /** limit 0 = all. */
  scanRegions(start: Uint8Array, end: Uint8Array, limit: number): Promise<RegionInfo[]>
  storeHeartbeat(stats: StoreStats): Promise<void>
  /** Fire and forget; resent by the caller's schedule when the stream was down. */
  regionHeartbeat(heartbeat: RegionHeartbeat): void
  onRegionOrder(handler: (order: RegionOrder) => void): void
  close(): Promise<void>
}
