/**
 * The parts that the batch system knows of a state machine, and the hooks through which it runs
 * one. It knows no raft: stores drive peers with it, apply workers drive regions.
 */
import type { Mailbox } from './mailbox.ts'

export interface Fsm<M> {
  readonly id: number
  readonly mailbox: Mailbox<M>
}

/**
 * One round of the poller, in the order of the calls:
 *
 *   begin → handleControl (if it has messages) → handleNormal for each FSM → lightEnd → end
 *
 * A handler that throws crashes the store: the poller passes the error on and never runs again.
 */
export interface PollHandler<F, C> {
  begin(): void
  /** Takes and handles at most `messagesMax` messages of the control FSM. */
  handleControl(control: C, messagesMax: number): void
  /** Takes and handles at most `messagesMax` messages; those left keep the FSM active. */
  handleNormal(fsm: F, messagesMax: number): void
  /**
   * Every FSM of the round was handled; one that was removed during the round is still named (its
   * mailbox is closed). `batch` is valid during the call only.
   */
  lightEnd(batch: readonly F[]): void
  /** Effects of the round leave: one message for each thread and link. */
  end(): void
}
