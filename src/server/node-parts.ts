/** The real parts of a node, loaded only by processes that are one. */
import { connectPd } from '../pd/grpc-client.ts'
import { Store } from '../store/store.ts'
import type { NodeParts } from './store-process.ts'

export const nodeParts: NodeParts = {
  connectPd: (endpoints, logger, signal) => connectPd(endpoints, { logger, signal }),
  openStore: (options) => Store.open(options),
}
