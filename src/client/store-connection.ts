/** How a client reaches one store: over gRPC, or in the same process. */
import type { RawRequest } from '../protocol/raw.ts'

export interface StoreConnection {
  readonly address: string
  /**
   * Sends one request, and marks it as `sent` once it leaves. It ends exactly once: with an answer
   * through `request.sink`, or in `onFailed`. Values of an answer are views of the message they came in.
   */
  execute(request: RawRequest): void
  /** Of requests that were sent, and are neither answered nor given up. */
  readonly bytesUnderWay: number
  /** Nobody waits for the request any more: others may take its place on the way. */
  giveUp(request: RawRequest): void
  /** What is under way fails with 'Closed'. Idempotent. */
  close(): Promise<void>
}

export interface StoreConnectionEvents {
  /**
   * The transport failed: these requests get no answer. The store may have executed those that were
   * `sent`; the others never left. Never called from within `execute`.
   */
  onFailed(requests: readonly RawRequest[], error: Error): void
}
