/**
 * Finds the FSM that a message is for and wakes it. The map is the only place where a region id
 * becomes an FSM, so a message for a region that is gone is answered here, by 'not-found'.
 */
import { assert } from '../base/assert.ts'
import type { Fsm } from './fsm.ts'

/** The poller, as far as senders need it. */
export interface Notifier<F> {
  notify(fsm: F): void
  notifyControl(): void
}

export class Router<M, F extends Fsm<M>, CM, C extends Fsm<CM>> {
  readonly control: C
  readonly #notifier: Notifier<F>
  readonly #fsms = new Map<number, F>()

  constructor(notifier: Notifier<F>, control: C) {
    this.#notifier = notifier
    this.control = control
  }

  get size(): number {
    return this.#fsms.size
  }

  ids(): IterableIterator<number> {
    return this.#fsms.keys()
  }

  all(): IterableIterator<F> {
    return this.#fsms.values()
  }

  get(id: number): F | undefined {
    return this.#fsms.get(id)
  }

  register(fsm: F): void {
    assert(!this.#fsms.has(fsm.id), `FSM ${fsm.id} is registered once`)
    assert(!fsm.mailbox.closed, `FSM ${fsm.id} is registered with an open mailbox`)
    this.#fsms.set(fsm.id, fsm)
    if (fsm.mailbox.length > 0) this.#notifier.notify(fsm)
  }

  /**
   * Forgets an FSM and closes its mailbox. The poller hands it out no more: whoever removes it
   * takes what is left in the mailbox and answers it.
   */
  remove(id: number): F | undefined {
    const fsm = this.#fsms.get(id)
    if (fsm === undefined) return undefined
    this.#fsms.delete(id)
    fsm.mailbox.close()
    return fsm
  }

  // @hot
  send(id: number, message: M): 'ok' | 'full' | 'not-found' {
    const fsm = this.#fsms.get(id)
    if (fsm === undefined) return 'not-found'
    const outcome = fsm.mailbox.push(message)
    if (outcome === 'closed') return 'not-found'
    // A full mailbox is woken as well: that costs nothing and can never be wrong.
    this.#notifier.notify(fsm)
    return outcome
  }

  /** For messages that must not be lost: ignores the capacity of the mailbox. */
  sendForced(id: number, message: M): 'ok' | 'not-found' {
    const fsm = this.#fsms.get(id)
    if (fsm === undefined || fsm.mailbox.pushForced(message) === 'closed') return 'not-found'
    this.#notifier.notify(fsm)
    return 'ok'
  }

  sendControl(message: CM): 'ok' | 'full' | 'closed' {
    const outcome = this.control.mailbox.push(message)
    if (outcome !== 'closed') this.#notifier.notifyControl()
    return outcome
  }

  sendControlForced(message: CM): 'ok' | 'closed' {
    const outcome = this.control.mailbox.pushForced(message)
    if (outcome !== 'closed') this.#notifier.notifyControl()
    return outcome
  }
}
