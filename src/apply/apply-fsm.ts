/**
 * Apply's state of one region: how far it is, what it works at, and what it did since the last
 * write. Behaviour is in the runner and in the pipeline.
 *
 * The apply state costs a write of its own, a quarter more for a region with four operations in a
 * round. So it may be behind the data, by a bounded number of operations: a restart applies these
 * again over themselves, in their order, which ends at the same data. What would not is a change of
 * the region or of its log's beginning: then the state is written in the same batch.
 *
 * INVARIANTS
 * - appliedIndex rises by one with each entry; the state on disk never shows half an entry, and never
 *   more than is in the data.
 * - `region` is undefined before registration and after destruction; no entry is applied then.
 * - Nothing is applied behind the entry that removed this replica.
 */
import { assert } from '../base/assert.ts'
import {
  type LogIndex,
  NO_ID,
  type PeerId,
  type RegionId,
  type StoreId,
  type Term,
} from '../base/ids.ts'
import type { Fsm } from '../batch-system/fsm.ts'
import { Mailbox } from '../batch-system/mailbox.ts'
import { peerById, peerOnStore, type Region } from '../region/region.ts'
import { type ApplyState, encodeApplyState } from '../region/state.ts'
import type { ApplyLimits } from './limits.ts'
import type { ApplyRejection, ApplyResult, ApplyTask } from './port.ts'

/** Messages keep the order of the calls, so a region may be destroyed and come again. */
export type ApplyMessage =
  | { readonly kind: 'apply'; readonly task: ApplyTask }
  | { readonly kind: 'register'; readonly region: Region; readonly state: ApplyState }
  | { readonly kind: 'snapshot'; readonly id: number }
  | { readonly kind: 'destroy' }

/** Committed entries are never refused: the peer bounds how far committed runs ahead of applied. */
const MAILBOX_CAPACITY = Number.MAX_SAFE_INTEGER
const NO_REJECTIONS: readonly ApplyRejection[] = []

export class ApplyFsm implements Fsm<ApplyMessage> {
  readonly id: RegionId
  readonly mailbox = new Mailbox<ApplyMessage>(MAILBOX_CAPACITY)
  region: Region | undefined = undefined
  /** The replica of this store. */
  peerId: PeerId = NO_ID
  /** It applied its own removal. */
  isRemoved = false
  appliedIndex: LogIndex = 0
  appliedTerm: Term = 0
  /** The task in work and its next entry: a region that gives way goes on from here. */
  task: ApplyTask | undefined = undefined
  position = 0
  /** Stands in the runner's list of regions to write and answer. */
  dirty = false
  #truncatedIndex: LogIndex = 0
  #truncatedTerm: Term = 0
  // Since the last apply state that was written
  #lagOps = 0
  #lagBytes = 0
  #stateIsDue = false
  // Since the last result
  #ops = 0
  #bytes = 0
  #rejections: ApplyRejection[] | undefined = undefined

  constructor(id: RegionId) {
    this.id = id
  }

  become(region: Region, state: ApplyState, storeId: StoreId): void {
    assert(this.region === undefined, `region ${this.id} is registered once`)
    assert(region.id === this.id, `region ${region.id} is registered under its own id`)
    assert(
      state.truncatedIndex <= state.appliedIndex,
      `region ${this.id}: log truncated at ${state.truncatedIndex}, above applied ${state.appliedIndex}`,
    )
    const self = peerOnStore(region, storeId)
    assert(self !== undefined, `region ${this.id} has a peer on store ${storeId}`)
    this.region = region
    this.peerId = self.id
    this.isRemoved = false
    this.appliedIndex = state.appliedIndex
    this.appliedTerm = state.appliedTerm
    this.#truncatedIndex = state.truncatedIndex
    this.#truncatedTerm = state.truncatedTerm
  }

  get truncatedIndex(): LogIndex {
    return this.#truncatedIndex
  }

  /** The log up to `index` is given up; on disk with the apply state. */
  truncate(index: LogIndex, term: Term): void {
    assert(
      index > this.#truncatedIndex && index <= this.appliedIndex,
      `region ${this.id}: log truncated at ${index}, which is not in ${this.#truncatedIndex}..${this.appliedIndex}`,
    )
    this.#truncatedIndex = index
    this.#truncatedTerm = term
    this.#stateIsDue = true
  }

  changeRegion(region: Region): void {
    this.region = region
    this.#stateIsDue = true
    this.isRemoved = peerById(region, this.peerId) === undefined
  }

  becomeDestroyed(): void {
    assert(this.region !== undefined, `region ${this.id} is destroyed once`)
    assert(!this.dirty && this.task === undefined, 'a region is destroyed behind its work')
    this.region = undefined
    this.#stateIsWritten()
  }

  /** An entry was staged whole: `ops` and `bytes` are what it added to the batch. */
  advance(index: LogIndex, term: Term, ops: number, bytes: number): void {
    this.appliedIndex = index
    this.appliedTerm = term
    // An entry that writes nothing is work for a restart, too.
    this.#lagOps += Math.max(ops, 1)
    this.#lagBytes += bytes
    this.#ops += ops
    this.#bytes += bytes
  }

  reject(rejection: ApplyRejection): void {
    this.#rejections ??= []
    this.#rejections.push(rejection)
  }

  /** The apply state on disk is behind the data. */
  get lags(): boolean {
    return this.#lagOps > 0
  }

  /** It may not be left further behind. */
  needsState({ stateLagOpsMax, stateLagBytesMax }: ApplyLimits): boolean {
    const tooFar = this.#lagOps >= stateLagOpsMax || this.#lagBytes >= stateLagBytesMax
    return tooFar || this.#stateIsDue
  }

  /** The apply state, to be written with what was staged. */
  takeState(): Buffer {
    this.#stateIsWritten()
    return encodeApplyState({
      appliedIndex: this.appliedIndex,
      appliedTerm: this.appliedTerm,
      truncatedIndex: this.#truncatedIndex,
      truncatedTerm: this.#truncatedTerm,
    })
  }

  #stateIsWritten(): void {
    this.#lagOps = 0
    this.#lagBytes = 0
    this.#stateIsDue = false
  }

  /** What was done since the last result; call after the write. */
  takeResult(): ApplyResult {
    const result = {
      regionId: this.id,
      appliedIndex: this.appliedIndex,
      appliedTerm: this.appliedTerm,
      rejections: this.#rejections ?? NO_REJECTIONS,
      writtenKeys: this.#ops,
      writtenBytes: this.#bytes,
      removed: this.isRemoved ? (true as const) : undefined,
    }
    this.#ops = 0
    this.#bytes = 0
    this.#rejections = undefined
    return result
  }
}
