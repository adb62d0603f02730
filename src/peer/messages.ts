/**
 * What a peer is told through its mailbox. A raw request is a message as it is (no wrapper on the
 * hot path); everything else carries a numeric tag. Droppable ones (requests, raft messages) respect
 * the mailbox's bound; significant ones (persisted, applied, fetched) are forced in, because the
 * state machine would hang without them. They are bounded by what was handed out.
 */

import type { ApplyResult } from '../apply/port.ts'
import type { LogIndex, PeerId, ReadyNumber, StoreId } from '../base/ids.ts'
import type { RawRequest } from '../protocol/raw.ts'
import type { RegionEpoch } from '../region/region.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import type { PdOrder } from './on-order.ts'
import type { BuiltSnapshot } from './on-snapshot.ts'
import type { InstallPhase } from './snapshot-install.ts'

export const PeerTag = {
  Raft: 1,
  Tick: 2,
  Persisted: 3,
  Applied: 4,
  EntriesFetched: 5,
  Unreachable: 6,
  TransferAway: 7,
  Campaign: 8,
  HeartbeatPd: 9,
  RaftLogGc: 10,
  SnapshotBuilt: 11,
  SnapshotSent: 12,
  SnapshotArrived: 13,
  SnapshotInstall: 14,
  PdOrder: 15,
  Removed: 16,
  Cleared: 17,
  Silent: 18,
} as const

export type PeerSignal =
  | { readonly tag: typeof PeerTag.Raft; readonly envelope: RaftEnvelope }
  | { readonly tag: typeof PeerTag.Tick }
  | { readonly tag: typeof PeerTag.Persisted; readonly readyNumber: ReadyNumber }
  | { readonly tag: typeof PeerTag.Applied; readonly result: ApplyResult }
  | { readonly tag: typeof PeerTag.EntriesFetched; readonly to: number }
  | { readonly tag: typeof PeerTag.Unreachable; readonly storeId: StoreId }
  /** Nothing is heard of the store any more. */
  | { readonly tag: typeof PeerTag.Silent; readonly storeId: StoreId }
  /** Hand leadership to another store, whichever is best: this one is stopping. */
  | { readonly tag: typeof PeerTag.TransferAway }
  | { readonly tag: typeof PeerTag.Campaign }
  | { readonly tag: typeof PeerTag.HeartbeatPd }
  /** Entries up to `forcedIndex` should go though a replica lacks them; 0 = by the usual rule. */
  | { readonly tag: typeof PeerTag.RaftLogGc; readonly forcedIndex: LogIndex }
  | {
      readonly tag: typeof PeerTag.SnapshotBuilt
      readonly id: number
      readonly result: BuiltSnapshot | undefined
      readonly error: string
    }
  | { readonly tag: typeof PeerTag.SnapshotSent; readonly to: PeerId; readonly ok: boolean }
  /** A snapshot message whose files are all here. */
  | { readonly tag: typeof PeerTag.SnapshotArrived; readonly envelope: RaftEnvelope }
  | { readonly tag: typeof PeerTag.SnapshotInstall; readonly phase: InstallPhase }
  | { readonly tag: typeof PeerTag.PdOrder; readonly order: PdOrder }
  /** The region has not had this peer any more since `epoch`, somebody says who knows. */
  | { readonly tag: typeof PeerTag.Removed; readonly peerId: PeerId; readonly epoch: RegionEpoch }
  /** Of a peer that is being destroyed: its data is gone. */
  | { readonly tag: typeof PeerTag.Cleared }

export type PeerMessage = RawRequest | PeerSignal

export const TICK: PeerSignal = { tag: PeerTag.Tick }
export const TRANSFER_AWAY: PeerSignal = { tag: PeerTag.TransferAway }
export const CAMPAIGN: PeerSignal = { tag: PeerTag.Campaign }
export const HEARTBEAT_PD: PeerSignal = { tag: PeerTag.HeartbeatPd }
export const CLEARED: PeerSignal = { tag: PeerTag.Cleared }
export const RAFT_LOG_GC: PeerSignal = { tag: PeerTag.RaftLogGc, forcedIndex: 0 }
