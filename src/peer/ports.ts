/** What a peer needs of the store around it. One object for all peers of a store. */
import type { ApplyClient } from '../apply/port.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { DiskView } from '../base/disk-state.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { RaftLog } from '../raftlog/port.ts'
import type { Peer, Region } from '../region/region.ts'
import type { SnapshotState, Tombstone } from '../region/state.ts'
import type { RaftEnvelope, Transport } from '../transport/port.ts'
import type { PeerSignal } from './messages.ts'
import type { PeerMetrics } from './metrics.ts'
import type { Standstill } from './standstill.ts'

/** The settings of src/store/config.ts that a peer acts on. */
export interface PeerConfig {
  readonly raftBaseTickIntervalMs: number
  readonly raftHeartbeatTicks: number
  readonly raftElectionTimeoutTicks: number
  readonly raftStoreMaxLeaderLeaseMs: number
  readonly raftMaxSizePerMsg: number
  readonly raftMaxInflightMsgs: number
  readonly raftEntryMaxSize: number
  readonly unpersistedReadiesMax: number
  readonly raftLogGcThreshold: number
  readonly raftLogGcCountLimit: number
  readonly raftLogGcSizeLimit: number
  readonly raftLogReserveMaxTicks: number
  readonly maxPeerDownDurationMs: number
  readonly hibernateRegions: boolean
}

export function electionTimeoutMs(
  config: Pick<PeerConfig, 'raftBaseTickIntervalMs' | 'raftElectionTimeoutTicks'>,
): number {
  return config.raftBaseTickIntervalMs * config.raftElectionTimeoutTicks
}

/** Runs reads that a peer has found to be safe now. */
export interface ReadExecutor {
  /** Queues into the round; answered through the request's sink. */
  read(request: RawRequest, region: Region): void
  /** Runs what was queued, now: at the end of a round, and before data goes. */
  flush(): void
}

/** What a leader tells PD; the store adds intervals and sends. */
export interface RegionReport {
  readonly region: Region
  readonly leader: Peer
  readonly term: number
  readonly downPeers: readonly { readonly peer: Peer; readonly downSeconds: number }[]
  readonly pendingPeers: readonly Peer[]
  readonly keysWritten: number
  readonly bytesWritten: number
  readonly keysRead: number
  readonly bytesRead: number
}

/**
 * Snapshots beyond what a peer decides: disk, links and their limits. `data` describes a set of
 * files, in the form in which raft carries it.
 */
export interface SnapshotService {
  /** Room for one more set made here, of this region; given back by release(). */
  reserve(regionId: RegionId): boolean
  /** A set made here is not needed any more; undefined when it never came to be. */
  release(data: Uint8Array | undefined): void
  /** The files of a set made here that nobody will send. */
  discardBuilt(data: Uint8Array): void
  /** Sends message and files; ends in SnapshotSent. */
  send(envelope: RaftEnvelope): void
  /** The peer has taken the message of a received set into its care. */
  accepted(regionId: RegionId): void
  /** A received set is of no use. */
  discard(data: Uint8Array): void
  regionOf(data: Uint8Array): Region
  /**
   * Records the state (unless that was done before a restart) and replaces the region's data, told
   * by SnapshotInstall; then complete() is due once the raft log is durable.
   */
  install(regionId: RegionId, data: Uint8Array, state: SnapshotState | undefined): void
  complete(regionId: RegionId, data: Uint8Array): void
  /** The installation under way is not wanted any more: it ends early if it can, in some phase. */
  cancel(regionId: RegionId): void
}

/** What the store keeps about its replicas besides the peers themselves. */
export interface ReplicaService {
  /** An initialised replica is of this region from now on. */
  onRegion(region: Region): void
  /** Data of another replica of this store lies in the region's range. */
  isOccupied(region: Region): boolean
  /** Writes the tombstone, durably, then removes the data; ends in Cleared. */
  clear(tombstone: Tombstone): void
  /** Nothing of the replica is left. */
  forget(regionId: RegionId): void
}

export interface PeerPorts {
  readonly storeId: StoreId
  readonly config: PeerConfig
  readonly clock: Clock
  readonly standstill: Standstill
  readonly random: Random
  readonly logger: Logger
  readonly log: RaftLog
  readonly transport: Transport
  readonly apply: ApplyClient
  readonly reads: ReadExecutor
  readonly snapshots: SnapshotService
  readonly replicas: ReplicaService
  readonly disks: DiskView
  readonly metrics: PeerMetrics
  /** Replicas that are to be ticked: all but those that hibernate. */
  readonly awake: Set<RegionId>
  /** Puts a significant message into the mailbox of a region of this store. */
  notify(regionId: RegionId, signal: PeerSignal): void
  reportRegion(report: RegionReport): void
  /** A request has been answered: its bytes are no longer in the store. */
  release(request: RawRequest): void
  /** The disk did not give back what it holds: fatal to the store, unless it is closing anyway. */
  fail(error: Error): void
}
