/**
 * The stream on which a store tells PD of the regions it leads, and PD answers with orders. A
 * refused heartbeat gets an answer with an error in its header; an accepted one gets none.
 */
import type { ServerDuplexStream } from '@grpc/grpc-js'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { NO_ID, type StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { RegionHeartbeatRequest, RegionHeartbeatResponse } from '../protocol/pd-messages.ts'
import { heartbeatFromWire, orderToWire } from './convert.ts'
import type { OrderSink, PdCore } from './core.ts'
import { clusterMismatch, errorHeader, okHeader } from './wire-errors.ts'

type Call = ServerDuplexStream<RegionHeartbeatRequest, RegionHeartbeatResponse>

export function serveRegionHeartbeats(core: PdCore, logger: Logger, call: Call): void {
  let attached: StoreId = NO_ID
  const sink: OrderSink = (order) => {
    call.write(orderToWire(order, okHeader(core.clusterId)))
  }
  const detach = (): void => core.detachStore(attached, sink)

  call.on('data', (request: RegionHeartbeatRequest) => {
    try {
      const storeId = takeHeartbeat(core, request)
      if (storeId !== attached) {
        detach()
        core.attachStore(storeId, sink)
        attached = storeId
      }
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      answerRefusal(core, call, request, error)
    }
  })
  call.on('end', () => {
    detach()
    call.end()
  })
  call.on('cancelled', detach)
  call.on('error', (error: unknown) => {
    detach()
    logger.debug({ error: errorMessage(error) }, 'a heartbeat stream broke')
  })
}

/** The store that sent an accepted heartbeat. */
function takeHeartbeat(core: PdCore, request: RegionHeartbeatRequest): StoreId {
  const asked = request.header?.clusterId ?? 0
  if (asked !== core.clusterId) throw clusterMismatch(asked, core.clusterId)
  const heartbeat = heartbeatFromWire(request)
  if (heartbeat === undefined) {
    throw new PolyraftError('InvalidArgument', 'a region heartbeat needs a region and its leader')
  }
  const result = core.regionHeartbeat(heartbeat)
  if (!result.accepted) throw new PolyraftError('StaleCommand', result.reason)
  return heartbeat.leader.storeId
}

/** A store that does not read its answers loses them: they are only news. */
function answerRefusal(
  core: PdCore,
  call: Call,
  request: RegionHeartbeatRequest,
  error: PolyraftError,
): void {
  if (call.cancelled || call.writableNeedDrain) return
  call.write({
    header: errorHeader(core.clusterId, error),
    regionId: request.region?.id ?? NO_ID,
    regionEpoch: undefined,
    targetPeer: undefined,
    changePeer: undefined,
    transferLeader: undefined,
  })
}
