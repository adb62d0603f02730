/** A client of a cluster across the network. */

import { PolyraftError } from '../base/errors.ts'
import { silentLogger } from '../base/logger.ts'
import { machineClock, machineRandom } from '../base/node-clock.ts'
import { mustBeKnown, type OptionNames } from '../base/options.ts'
import { connectPd } from '../pd/grpc-client.ts'
import { type CallOptions, checkCallOptions } from './call-options.ts'
import { createClient } from './client.ts'
import { openGrpcStoreConnection } from './grpc-store-connection.ts'
import type { KvClient } from './kv-client.ts'

export interface ConnectOptions extends CallOptions {
  /** Placement drivers, host:port; as one string separated by commas. */
  readonly pd: readonly string[] | string
}

const OPTIONS: OptionNames<ConnectOptions> = { pd: true, timeoutMs: true, retryWrites: true }

/** Rejects with `Unavailable` when no placement driver answers within the time-out. */
export async function connect(options: ConnectOptions): Promise<KvClient> {
  mustBeKnown('connect', options, OPTIONS)
  const callOptions = checkCallOptions(options)
  const endpoints = toEndpoints(options.pd)
  const pd = await connectPd(endpoints, {
    logger: silentLogger,
    timeoutMs: callOptions.timeoutMs,
  })
  return createClient({
    pd,
    connect: (address, _storeId, events) => openGrpcStoreConnection(address, events),
    clock: machineClock,
    random: machineRandom,
    ...callOptions,
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
