/**
 * Keeps a store from filling its disk, and lets it go on when the disk is full all the same: looks at
 * free space now and then, keeps the reserve, and exchanges states with the stores that it shares
 * regions with.
 *
 *   check ─▶ DiskSpace ─▶ changed: log line, reserve given up, others told, leaders moved away
 *
 * INVARIANTS
 * - A store that is short of space tells the others again every TELL_MS: what was lost on the way,
 *   or said before a store came up, is made up for. What a store said is forgotten after FORGET_MS.
 * - Nothing here waits: a check is one statfs and at most one step of the reserve's file.
 */
import type { Clock } from '../base/clock.ts'
import { DISK_STATES, type DiskState, type DiskView } from '../base/disk-state.ts'
import { errorMessage } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { GIB, MIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import {
  type DiskFigures,
  type DiskLimits,
  type DiskProbe,
  DiskSpace,
  defaultReserveBytes,
  limitsFor,
} from '../env/disk-space.ts'
import type { FileSystem } from '../env/port.ts'
import { SpaceReserve } from '../env/space-reserve.ts'

export interface DiskGuardOptions {
  readonly dir: string
  readonly fs: FileSystem
  readonly probe: DiskProbe
  readonly clock: Clock
  readonly logger: Logger
  /** Bytes of the reserve file; 'auto' = by the size of the disk. */
  readonly reserveBytes: number | 'auto'
}

export interface DiskGuardEvents {
  /** The state of this store is to be told to all that it shares regions with. */
  tell(state: number): void
  /** Others have room: leaderships should go there. */
  moveLeaders(): void
}

const TELL_MS = 3_000
const FORGET_MS = 4 * TELL_MS
const MOVE_LEADERS_MS = 1_000
/**
 * Between two looks. A disk writes up to a few hundred mebibytes a second, so that with NEAR_BYTES
 * left a store comes to look closely before they are gone.
 */
const CHECK_MS = 250
const CHECK_CLOSELY_MS = 20
const NEAR_BYTES = GIB / 2
/** What one check adds to the reserve: a fraction of a millisecond of copying. */
const STEP_BYTES = MIB / 4
/** A store of a test or a trial leaves the disk alone, unless a reserve was asked for. */
const GROW_AFTER_MS = 60_000

export class DiskGuard implements DiskView {
  readonly #options: DiskGuardOptions
  readonly #space: DiskSpace
  readonly #reserve: SpaceReserve
  readonly #reserveBytes: number
  readonly #limits: DiskLimits
  readonly #growFromMs: number
  #figures: DiskFigures
  #held: number
  #events: DiskGuardEvents | undefined = undefined
  #toldMs = Number.NEGATIVE_INFINITY
  #movedMs = Number.NEGATIVE_INFINITY
  /** Stores that are short of space, by what they said last, and when. */
  readonly #others = new Map<StoreId, { readonly state: DiskState; readonly heardMs: number }>()
  /** Of the last look. */
  #trouble = ''
  #timer: NodeJS.Timeout | undefined = undefined
  tight = false

  /** Measures at once: a disk that is full already gives up its reserve before anything is opened. */
  constructor(options: DiskGuardOptions) {
    const { dir, fs, probe, reserveBytes } = options
    this.#options = options
    this.#reserve = new SpaceReserve(fs, probe, dir)
    this.#figures = probe.measure(dir)
    const { totalBytes } = this.#figures
    this.#reserveBytes = reserveBytes === 'auto' ? defaultReserveBytes(totalBytes) : reserveBytes
    this.#growFromMs = this.#nowMs() + (reserveBytes === 'auto' ? GROW_AFTER_MS : 0)
    this.#limits = limitsFor(this.#reserveBytes, totalBytes)
    this.#space = new DiskSpace(this.#limits)
    this.#held = this.#reserve.heldBytes()
    // The operator wants less than before.
    if (this.#held > this.#reserveBytes) this.#held = this.#reserve.hold(this.#reserveBytes, 0)
    this.#observe()
  }

  get own(): DiskState {
    return this.#space.state
  }

  of(storeId: StoreId): DiskState {
    return this.#others.get(storeId)?.state ?? 'normal'
  }

  /** As last measured; the reserve's file is not free. */
  get figures(): DiskFigures {
    return this.#figures
  }

  /** What may be written at once without the store becoming short of space. */
  get roomBytes(): number {
    const owed = this.#reserveBytes - this.#held
    return Math.max(0, this.#figures.freeBytes - owed - this.#limits.almostFullBytes)
  }

  stats(): Record<string, number> {
    return {
      disk_capacity_bytes: this.#figures.totalBytes,
      disk_available_bytes: this.#figures.freeBytes,
      disk_reserve_bytes: this.#held,
      disk_state: DISK_STATES.indexOf(this.own),
      disk_short_stores: this.#others.size,
    }
  }

  /** From here on others are told. */
  start(events: DiskGuardEvents): void {
    this.#events = events
    if (this.own !== 'normal') this.#tell()
  }

  /** Checks until stop(). */
  run(): void {
    const delayMs = this.roomBytes < NEAR_BYTES ? CHECK_CLOSELY_MS : CHECK_MS
    this.#timer = setTimeout(() => {
      this.check()
      this.run()
    }, delayMs)
  }

  stop(): void {
    clearTimeout(this.#timer)
  }

  check(): void {
    try {
      this.#figures = this.#options.probe.measure(this.#options.dir)
      this.#observe()
      if (this.own !== 'full') this.#growReserve()
      this.#trouble = ''
    } catch (error) {
      this.#complain(errorMessage(error))
    }
    this.#forget()
    if (this.own === 'normal') return
    const nowMs = this.#nowMs()
    if (nowMs - this.#toldMs >= TELL_MS) this.#tell()
    if (nowMs - this.#movedMs < MOVE_LEADERS_MS) return
    this.#movedMs = nowMs
    this.#events?.moveLeaders()
  }

  /** Once for each kind of trouble: the next look is a moment away. */
  #complain(trouble: string): void {
    if (trouble === this.#trouble) return
    this.#trouble = trouble
    this.#options.logger.warn({ error: trouble }, 'cannot look at the disk, or keep its reserve')
  }

  /** Another store told of its disk. */
  onTold(storeId: StoreId, stateNumber: number): void {
    const state = DISK_STATES[stateNumber]
    if (state === undefined) return
    const before = this.of(storeId)
    if (state === 'normal') this.#others.delete(storeId)
    else this.#others.set(storeId, { state, heardMs: this.#nowMs() })
    this.#refreshTight()
    if (state !== before) {
      this.#options.logger.info({ peerStoreId: storeId, state, before }, 'disk of another store')
    }
  }

  #observe(): void {
    const before = this.own
    const { totalBytes, freeBytes } = this.#figures
    const owed = this.#reserveBytes - this.#held
    const left = Math.max(0, freeBytes - owed)
    const state = this.#space.observe({ totalBytes, freeBytes: left })
    if (state !== undefined) this.#onChanged(before, state)
  }

  #onChanged(before: DiskState, state: DiskState): void {
    const releasedBytes = state === 'full' ? this.#release() : 0
    const { freeBytes } = this.#figures
    const { almostFullBytes, fullBytes } = this.#limits
    const fields = { before, state, freeBytes, releasedBytes, almostFullBytes, fullBytes }
    if (state === 'normal') this.#options.logger.info(fields, MESSAGES[state])
    else this.#options.logger.warn(fields, MESSAGES[state])
    this.#refreshTight()
    this.#tell()
  }

  #release(): number {
    const bytes = this.#reserve.release()
    this.#held = 0
    return bytes
  }

  /** As long as the store would not come near to being short of space by it. */
  #growReserve(): void {
    if (this.#held >= this.#reserveBytes || this.#nowMs() < this.#growFromMs) return
    const { almostFullBytes, marginBytes } = this.#limits
    const keep = almostFullBytes + marginBytes
    this.#held = this.#reserve.hold(this.#reserveBytes, keep, STEP_BYTES)
  }

  #tell(): void {
    this.#toldMs = this.#nowMs()
    this.#events?.tell(DISK_STATES.indexOf(this.own))
  }

  #forget(): void {
    const before = this.#nowMs() - FORGET_MS
    for (const [storeId, { heardMs }] of this.#others) {
      if (heardMs < before) this.#others.delete(storeId)
    }
    this.#refreshTight()
  }

  #refreshTight(): void {
    this.tight = this.own !== 'normal' || this.#others.size > 0
  }

  #nowMs(): number {
    return this.#options.clock.monotonicMs()
  }
}

const MESSAGES: { readonly [State in DiskState]: string } = {
  normal: 'the disk has room again: writes are taken',
  'almost-full': 'the disk is almost full: writes are refused, deletes are not; free space on it',
  full: 'the disk is full: writes and deletes are refused, the reserve was given up; free space on it',
}
