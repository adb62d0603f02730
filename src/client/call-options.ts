/** What a client's calls have in common, however it reaches the stores. */
import { PolyraftError } from '../base/errors.ts'
import { WAIT_MS_MAX } from '../base/limits.ts'

const TIMEOUT_MS_DEFAULT = 5000

export interface CallOptions {
  /** Of each call, its retries included. Default 5000. */
  readonly timeoutMs?: number
  /**
   * Sends a put or delete again whose answer was lost, until it is answered. So one call may write
   * more than once before it returns, over what another client wrote meanwhile. `false`: such a write
   * fails with `Undetermined`, once its connection broke or its time is up. Default: true.
   */
  readonly retryWrites?: boolean
}

/** With their defaults. Throws InvalidArgument. */
export function checkCallOptions(options: CallOptions): Required<CallOptions> {
  const { timeoutMs = TIMEOUT_MS_DEFAULT, retryWrites = true } = options
  if (typeof timeoutMs !== 'number' || !(timeoutMs > 0 && timeoutMs <= WAIT_MS_MAX)) {
    throw invalid(`timeoutMs is a time in ms, up to 24 days, not ${shown(timeoutMs)}`)
  }
  if (typeof retryWrites !== 'boolean') {
    throw invalid(`retryWrites is true or false, not ${shown(retryWrites)}`)
  }
  return { timeoutMs, retryWrites }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}

function invalid(message: string): PolyraftError {
  return new PolyraftError('InvalidArgument', message)
}
