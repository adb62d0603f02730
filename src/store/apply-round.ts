/**
 * The round of one apply worker, as it is gathered: what crosses to the worker as one message.
 *
 *   applyLater ─▶ ┐                        held until something awaited joins, HOLD_MS are over,
 *   apply ──────▶ ┼─ round ── flush() ──▶  or HOLD_BYTES are there; then post(bytes)
 *   hurry ──────▶ ┘
 *
 * INVARIANTS
 * - One queue: whatever is posted is in the order of the calls.
 * - What is awaited leaves with the next flush(), and takes all that was held with it.
 * - What is held leaves within HOLD_MS.
 */
import type { ApplyTask } from '../apply/port.ts'
import { RoundEncoder } from '../apply/round-codec.ts'
import type { Later } from '../base/clock.ts'
import type { RegionId } from '../base/ids.ts'
import { KIB } from '../base/limits.ts'
import type { Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'

/**
 * How long and how much of what nobody waits for is held back. A store follows in more regions than
 * it leads, and each round of a worker costs a wake-up, a write and an answer, however small it is.
 */
const HOLD_MS = 10
const HOLD_BYTES = 256 * KIB

export class ApplyRound {
  readonly #later: Later
  readonly #post: (bytes: ArrayBuffer) => void
  readonly #round = new RoundEncoder()
  /** Somebody waits for what is in the round. */
  #awaited = false
  /** Calls off the end of the holding back; undefined while nothing is. */
  #cancelHold: (() => void) | undefined = undefined

  constructor(later: Later, post: (bytes: ArrayBuffer) => void) {
    this.#later = later
    this.#post = post
  }

  register(region: Region, state: ApplyState): void {
    this.#round.register(region, state)
    this.#awaited = true
  }

  // @hot
  apply(task: ApplyTask): void {
    this.#round.apply(task)
    this.#awaited = true
  }

  // @hot
  applyLater(task: ApplyTask): void {
    this.#round.apply(task)
  }

  hurry(): void {
    this.#awaited = true
  }

  destroy(regionId: RegionId): void {
    this.#round.destroy(regionId)
    this.#awaited = true
  }

  snapshot(regionId: RegionId, id: number): void {
    this.#round.snapshot(regionId, id)
    this.#awaited = true
  }

  cancelSnapshot(regionId: RegionId): void {
    this.#round.cancelSnapshot(regionId)
    this.#awaited = true
  }

  flush(): void {
    if (this.#round.empty) return
    if (this.#awaited || this.#round.bytes >= HOLD_BYTES) this.#leave()
    else this.#cancelHold ??= this.#later(HOLD_MS, () => this.#endHold())
  }

  /** Nothing is held from here on. */
  close(): void {
    this.#cancelHold?.()
    if (!this.#round.empty) this.#leave()
  }

  /** Not called off when the round leaves early: it is cheaper to post what came since. */
  #endHold(): void {
    this.#cancelHold = undefined
    if (!this.#round.empty) this.#leave()
  }

  #leave(): void {
    this.#awaited = false
    this.#post(this.#round.take())
  }
}
