/**
 * The snapshot that a leader has for followers who need what its log no longer holds.
 *
 *   idle ── asked ──▶ wanted ── scheduled behind apply ──▶ building ── valid ──▶ ready ── sent ──▶ idle
 *     ▲                                                       │ failed, or out of date
 *     └───────────────────────────────────────────────────────┘
 *
 * INVARIANTS
 * - Raft is answered at once, always: with a snapshot that still joins the log, or "not now".
 * - A set on disk is released exactly once, and never while it is being sent.
 */
import type { LogIndex } from '../base/ids.ts'
import type { Snapshot } from '../raft/types.ts'

/** Attempts in a row that may fail, and how many askings are then let pass before the next. */
const TRIES_MAX = 5
const ASKINGS_SKIPPED = 100
/** Sends of one set that may fail before another is built. */
const SEND_FAILURES_MAX = 3
/** A set that nobody has asked for so long is in the way of others: followers that live ask often. */
const IDLE_TICKS_MAX = 100

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'wanted'; readonly requestIndex: LogIndex }
  | {
      readonly kind: 'building'
      readonly id: number
      readonly requestIndex: LogIndex
      /** Applied when it began: the snapshot will not be below. */
      readonly floor: LogIndex
    }
  | { readonly kind: 'ready'; readonly snapshot: Snapshot }

const IDLE: State = Object.freeze({ kind: 'idle' })

export class SnapshotSource {
  readonly #release: (data: Uint8Array | undefined) => void
  #state: State = IDLE
  #lastId = 0
  #tries = 0
  #skipped = 0
  #sending = 0
  #sendFailures = 0
  #served = false
  #abandoned = false
  #idleTicks = 0
  #late = 0

  /** `release` gives a reservation back, and removes the set if there is one. */
  constructor(release: (data: Uint8Array | undefined) => void) {
    this.#release = release
  }

  get kind(): State['kind'] {
    return this.#state.kind
  }

  /** Sets in a row that the log left behind before they were of use. */
  get late(): number {
    return this.#late
  }

  get isSending(): boolean {
    return this.#sending > 0
  }

  /** Entries above this have to stay in the log for the snapshot to be of use. */
  get floor(): LogIndex {
    const state = this.#state
    if (state.kind === 'building') return state.floor
    return state.kind === 'ready' ? state.snapshot.metadata.index : Number.POSITIVE_INFINITY
  }

  ask(requestIndex: LogIndex, firstIndex: LogIndex): Snapshot | 'temporarily-unavailable' {
    const state = this.#state
    this.#idleTicks = 0
    if (state.kind === 'ready') {
      const { index } = state.snapshot.metadata
      if (index >= requestIndex && index + 1 >= firstIndex && !this.#abandoned) {
        return state.snapshot
      }
      if (index + 1 < firstIndex) this.#late++
      this.abandon()
    }
    if (this.#state.kind === 'idle' && this.#mayTry()) {
      this.#state = { kind: 'wanted', requestIndex }
    }
    return 'temporarily-unavailable'
  }

  /** A reservation was got: the number of the build to order. */
  begin(appliedIndex: LogIndex): number {
    const requestIndex = this.#state.kind === 'wanted' ? this.#state.requestIndex : 0
    this.#tries++
    this.#state = { kind: 'building', id: ++this.#lastId, requestIndex, floor: appliedIndex }
    return this.#lastId
  }

  /** The build ended; `fits` says whether it still matches region and log. False: it is waste. */
  onBuilt(id: number, snapshot: Snapshot | undefined, firstIndex: LogIndex): boolean {
    const state = this.#state
    const mine = state.kind === 'building' && state.id === id
    const index = snapshot?.metadata.index ?? 0
    if (!mine || snapshot === undefined || index < state.requestIndex || index + 1 < firstIndex) {
      if (mine) this.#state = IDLE
      if (mine && snapshot !== undefined && index + 1 < firstIndex) this.#late++
      this.#release(snapshot?.data)
      return false
    }
    this.#state = { kind: 'ready', snapshot }
    this.#tries = 0
    this.#sending = 0
    this.#sendFailures = 0
    this.#served = false
    this.#abandoned = false
    return true
  }

  tick(): void {
    if (this.#state.kind !== 'ready' || this.#sending > 0) return
    if (++this.#idleTicks >= IDLE_TICKS_MAX) this.abandon()
  }

  onSending(): void {
    this.#sending++
  }

  onSent(ok: boolean): void {
    this.#sending--
    if (ok) {
      this.#served = true
      this.#late = 0
    } else {
      this.#sendFailures++
    }
    const worn = this.#served || this.#sendFailures >= SEND_FAILURES_MAX
    if (worn || this.#abandoned) this.abandon()
  }

  /** Of no use any more. True when a build should be cancelled. */
  abandon(): boolean {
    const state = this.#state
    if (state.kind === 'ready') {
      this.#abandoned = true
      if (this.#sending > 0) return false
      this.#state = IDLE
      this.#release(state.snapshot.data)
      return false
    }
    // A build that ends later finds that nobody waits for it.
    this.#state = IDLE
    return state.kind === 'building'
  }

  #mayTry(): boolean {
    if (this.#tries < TRIES_MAX) return true
    if (++this.#skipped < ASKINGS_SKIPPED) return false
    this.#skipped = 0
    this.#tries = 0
    return true
  }
}
