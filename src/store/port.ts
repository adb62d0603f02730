/** A running store as the server, the embedded engine and the status pages use it. */
import type { DiskState } from '../base/disk-state.ts'
import type { ClusterId, RegionId, StoreId } from '../base/ids.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { Region } from '../region/region.ts'
import type { SnapshotProgressView } from './snapshot-progress.ts'

export interface RegionStatus {
  readonly region: Region
  readonly peerId: number
  readonly role: 'leader' | 'follower' | 'candidate' | 'pre-candidate' | 'learner'
  readonly leaderPeerId: number
  readonly term: number
  readonly commitIndex: number
  readonly appliedIndex: number
  readonly firstIndex: number
  readonly lastIndex: number
  /** Leader only: by peer id. */
  readonly progress: Readonly<
    Record<string, { readonly match: number; readonly next: number; readonly state: string }>
  >
  /** Absent for a replica at work: it has no data yet, rests, or is on its way out. */
  readonly life?: 'uninitialised' | 'hibernating' | 'destroying'
  /** Absent unless a snapshot of the region is being made, kept, or installed here. */
  readonly snapshot?: {
    /** For others: wanted, building or ready. */
    readonly source: string
    /** Of this replica: held, recording, ingesting, completing or failed. */
    readonly install: string
    /** What is being built, sent, received or installed. */
    readonly progress: readonly SnapshotProgressView[]
  }
}

export interface StoreStatus {
  readonly clusterId: ClusterId
  readonly storeId: StoreId
  readonly ready: boolean
  readonly regionCount: number
  readonly leaderCount: number
  /** Absent until the store is open. */
  readonly disk?: {
    readonly state: DiskState
    readonly capacityBytes: number
    readonly availableBytes: number
  }
}

export interface StoreService {
  /** Executes one request; the answer goes to request.sink. Never throws. */
  execute(request: RawRequest): void
  status(): StoreStatus
  regionStatus(regionId: RegionId): RegionStatus | undefined
  regions(): RegionId[]
  /** Counters and gauges by metric name, without the `polyraft_` prefix. */
  metrics(): Record<string, number>
  /** Not ready → leaders move away → drain → close. Idempotent. */
  close(): Promise<void>
}
