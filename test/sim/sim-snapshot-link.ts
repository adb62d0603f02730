/**
 * A connection between two simulated stores that carries one snapshot. As TCP does, it keeps order
 * and loses nothing: what a bad network does to it is delay, silence and an end.
 */
import { PolyraftError } from '../../src/base/errors.ts'
import type { SnapshotChannel } from '../../src/transport/snapshot-transfer.ts'

/** What an end of the link needs of the process that holds it. */
export interface LinkHolder {
  /** Never after the process has ended. */
  later(delayMs: number, run: () => void): () => void
}

/** How long a frame travels; undefined: no more comes through. 'break': the connection ends. */
export type Carry = (payload: Buffer) => number | undefined | 'break'

const STALL_MS = 3_000
const SEND_MS = 0.05
/** After which both ends take a silent connection for broken. */
const SILENCE_MS = 1_500

interface Waiter {
  readonly resolve: (payload: Buffer) => void
  readonly reject: (error: Error) => void
  readonly cancel: () => void
}

export class SimSnapshotLink implements SnapshotChannel {
  readonly #holder: LinkHolder
  readonly #carry: Carry
  #other: SimSnapshotLink | undefined = undefined
  #inbox: Buffer[] = []
  #waiter: Waiter | undefined = undefined
  #error: Error | undefined = undefined
  #lastArrivalMs = 0
  #silent = false
  readonly #nowMs: () => number

  constructor(holder: LinkHolder, carry: Carry, nowMs: () => number) {
    this.#holder = holder
    this.#carry = carry
    this.#nowMs = nowMs
  }

  static connect(a: SimSnapshotLink, b: SimSnapshotLink): void {
    a.#other = b
    b.#other = a
  }

  send(payload: Uint8Array): Promise<void> {
    if (this.#error !== undefined) return Promise.reject(this.#error)
    const bytes = Buffer.from(payload)
    const delayMs = this.#carry(bytes)
    if (delayMs === 'break') {
      this.destroy()
      return Promise.reject(this.#error)
    }
    const other = this.#other!
    if (delayMs === undefined) this.fallSilent()
    else if (!this.#silent) {
      this.#lastArrivalMs = Math.max(this.#lastArrivalMs, this.#nowMs() + delayMs)
      other.#holder.later(this.#lastArrivalMs - this.#nowMs(), () => other.#arrive(bytes))
    }
    return new Promise((resolve) => void this.#holder.later(SEND_MS, resolve))
  }

  receive(timeoutMs = STALL_MS): Promise<Buffer> {
    const waiting = this.#inbox.shift()
    if (waiting !== undefined) return Promise.resolve(waiting)
    if (this.#error !== undefined) return Promise.reject(this.#error)
    return new Promise((resolve, reject) => {
      const cancel = this.#holder.later(timeoutMs, () => this.fail('nothing moved on the link'))
      this.#waiter = { resolve, reject, cancel }
    })
  }

  /** Both ends hear of it. */
  destroy(): void {
    this.fail('the link was closed here')
    const other = this.#other!
    // Frames that are under way come first.
    const afterMs = Math.max(this.#lastArrivalMs - this.#nowMs(), 0) + SEND_MS
    other.#holder.later(afterMs, () => other.fail('the link was closed there'))
  }

  /** Nothing comes through any more, in either direction. */
  fallSilent(): void {
    if (this.#silent || this.#error !== undefined) return
    for (const end of [this, this.#other!]) {
      end.#silent = true
      end.#holder.later(SILENCE_MS, () => end.fail('the link fell silent'))
    }
  }

  fail(reason: string): void {
    this.#error ??= new PolyraftError('Unavailable', reason)
    const waiter = this.#waiter
    this.#waiter = undefined
    waiter?.cancel()
    waiter?.reject(this.#error)
  }

  #arrive(payload: Buffer): void {
    if (this.#error !== undefined) return
    const waiter = this.#waiter
    if (waiter === undefined) {
      this.#inbox.push(payload)
      return
    }
    this.#waiter = undefined
    waiter.cancel()
    waiter.resolve(payload)
  }
}
