/**
 * What the core asks of its stored log. Calls are synchronous and cheap; what would need a disk
 * answers 'temporarily-unavailable' and is fetched behind the core's back, which retries later
 * (entries: after `onEntriesFetched`; snapshot: at the next message to that peer).
 */
import type { LogIndex, PeerId, Term } from '../base/ids.ts'
import type { ConfState, Entry, HardState, Snapshot } from './types.ts'

export type Unavailable = 'compacted' | 'unavailable' | 'temporarily-unavailable'

export interface RaftStorage {
  initialState(): { hardState: HardState; confState: ConfState }
  /**
   * Entries [low, high), cut so that their size stays within maxBytes but at least one long.
   * `to` is the peer they are for, 0 when for this node's own apply.
   */
  entries(low: LogIndex, high: LogIndex, maxBytes: number, to: PeerId): Entry[] | Unavailable
  term(index: LogIndex): Term | Unavailable
  /** First index that entries() can answer; the term of the index before it is known too. */
  firstIndex(): LogIndex
  lastIndex(): LogIndex
  /** A snapshot at or above `requestIndex`. */
  snapshot(requestIndex: LogIndex, to: PeerId): Snapshot | Unavailable
}
