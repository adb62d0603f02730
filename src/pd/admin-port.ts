/** Administration of the placement driver, as the command line sees it. */
import type { RegionId, StoreId } from '../base/ids.ts'
import type { PeerCommand } from './checkers/peer-command.ts'
import type { StoreMeta } from './port.ts'

export interface PdSettings {
  /** Voters wanted for each region. */
  readonly replicas: number
  /** Silence after which the peers of a store are replaced. */
  readonly maxStoreDownMs: number
}

export interface StoreRemovalOptions {
  /** Its data is lost: nobody waits for it any more. */
  readonly physicallyDestroyed: boolean
  /** Also where regions would be lost, or its peers have nowhere to go. */
  readonly force: boolean
}

export interface StoreRemoval {
  readonly store: StoreMeta
  /** Regions that still have a peer on it. */
  readonly regions: number
}

export interface OperatorInfo {
  readonly regionId: RegionId
  readonly reason: string
  readonly origin: string
  readonly status: 'running' | 'success' | 'timeout' | 'cancel'
  /** Why it ended, unless it succeeded. */
  readonly note: string
  readonly steps: readonly string[]
  /** Steps that are done. */
  readonly stepIndex: number
  readonly ageMs: number
  /** Since its present step began, or since it ended. */
  readonly stepAgeMs: number
}

export interface PdAdmin {
  /** Rejects with Unsupported when the PD is not polyraft's. */
  settings(): Promise<PdSettings>
  /** Durable; regions grow or shrink to it by and by. */
  setReplicas(count: number): Promise<void>
  /** Rejects with InvalidArgument what PD refuses, saying what to do instead. */
  deleteStore(storeId: StoreId, how: StoreRemovalOptions): Promise<StoreRemoval>
  operators(): Promise<OperatorInfo[]>
  /** Under way or ended lately; rejects with NotFound. */
  operator(regionId: RegionId): Promise<OperatorInfo>
  addOperator(command: PeerCommand): Promise<OperatorInfo>
  removeOperator(regionId: RegionId): Promise<void>
  close(): Promise<void>
}
