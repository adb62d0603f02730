/** A client of a cluster across the network. */

import { PolyraftError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import { machineClock, machineRandom } from '../base/node-clock.ts'
import { connectPd } from '../pd/grpc-client.ts'
import { createClient } from './client.ts'
import { openGrpcStoreConnection } from './grpc-store-connection.ts'
import type { KvClient } from './kv-client.ts'

export const DEFAULT_TIMEOUT_MS = 5000

export interface ConnectOptions {
  /** Placement drivers, host:port; as one string separated by commas. */
  readonly pd: readonly string[] | string
  /** Of each call, its retries included. Default 5000. */
  readonly timeoutMs?: number
  /**
   * Sends a put or delete again whose answer was lost, until it is answered. So one call may write
   * more than once before it returns, over what another client wrote meanwhile. `false`: such a write
   * fails with `Undetermined`. Default: true.
   */
  readonly retryWrites?: boolean
}

/** Timers go no further. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** Rejects with `Unavailable` when no placement driver answers within the time-out. */
export async function connect(options: ConnectOptions): Promise<KvClient> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  if (!(timeoutMs > 0 && timeoutMs <= TIMEOUT_MS_MAX)) {
    throw new PolyraftError(
      'InvalidArgument',
      `timeoutMs is a time of at most ${TIMEOUT_MS_MAX} ms, not ${timeoutMs}`,
    )
  }
  const endpoints = toEndpoints(options.pd)
  const pd = await connectPd(endpoints, { logger: silentLogger, timeoutMs })
  return createClient({
    pd,
    connect: (address, _storeId, events) => openGrpcStoreConnection(address, events),
    clock: machineClock,
    random: machineRandom,
    timeoutMs,
    retryWrites: options.retryWrites ?? true,
    onClosed: () => pd.close(),
  })
}

function toEndpoints(pd: unknown): readonly string[] {
  if (typeof pd === 'string') return pd.split(',')
  if (Array.isArray(pd) && pd.every((one) => typeof one === 'string')) return pd
  throw new PolyraftError(
    'InvalidArgument',
    "connect wants the placement drivers: { pd: ['127.0.0.1:2379'] }",
  )
}
