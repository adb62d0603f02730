/**
 * Writes of a busy store leave for their regions together, in waves.
 *
 * Each region that a round of the poller serves costs about the same, whether it brings one write or
 * ten, and so does each round, frame and fsync. Where processors are short, rounds that begin as soon
 * as anything is there are small and many, and what they cost makes everything else wait. So writes
 * are gathered here until most of those that are under way would go at once:
 *
 *   add ─▶ [ waiting … ] ── a round begins with enough of them, or after another store's wave came;
 *                           or time is up ──▶ deliver
 *
 * That is asked when a round begins, not with each write: what one message of a client brought, and
 * what the same turn of the event loop brought besides, is all there then. A wave that left with the
 * last write it needed would leave the rest of that message behind, to wait for writes that do not
 * come, because their clients wait for these.
 *
 * Stores that lead are each other's followers, too. Joining the waves of others keeps them in step
 * without a word between them: their appends, ours and what answers them then share rounds, frames
 * and fsyncs on every store, and clients get their answers, and send anew, together.
 *
 * INVARIANTS
 * - Nothing waits unless processors are short, others lead too, and GATHERED_MIN writes are under way;
 *   and then not much longer than a wave takes, and never longer than WAIT_MS_MAX.
 * - While writes wait, a round is requested or a timer runs.
 * - Writes whose region does not answer (it has no quorum) are not waited for: see `#stuck`.
 */
import { assert } from '../base/assert.ts'
import type { Clock, Later } from '../base/clock.ts'
import type { LoadShares } from '../env/thread-load.ts'
import type { RawRequest } from '../protocol/raw.ts'

/** Of the writes that were lately under way at once, so many are a wave … */
const WAVE_SHARE = 0.7
/** … and so many of those that are under way now are enough to join another store's. */
const JOIN_SHARE = 0.4
/** Fewer writes under way are no waves. */
const GATHERED_MIN = 8
/** Nothing waits longer than twice what waves take here to be answered, within these bounds. */
const WAIT_MS_MIN = 3
const WAIT_MS_MAX = 30
/** What a wave takes until one was seen, and how fast what is seen counts. */
const WAVE_MS_START = 5
const WAVE_MS_GAIN = 1 / 8
/** How fast waves are taken to be smaller again, for each that leaves. */
const PEAK_DECAY = 1 / 8

/** Begins to gather when the poller's thread waits for a processor so much of the time … */
const WAITED_SHORT = 0.2
/** … or has this little left of its time; */
const DEMAND_SHORT = 0.8
/** and ends when both are below these: gathering itself relieves the processors. */
const WAITED_PLENTY = 0.1
const DEMAND_PLENTY = 0.6

export interface WriteGateOptions {
  readonly clock: Clock
  readonly later: Later
  /** Asked now and then while there are writes. */
  readonly load: { look(): LoadShares }
  /** Gives it to its region. */
  readonly deliver: (request: RawRequest) => void
  /** Asks for a round, so for onRound(), though no region has anything to do. */
  readonly requestRound: () => void
}

export class WriteGate {
  readonly #options: WriteGateOptions
  #gathers = false
  #closed = false
  #waiting: RawRequest[] = []
  #cancelWait: (() => void) | undefined = undefined
  /** Delivered and not answered. */
  #out = 0
  /** Fewest of these since the last look, and between the last two. */
  #fewest = 0
  #fewestBefore = 0
  /** Most writes that were under way at once, here and with their regions, falling slowly. */
  #peak = 0
  /** How long waves take until most of their writes are answered, smoothed. */
  #waveMs = WAVE_MS_START
  /** When the last wave left, and how many may be unanswered when most of it is not; -1: it was seen. */
  #leftMs = 0
  #mostDone = -1
  // Since the last look
  #hadWrites = false
  #hadCompany = false
  #short = false
  /** Since the last round. */
  #companyCame = false
  // Metrics
  #waves = 0
  #wavesJoined = 0
  #wavesLate = 0

  constructor(options: WriteGateOptions) {
    this.#options = options
  }

  // @hot bench: cluster
  add(request: RawRequest): void {
    this.#hadWrites = true
    if (!this.#gathers) {
      this.#out++
      this.#options.deliver(request)
      return
    }
    this.#waiting.push(request)
    this.#peak = Math.max(this.#peak, this.#underWay)
    if (this.#isWave) this.#options.requestRound()
    else this.#cancelWait ??= this.#options.later(this.#waitMs, () => this.#leaveLate())
  }

  /** A round of the poller begins: what leaves now has its part in it. */
  onRound(): void {
    const companyCame = this.#companyCame
    this.#companyCame = false
    const waiting = this.#waiting.length
    if (waiting === 0) return
    if (this.#isWave) {
      this.#leave()
    } else if (companyCame && waiting >= this.#underWay * JOIN_SHARE) {
      this.#wavesJoined++
      this.#leave()
    }
  }

  /** A write that was delivered is answered. */
  answered(): void {
    this.#out--
    assert(this.#out >= 0, 'a write is answered once')
    if (this.#out < this.#fewest) this.#fewest = this.#out
    if (this.#out <= this.#mostDone) this.#onMostDone()
  }

  /** Leaders of another store have sent entries, which have a round follow. */
  onCompany(): void {
    this.#hadCompany = true
    this.#companyCame = true
  }

  /** To be called a few times a second: decides whether writes are gathered from now on. */
  look(): void {
    if (this.#hadWrites) this.#gather(this.#isShort() && this.#hadCompany && !this.#closed)
    // At rest it costs nothing; the next look then covers the rest as well.
    else this.#rest()
    this.#fewestBefore = this.#fewest
    this.#fewest = this.#out
    this.#hadWrites = false
    this.#hadCompany = false
  }

  /** Everything leaves, and nothing is gathered any more. */
  close(): void {
    this.#closed = true
    this.#gather(false)
  }

  stats(): Record<string, number> {
    return {
      gathers_writes: this.#gathers ? 1 : 0,
      write_waves: this.#waves,
      write_waves_joined: this.#wavesJoined,
      write_waves_late: this.#wavesLate,
    }
  }

  #isShort(): boolean {
    const { ran, waited } = this.#options.load.look()
    this.#short = this.#short
      ? waited > WAITED_PLENTY || ran + waited > DEMAND_PLENTY
      : waited >= WAITED_SHORT || ran + waited >= DEMAND_SHORT
    return this.#short
  }

  #rest(): void {
    this.#short = false
    this.#gather(false)
  }

  #gather(gathers: boolean): void {
    if (gathers === this.#gathers) return
    this.#gathers = gathers
    this.#leave()
    this.#peak = 0
    this.#fewest = 0
    this.#fewestBefore = 0
  }

  #onMostDone(): void {
    this.#mostDone = -1
    const tookMs = this.#options.clock.monotonicMs() - this.#leftMs
    this.#waveMs += (tookMs - this.#waveMs) * WAVE_MS_GAIN
  }

  get #isWave(): boolean {
    return this.#peak < GATHERED_MIN || this.#waiting.length >= this.#peak * WAVE_SHARE
  }

  get #waitMs(): number {
    return Math.min(WAIT_MS_MAX, Math.max(WAIT_MS_MIN, this.#waveMs * 2))
  }

  get #underWay(): number {
    return this.#waiting.length + Math.max(0, this.#out - this.#stuck)
  }

  /**
   * At no time since the last look but one were fewer unanswered: so many are not answered soon.
   * Waves in step leave none.
   */
  get #stuck(): number {
    return Math.min(this.#fewest, this.#fewestBefore)
  }

  #leaveLate(): void {
    this.#cancelWait = undefined
    this.#wavesLate++
    this.#leave()
  }

  #leave(): void {
    this.#cancelWait?.()
    this.#cancelWait = undefined
    const wave = this.#waiting
    if (wave.length === 0) return
    this.#waves++
    this.#peak = Math.max(this.#underWay, this.#peak * (1 - PEAK_DECAY))
    this.#waiting = []
    this.#leftMs = this.#options.clock.monotonicMs()
    this.#mostDone = this.#out + Math.floor(wave.length * (1 - WAVE_SHARE))
    this.#out += wave.length
    for (const request of wave) this.#options.deliver(request)
  }
}
