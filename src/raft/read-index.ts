/**
 * Linearizable reads on a leader. A read waits for a round of heartbeats that started after it: when
 * a quorum answers that round, the leader was still leader after the read arrived, so the commit
 * index of its arrival is safe to read at. Rounds are the leader's own numbers; what a caller put
 * into its request is only handed back, so using it twice confuses nothing.
 *
 * Reads of a fresh leader are postponed until it committed in its own term: before that it may not
 * know what its predecessor acknowledged.
 *
 * With lease-based reads every heartbeat carries a round, and the time at which a confirmed round
 * was *sent* starts a lease of one tick less than the time-out within which followers refuse to
 * vote. This rests on ticks that are equally long on all nodes.
 */
import { readU64BE, writeU64BE } from '../base/bytes.ts'
import type { LogIndex, PeerId } from '../base/ids.ts'

export interface PendingRead {
  /** Who asked; 0 = this node itself. */
  readonly from: PeerId
  readonly context: Uint8Array
  readonly index: LogIndex
  /** Confirmed by an answer to this round or any later one. */
  readonly round: number
}

const NO_LEASE = Number.NEGATIVE_INFINITY

export class ReadIndex {
  /** Latest round that was started, 0 = none. */
  round = 0
  /** Reads arrived that no round covers yet: the next ready starts one. */
  roundWanted = false
  readonly pending: PendingRead[] = []
  readonly postponed: { readonly from: PeerId; readonly context: Uint8Array }[] = []
  #leaseProbe = 0
  #leaseProbeTick = 0
  #leaseTick = NO_LEASE

  add(from: PeerId, context: Uint8Array, index: LogIndex): void {
    this.pending.push({ from, context, index, round: this.round + 1 })
    this.roundWanted = true
  }

  /** The context of the heartbeats of a new round. */
  startRound(tick: number): Uint8Array {
    this.round++
    this.roundWanted = false
    if (this.#leaseProbe === 0) {
      this.#leaseProbe = this.round
      this.#leaseProbeTick = tick
    }
    return encodeRound(this.round)
  }

  /** A quorum answered `round`: takes out the reads that it confirms. */
  takeConfirmed(round: number): PendingRead[] {
    if (this.#leaseProbe > 0 && round >= this.#leaseProbe) {
      this.#leaseTick = this.#leaseProbeTick
      this.#leaseProbe = 0
    }
    let count = 0
    while (count < this.pending.length && this.pending[count]!.round <= round) count++
    return this.pending.splice(0, count)
  }

  holdsLease(tick: number, electionTick: number): boolean {
    return tick - this.#leaseTick < electionTick - 1
  }
}

function encodeRound(round: number): Uint8Array {
  const context = Buffer.allocUnsafe(8)
  writeU64BE(context, round, 0)
  return context
}

/** The round that a heartbeat's context names, 0 = none. */
export function decodeRound(context: Uint8Array): number {
  if (context.length !== 8) return 0
  return readU64BE(Buffer.from(context.buffer, context.byteOffset, 8), 0)
}
