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
}

/** Rejects with `Unavailable` when no placement driver answers within the time-out. */
export async function connect(options: ConnectOptions): Promise<KvClient> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS
  if (!Number.isFinite(timeoutMs) || timeoutMs <= 0) {
    throw new PolyraftError('InvalidArgument', `timeoutMs is a time in ms, not ${timeoutMs}`)
  }
  const endpoints = typeof options.pd === 'string' ? options.pd.split(',') : options.pd
  const pd = await connectPd(endpoints, { logger: silentLogger, timeoutMs })
  return createClient({
    pd,
    connect: (address, _storeId, events) => openGrpcStoreConnection(address, events),
    clock: machineClock,
    random: machineRandom,
    timeoutMs,
    onClosed: () => pd.close(),
  })
}
