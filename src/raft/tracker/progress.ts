/**
 * What a leader knows of one follower's log, and how it feeds it:
 *
 *   probe      one append at a time until an answer tells where the logs meet
 *   replicate  appends stream ahead of their answers, within the in-flight window
 *   snapshot   the follower needs what the log no longer has; nothing is sent until it answers
 *
 * INVARIANTS: match < next; only what is at or below match is known to be durable there.
 */
import { assert } from '../../base/assert.ts'
import type { LogIndex, PeerId } from '../../base/ids.ts'
import type { Inflights } from './inflights.ts'

export const ProgressState = { Probe: 0, Replicate: 1, Snapshot: 2 } as const
export type ProgressState = (typeof ProgressState)[keyof typeof ProgressState]

export class Progress {
  readonly id: PeerId
  state: ProgressState = ProgressState.Probe
  match: LogIndex
  next: LogIndex
  /** Highest commit index that it was sent and may have taken over. */
  sentCommit: LogIndex = 0
  /** Index of the snapshot on its way, in the snapshot state. */
  pendingSnapshot: LogIndex = 0
  /** It asked for a snapshot at or above this index; 0 = it did not. */
  requestedSnapshot: LogIndex = 0
  /** Latest heartbeat round that it answered, for read-index. */
  ackedRound = 0
  isLearner: boolean
  /** Heard from since the last quorum check. */
  recentActive: boolean
  /** No append until the next answer: a probe is out, or the window is full. */
  paused = false
  /** Its entries are being fetched from disk. */
  fetching = false
  readonly inflights: Inflights

  constructor(id: PeerId, next: LogIndex, isLearner: boolean, recentActive: boolean, w: Inflights) {
    this.id = id
    this.match = 0
    this.next = next
    this.isLearner = isLearner
    this.recentActive = recentActive
    this.inflights = w
  }

  /** Nothing may be sent now. */
  get isPaused(): boolean {
    return this.paused || this.fetching || this.state === ProgressState.Snapshot
  }

  becomeProbe(): void {
    const behindSnapshot = this.state === ProgressState.Snapshot ? this.pendingSnapshot + 1 : 0
    this.#enter(ProgressState.Probe)
    this.next = Math.max(this.match + 1, behindSnapshot)
    this.#forgetCommitAbove(this.next - 1)
  }

  becomeReplicate(): void {
    this.#enter(ProgressState.Replicate)
    this.next = this.match + 1
  }

  becomeSnapshot(index: LogIndex): void {
    this.#enter(ProgressState.Snapshot)
    this.pendingSnapshot = index
    this.next = index + 1
    this.sentCommit = index
  }

  /** Accounts for an append that left. */
  onAppendSent(count: number, bytes: number, commit: LogIndex): void {
    this.sentCommit = commit
    if (this.state === ProgressState.Probe) {
      if (count > 0) this.paused = true
      return
    }
    assert(
      this.state === ProgressState.Replicate,
      'appends leave only while probing or replicating',
    )
    if (count > 0) {
      this.next += count
      this.inflights.add(this.next - 1, bytes)
    }
    this.paused = this.inflights.isFull
  }

  /** It has everything up to `index`. False when that is no news. */
  maybeUpdate(index: LogIndex): boolean {
    if (index <= this.match) return false
    this.match = index
    if (this.next <= index) this.next = index + 1
    this.paused = false
    return true
  }

  /**
   * It refused an append behind `rejected` and matches at most at `hint`. False when the refusal is
   * older than what is known.
   */
  maybeStepBack(rejected: LogIndex, hint: LogIndex): boolean {
    if (this.state === ProgressState.Replicate) {
      if (rejected <= this.match) return false
      this.next = this.match + 1
    } else {
      if (rejected !== this.next - 1) return false
      this.next = Math.max(Math.min(rejected, hint + 1), this.match + 1)
      this.paused = false
    }
    this.#forgetCommitAbove(this.next - 1)
    return true
  }

  /** Sending `commit` could raise its commit index. */
  canRaiseCommit(commit: LogIndex): boolean {
    return commit > this.sentCommit && this.sentCommit < this.next - 1
  }

  #enter(state: ProgressState): void {
    this.state = state
    this.paused = false
    this.fetching = false
    this.pendingSnapshot = 0
    this.inflights.reset()
  }

  #forgetCommitAbove(index: LogIndex): void {
    if (this.sentCommit > index) this.sentCommit = index
  }
}
