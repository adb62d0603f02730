/**
 * Reads that wait for a quorum to confirm the leader (ReadIndex), in batches of one round each.
 *
 *   open batch ── issue ──▶ in flight (context = number) ── onReadState ──▶ confirmed at index
 *                                                                          ── applied ≥ index ──▶ run
 *
 * INVARIANTS
 * - A read joins only a batch that has not been issued yet: a batch in flight may have an index that
 *   is too low for it.
 * - Contexts are never used twice, not even for a retry: a late answer to the first attempt must not
 *   confirm the second. Nor does a restarted peer use those of its earlier run, whose answers may
 *   still be on their way with an index that is too low.
 * - Batches are confirmed in order: an answer to a later one confirms the earlier ones too.
 */
import { EMPTY_BYTES, readU64LE, writeU64LE } from '../base/bytes.ts'
import type { Random } from '../base/clock.ts'
import type { LogIndex } from '../base/ids.ts'
import { withItem } from '../base/lazy-list.ts'
import { Ring } from '../base/ring.ts'
import type { RawRequest } from '../protocol/raw.ts'

interface ReadBatch {
  context: number
  issuedMs: number
  readonly requests: RawRequest[]
}

interface ConfirmedBatch {
  readonly index: LogIndex
  readonly requests: readonly RawRequest[]
}

const CONTEXT_BYTES = 8

export class PendingReads {
  readonly #contextFirst: number
  #open: RawRequest[] | undefined = undefined
  readonly #issued = new Ring<ReadBatch>(4)
  readonly #confirmed = new Ring<ConfirmedBatch>(4)
  #contextNext: number

  /** Contexts begin at a random number: those of an earlier run of this peer mean nothing here. */
  constructor(random: Random) {
    this.#contextFirst = random.below(2 ** 31) * 2 ** 21 + random.below(2 ** 21) + 1
    this.#contextNext = this.#contextFirst
  }

  get length(): number {
    return (this.#open?.length ?? 0) + this.#issued.length + this.#confirmed.length
  }

  get hasOpen(): boolean {
    return this.#open !== undefined
  }

  get hasConfirmed(): boolean {
    return this.#confirmed.length > 0
  }

  add(request: RawRequest): void {
    this.#open = withItem(this.#open, request)
  }

  /** These may run at `index`: nothing else has to be asked. */
  addConfirmed(index: LogIndex, requests: readonly RawRequest[]): void {
    this.#confirmed.push({ index, requests })
  }

  /** Closes the open batch and returns the context to ask raft with. */
  issue(nowMs: number): Buffer {
    const context = this.#contextNext++
    this.#issued.push({ context, issuedMs: nowMs, requests: this.#takeOpen() })
    return encodeContext(context)
  }

  /** The oldest batch in flight, if it was issued before `beforeMs`: lost on its way, ask again. */
  reissueOlderThan(beforeMs: number, nowMs: number): Buffer {
    const oldest = this.#issued.peek()
    if (oldest === undefined || oldest.issuedMs >= beforeMs) return EMPTY_BYTES
    oldest.context = this.#contextNext++
    oldest.issuedMs = nowMs
    // Kept in the order of contexts: everything behind it is asked for again with it.
    const merged = oldest.requests
    this.#issued.shift()
    for (let batch = this.#issued.shift(); batch !== undefined; batch = this.#issued.shift()) {
      for (const request of batch.requests) merged.push(request)
    }
    this.#issued.push(oldest)
    return encodeContext(oldest.context)
  }

  /** Returns the time at which the confirmed batch was issued, or undefined for an unknown context. */
  onReadState(context: Uint8Array, index: LogIndex): number | undefined {
    if (context.length !== CONTEXT_BYTES) return undefined
    const number = readU64LE(Buffer.from(context), 0)
    if (number < this.#contextFirst || number >= this.#contextNext) return undefined
    let issuedMs: number | undefined
    for (let head = this.#issued.peek(); head !== undefined; head = this.#issued.peek()) {
      if (head.context > number) break
      this.#issued.shift()
      issuedMs = head.issuedMs
      this.#confirmed.push({ index, requests: head.requests })
    }
    return issuedMs
  }

  /** Requests that may run now that `applied` is applied; undefined when there are none. */
  takeReadable(applied: LogIndex): readonly RawRequest[] | undefined {
    const head = this.#confirmed.peek()
    if (head === undefined || head.index > applied) return undefined
    this.#confirmed.shift()
    return head.requests
  }

  takeAll(): RawRequest[] {
    const all = this.#takeOpen()
    for (let b = this.#issued.shift(); b !== undefined; b = this.#issued.shift()) {
      all.push(...b.requests)
    }
    for (let b = this.#confirmed.shift(); b !== undefined; b = this.#confirmed.shift()) {
      all.push(...b.requests)
    }
    return all
  }

  #takeOpen(): RawRequest[] {
    const open = this.#open ?? []
    this.#open = undefined
    return open
  }
}

function encodeContext(context: number): Buffer {
  const bytes = Buffer.allocUnsafe(CONTEXT_BYTES)
  writeU64LE(bytes, context, 0)
  return bytes
}
