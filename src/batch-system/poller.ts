/**
 * Runs FSMs that have messages, in rounds. One round serves many regions, so that one write, one
 * frame and one fsync can serve them all; its cost is in the active FSMs, never in all of them.
 *
 *   active: [ f3 f9 f1 | f7 … ]   a round takes up to batchMax from the left, once each;
 *             └ round ┘       ▲
 *                             └── woken again, or messages left: back to the end of the queue
 *
 * INVARIANTS
 * - An FSM waits at most once, in the queue or in the batch (mailbox.queued says so).
 * - At most one round is requested of the scheduler; while anything is queued, one is.
 * - Rounds never nest. After a handler threw there is no further round.
 */
import { assert } from '../base/assert.ts'
import type { RoundScheduler } from '../base/clock.ts'
import { Ring } from '../base/ring.ts'
import type { Fsm, PollHandler } from './fsm.ts'
import type { Notifier } from './router.ts'

export interface PollerOptions<F, C> {
  readonly scheduler: RoundScheduler
  readonly handler: PollHandler<F, C>
  /** Handled first; apply workers have none. */
  readonly control?: C
  /** FSMs that one round takes. */
  readonly batchMax: number
  /** Messages of one FSM that one round takes. */
  readonly messagesMax: number
}

export class Poller<F extends Fsm<unknown>, C extends Fsm<unknown>> implements Notifier<F> {
  readonly #scheduler: RoundScheduler
  readonly #handler: PollHandler<F, C>
  readonly #control: C | undefined
  readonly #batchMax: number
  readonly #messagesMax: number
  readonly #active = new Ring<F>(64)
  readonly #batch: F[] = []
  readonly #run: () => void
  #requested = false
  #oneMore = false
  #running = false
  #stopped = false

  constructor(options: PollerOptions<F, C>) {
    assert(options.batchMax > 0 && options.messagesMax > 0, 'a round does at least some work')
    this.#scheduler = options.scheduler
    this.#handler = options.handler
    this.#control = options.control
    this.#batchMax = options.batchMax
    this.#messagesMax = options.messagesMax
    this.#run = () => {
      this.#requested = false
      this.runRound()
    }
  }

  /** FSMs that wait for a round. */
  get activeCount(): number {
    return this.#active.length
  }

  // @hot
  notify(fsm: F): void {
    if (fsm.mailbox.queued) return
    fsm.mailbox.queued = true
    this.#active.push(fsm)
    this.#request()
  }

  notifyControl(): void {
    assert(this.#control !== undefined, 'this poller has a control FSM')
    this.#control.mailbox.queued = true
    this.#request()
  }

  /** Another round, though nothing is queued: whoever begins it brings messages. */
  requestRound(): void {
    if (this.#running) this.#oneMore = true
    else this.#request()
  }

  /** No round runs any more; one that is running ends as usual. */
  stop(): void {
    this.#stopped = true
  }

  /**
   * Runs one round now; a scheduler calls this, and tests that drive the poller by hand. Returns
   * whether work is left, in which case the next round is already requested.
   */
  runRound(): boolean {
    if (this.#stopped || !this.#hasWork()) return false
    assert(!this.#running, 'rounds never nest')
    this.#running = true
    let finished = false
    try {
      this.#round()
      finished = true
    } finally {
      this.#running = false
      // State is half-changed: the error goes on to whoever crashes the store.
      if (!finished) this.stop()
    }
    const more = this.#hasWork()
    if (more || this.#oneMore) this.#request()
    this.#oneMore = false
    return more
  }

  #round(): void {
    const handler = this.#handler
    handler.begin()
    if (this.#control?.mailbox.queued) this.#pollControl(this.#control)
    const batch = this.#batch
    this.#takeBatch(batch)
    for (let i = 0; i < batch.length; i++) this.#pollNormal(batch[i]!)
    handler.lightEnd(batch)
    handler.end()
    batch.length = 0
  }

  /** Only what is queued now: an FSM that is woken during the round waits for the next one. */
  #takeBatch(batch: F[]): void {
    const count = Math.min(this.#batchMax, this.#active.length)
    for (let i = 0; i < count; i++) {
      const fsm = this.#active.shift()!
      if (!fsm.mailbox.closed) batch.push(fsm)
    }
  }

  #pollControl(control: C): void {
    control.mailbox.queued = false
    this.#handler.handleControl(control, this.#messagesMax)
    control.mailbox.queued = control.mailbox.length > 0
  }

  #pollNormal(fsm: F): void {
    // Until here a message joins this round; from here on it queues the FSM anew, behind the others.
    fsm.mailbox.queued = false
    // An FSM handled earlier in this round may have removed this one.
    if (fsm.mailbox.closed) return
    this.#handler.handleNormal(fsm, this.#messagesMax)
    if (fsm.mailbox.length > 0 && !fsm.mailbox.closed) this.notify(fsm)
  }

  #hasWork(): boolean {
    return this.#active.length > 0 || this.#control?.mailbox.queued === true
  }

  #request(): void {
    // A round asks again at its end, when it knows whether anything is left.
    if (this.#requested || this.#running || this.#stopped) return
    this.#requested = true
    this.#scheduler.schedule(this.#run)
  }
}
