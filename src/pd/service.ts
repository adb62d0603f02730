/**
 * The gRPC face of PdCore: pdpb.PD and meta_storagepb.MetaStorage. A refused request is a normal
 * answer whose header carries the error; on success the header has none.
 */
import type {
  handleUnaryCall,
  ServerDuplexStream,
  ServerUnaryCall,
  sendUnaryData,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { asBuffer } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import type { Logger } from '../base/logger.ts'
import type * as pb from '../protocol/pd-messages.ts'
import { AnswerStream } from './answer-stream.ts'
import * as convert from './convert.ts'
import type { PdCore } from './core.ts'
import { readInitialRegions } from './meta-storage.ts'
import { serveRegionHeartbeats } from './region-heartbeat-service.ts'
import * as routing from './routing-service.ts'
import { unknownStore } from './store-table.ts'
import { mustBeRegion } from './wire-checks.ts'
import { clusterMismatch, errorHeader, okHeader } from './wire-errors.ts'

export interface PdServiceOptions {
  readonly core: PdCore
  readonly logger: Logger
  /** What GetMembers says of this server. */
  readonly member: () => pb.WireMember
}

/** An answer without its header, which the service adds. */
type Body<T> = Omit<T, 'header'>
type Handler<Request, Response> = (request: Request) => Body<Response> | Promise<Body<Response>>

export function pdService(options: PdServiceOptions): UntypedServiceImplementation {
  const { core, logger } = options
  const checked = <Q extends pb.HeaderRequest, R extends pb.HeaderResponse>(
    handler: Handler<Q, R>,
  ): handleUnaryCall<Q, R> => unary(core, handler, true)
  const open = <Q, R extends pb.HeaderResponse>(handler: Handler<Q, R>): handleUnaryCall<Q, R> =>
    unary(core, handler, false)

  return {
    ...discoveryHandlers(options, open, checked),
    ...storeHandlers(core, checked),
    getRegion: checked<pb.GetRegionRequest, pb.GetRegionResponse>((request) =>
      routing.regionBody(core.region(request.regionKey)),
    ),
    getPrevRegion: checked<pb.GetRegionRequest, pb.GetRegionResponse>((request) =>
      routing.regionBody(core.previousRegion(request.regionKey)),
    ),
    getRegionById: checked<pb.GetRegionByIdRequest, pb.GetRegionResponse>((request) =>
      routing.regionBody(core.regionById(request.regionId)),
    ),
    scanRegions: checked<pb.ScanRegionsRequest, pb.ScanRegionsResponse>((request) =>
      routing.scanRegions(core, request),
    ),
    batchScanRegions: unary<pb.BatchScanRegionsRequest, pb.BatchScanRegionsResponse>(
      core,
      (request) => routing.batchScanRegions(core, request),
      true,
    ),
    getOperator: checked<pb.GetOperatorRequest, pb.GetOperatorResponse>(({ regionId }) =>
      routing.operatorBody(core, regionId),
    ),
    queryRegion: bidi<pb.QueryRegionRequest, pb.QueryRegionResponse>(core, logger, (request) =>
      routing.queryRegion(core, request),
    ),
    tso: bidi<pb.TsoRequest, pb.TsoResponse>(core, logger, async (request) => ({
      count: request.count,
      timestamp: { ...(await core.timestamp(request.count)), suffixBits: 0 },
    })),
    regionHeartbeat: (
      call: ServerDuplexStream<pb.RegionHeartbeatRequest, pb.RegionHeartbeatResponse>,
    ) => serveRegionHeartbeats(core, logger, call),
  }
}

type Wrap = <Q extends pb.HeaderRequest, R extends pb.HeaderResponse>(
  handler: Handler<Q, R>,
) => handleUnaryCall<Q, R>

function discoveryHandlers(
  { core, member }: PdServiceOptions,
  open: Wrap,
  checked: Wrap,
): UntypedServiceImplementation {
  return {
    getMembers: open<pb.HeaderRequest, pb.GetMembersResponse>(() => ({
      members: [member()],
      leader: member(),
      etcdLeader: member(),
    })),
    getClusterInfo: open<pb.HeaderRequest, pb.GetClusterInfoResponse>(() => ({
      serviceModes: [1],
      tsoUrls: [],
    })),
    getClusterConfig: checked<pb.HeaderRequest, pb.GetClusterConfigResponse>(() => ({
      cluster: { id: core.clusterId, maxPeerCount: core.maxPeerCount },
    })),
    putClusterConfig: checked<pb.PutClusterConfigRequest, pb.HeaderResponse>(async (request) => {
      await core.setMaxPeerCount(mustHave(request.cluster, 'cluster').maxPeerCount)
      return {}
    }),
    getMinTs: checked<pb.HeaderRequest, pb.GetMinTsResponse>(async () => ({
      timestamp: { ...(await core.timestamp(1)), suffixBits: 0 },
    })),
    getGcSafePoint: checked<pb.HeaderRequest, pb.GetGcSafePointResponse>(() => ({ safePoint: 0 })),
    isSnapshotRecovering: checked<pb.HeaderRequest, pb.IsSnapshotRecoveringResponse>(() => ({
      marked: false,
    })),
    loadGlobalConfig: (_call: unknown, answer: sendUnaryData<pb.LoadGlobalConfigResponse>): void =>
      answer(null, { items: [], revision: 0 }),
  }
}

function storeHandlers(core: PdCore, checked: Wrap): UntypedServiceImplementation {
  return {
    bootstrap: checked<pb.BootstrapRequest, pb.HeaderResponse>(async (request) => {
      const store = convert.storeFromWire(mustHave(request.store, 'store'))
      const region = convert.regionFromWire(mustHave(request.region, 'region'))
      await core.bootstrap(store, mustBeRegion(region))
      return {}
    }),
    isBootstrapped: checked<pb.HeaderRequest, pb.IsBootstrappedResponse>(() => ({
      bootstrapped: core.bootstrapped,
    })),
    allocId: checked<pb.AllocIdRequest, pb.AllocIdResponse>(async (request) => {
      const count = request.count || 1
      return { id: await core.allocId(count), count }
    }),
    putStore: checked<pb.PutStoreRequest, pb.HeaderResponse>(async (request) => {
      await core.putStore(convert.storeFromWire(mustHave(request.store, 'store')))
      return {}
    }),
    getStore: checked<pb.GetStoreRequest, pb.GetStoreResponse>(({ storeId }) => {
      const record = core.store(storeId)
      if (record === undefined) throw unknownStore(storeId)
      const stats = record.stats && convert.storeStatsToWire(record.stats)
      return { store: convert.storeToWire(record.meta), stats }
    }),
    getAllStores: checked<pb.GetAllStoresRequest, pb.GetAllStoresResponse>((request) => {
      const metas = core.stores().map((record) => record.meta)
      const wanted = metas.filter((meta) => meta.state !== 2 || !request.excludeTombstoneStores)
      return { stores: wanted.map(convert.storeToWire) }
    }),
    storeHeartbeat: checked<pb.StoreHeartbeatRequest, pb.HeaderResponse>((request) => {
      core.storeHeartbeat(convert.storeStatsFromWire(mustHave(request.stats, 'stats')))
      return {}
    }),
  }
}

export function metaStorageService(core: PdCore): UntypedServiceImplementation {
  return {
    get: (
      call: ServerUnaryCall<pb.MetaGetRequest, pb.MetaGetResponse>,
      answer: sendUnaryData<pb.MetaGetResponse>,
    ): void => {
      // TiKV's clients send no header here; an error would have them wait for 5 s as they connect.
      const asked = call.request.header?.clusterId || core.clusterId
      const wrong = asked !== core.clusterId ? clusterMismatch(asked, core.clusterId) : undefined
      const header =
        wrong === undefined ? okHeader(core.clusterId) : errorHeader(core.clusterId, wrong)
      const kvs = wrong === undefined ? readInitialRegions(core, asBuffer(call.request.key)) : []
      answer(null, { header: { ...header, revision: 1 }, kvs, more: false, count: kvs.length })
    },
  }
}

function mustHave<T>(value: T | null | undefined, what: string): T {
  if (value == null) throw new PolyraftError('InvalidArgument', `the request has no ${what}`)
  return value
}

function mustBeOurCluster(core: PdCore, request: pb.HeaderRequest): void {
  const asked = request.header?.clusterId ?? 0
  if (asked !== core.clusterId) throw clusterMismatch(asked, core.clusterId)
}

/** Runs a handler; what it refuses becomes a header, a broken invariant is not caught. */
async function answerOf<Q, R extends pb.HeaderResponse>(
  core: PdCore,
  handler: Handler<Q, R>,
  request: Q,
  check: boolean,
): Promise<R> {
  try {
    if (check) mustBeOurCluster(core, request as pb.HeaderRequest)
    const body = await handler(request)
    return { header: okHeader(core.clusterId), ...body } as R
  } catch (error) {
    if (!(error instanceof PolyraftError)) throw error
    return { header: errorHeader(core.clusterId, error) } as R
  }
}

export function unary<Q, R extends pb.HeaderResponse>(
  core: PdCore,
  handler: Handler<Q, R>,
  check: boolean,
): handleUnaryCall<Q, R> {
  return async (call, answer) => {
    answer(null, await answerOf(core, handler, call.request, check))
  }
}

function bidi<Q extends pb.HeaderRequest, R extends pb.HeaderResponse>(
  core: PdCore,
  logger: Logger,
  handler: Handler<Q, R>,
): (call: ServerDuplexStream<Q, R>) => void {
  return (call) => {
    new AnswerStream(call, (request) => answerOf(core, handler, request, true), logger)
  }
}
