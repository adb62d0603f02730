/** What a peer needs of the store around it. One object for all peers of a store. */
import type { ApplyClient } from '../apply/port.ts'
import type { Clock, Random } from '../base/clock.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { RaftLog } from '../raftlog/port.ts'
import type { Peer, Region } from '../region/region.ts'
import type { Transport } from '../transport/port.ts'
import type { PeerSignal } from './messages.ts'
import type { PeerMetrics } from './metrics.ts'

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
}

/** Runs reads that a peer has found to be safe now. */
export interface ReadExecutor {
  /** Queues into the round; answered through the request's sink. */
  read(request: RawRequest, region: Region): void
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

export interface PeerPorts {
  readonly storeId: StoreId
  readonly config: PeerConfig
  readonly clock: Clock
  readonly random: Random
  readonly logger: Logger
  readonly log: RaftLog
  readonly transport: Transport
  readonly apply: ApplyClient
  readonly reads: ReadExecutor
  readonly metrics: PeerMetrics
  /** Puts a significant message into the mailbox of a region of this store. */
  notify(regionId: RegionId, signal: PeerSignal): void
  reportRegion(report: RegionReport): void
  /** A request has been answered: its bytes are no longer in the store. */
  release(request: RawRequest): void
  /** The disk did not give back what it holds: fatal to the store, unless it is closing anyway. */
  fail(error: Error): void
}
