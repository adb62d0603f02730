/**
 * The timestamp oracle: pairs of physical milliseconds and an 18-bit counter that only rise, also
 * over restarts and when the machine's clock jumps back.
 *
 *   physical in use ──▶ |<──────── window ≤ 5 s ────────>| saved (durable)
 *
 * A timestamp is given out only below the saved mark; a restart begins at it. The mark is moved in
 * the background while 3 s are left, so asking seldom waits for the disk.
 */
import type { Clock } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import { numberWrite, TSO_KEY } from './records.ts'
import type { PdStorage } from './storage.ts'

const LOGICAL_BITS = 18
const LOGICAL_END = 1 << LOGICAL_BITS
const WINDOW_MS = 5000
const RENEW_BELOW_MS = 3000

export interface Timestamp {
  readonly physical: number
  readonly logical: number
}

export class TimestampOracle {
  readonly #storage: PdStorage
  readonly #clock: Clock
  readonly #logger: Logger
  #physical: number
  /** Counters below this were given out in `#physical`. */
  #logical = 0
  #saved: number
  #saving: Promise<void> | undefined

  constructor(storage: PdStorage, clock: Clock, logger: Logger, saved: number) {
    this.#storage = storage
    this.#clock = clock
    this.#logger = logger
    this.#physical = saved
    this.#saved = saved
  }

  /** Last timestamp of a block of `count`. */
  async take(count: number): Promise<Timestamp> {
    if (!Number.isInteger(count) || count < 1 || count >= LOGICAL_END) {
      throw new PolyraftError(
        'InvalidArgument',
        `asked for ${count} timestamps: 1 to ${LOGICAL_END - 1} at a time`,
      )
    }
    for (;;) {
      this.#followClock(count)
      if (this.#physical < this.#saved) break
      await this.#save()
    }
    this.#logical += count
    if (this.#saved - this.#physical < RENEW_BELOW_MS) this.#saveInBackground()
    return { physical: this.#physical, logical: this.#logical - 1 }
  }

  async close(): Promise<void> {
    await this.#saving?.catch(() => undefined)
  }

  /** Goes to the present, or one millisecond on when this one's counters are used up. */
  #followClock(count: number): void {
    const now = Math.floor(this.#clock.wallMs())
    const full = this.#logical + count > LOGICAL_END
    const next = Math.max(now, full ? this.#physical + 1 : this.#physical)
    if (next === this.#physical) return
    this.#physical = next
    this.#logical = 0
  }

  #save(): Promise<void> {
    if (this.#saving === undefined) {
      const mark = this.#physical + WINDOW_MS
      this.#saving = this.#storage
        .put([numberWrite(TSO_KEY, mark)])
        .then(() => {
          this.#saved = mark
        })
        .finally(() => {
          this.#saving = undefined
        })
    }
    return this.#saving
  }

  #saveInBackground(): void {
    this.#save().catch((error: unknown) => {
      this.#logger.error({ error: errorMessage(error) }, 'cannot save the timestamp window')
    })
  }
}
