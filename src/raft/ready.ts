/**
 * What a raft node wants done. A Ready is the only channel of effects: the caller sends, persists
 * and applies what it names, then reports back by its number.
 *
 *   ready() ── messages ───────────▶ send now (a leader's: before it persists)
 *      │  ├─── entries, hardState ─▶ persist; then onPersistReady(number)
 *      │  ├─── persistedMessages ──▶ send once this ready (and every lower one) is persisted
 *      │  └─── committedEntries ───▶ apply; then advanceApplyTo(index)
 *      └─ advanceAppendAsync(ready) at once: the next ready may be taken before this one is persisted
 */
import type { LogIndex, ReadyNumber } from '../base/ids.ts'
import type { Entry, HardState, Message, ReadState, Snapshot, SoftState } from './types.ts'

export interface Ready {
  /** Rises by one with each ready of a node. */
  readonly number: ReadyNumber
  /** Present when it changed. */
  readonly softState: SoftState | undefined
  /** Present when it changed; must be persisted with `entries`. */
  readonly hardState: HardState | undefined
  readonly readStates: readonly ReadState[]
  readonly entries: readonly Entry[]
  /** To be installed before `entries` are persisted. */
  readonly snapshot: Snapshot | undefined
  /** Committed and persisted here, in order, never handed out twice. */
  readonly committedEntries: readonly Entry[]
  /** Commit index when it moved. */
  readonly commitIndex: LogIndex | undefined
  readonly messages: readonly Message[]
  readonly persistedMessages: readonly Message[]
  /** Something here must be fsynced: entries, a snapshot, a new term or vote. */
  readonly mustSync: boolean
}

/** What becomes possible at once when a ready is persisted synchronously. */
export interface LightReady {
  readonly commitIndex: LogIndex | undefined
  readonly committedEntries: readonly Entry[]
  readonly messages: readonly Message[]
}
