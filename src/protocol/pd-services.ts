/** Method tables of pdpb.PD and meta_storagepb.MetaStorage: paths and codecs, for both sides. */
import type { MethodDefinition, ServiceDefinition } from '@grpc/grpc-js'
import type * as pb from './pd-messages.ts'
import { type MessageCodec, messageCodec } from './protobuf.ts'

type Shape = 'unary' | 'bidi'

export function grpcMethod<Request extends object, Response extends object>(
  shape: Shape,
  path: string,
  request: string,
  response: string,
): MethodDefinition<Request, Response> {
  const requestCodec = messageCodec<Request>(request)
  const responseCodec = messageCodec<Response>(response)
  return {
    path,
    requestStream: shape === 'bidi',
    responseStream: shape === 'bidi',
    requestSerialize: requestCodec.encode,
    requestDeserialize: requestCodec.decode,
    responseSerialize: responseCodec.encode,
    responseDeserialize: responseCodec.decode,
  }
}

/** Most messages are called after their method; the others are named. */
function pd<Request extends object, Response extends object>(
  name: string,
  options: { shape?: Shape; request?: string; response?: string } = {},
): MethodDefinition<Request, Response> {
  return grpcMethod(
    options.shape ?? 'unary',
    `/pdpb.PD/${name}`,
    `pdpb.${options.request ?? `${name}Request`}`,
    `pdpb.${options.response ?? `${name}Response`}`,
  )
}

export const pdMethods = {
  getMembers: pd<pb.HeaderRequest, pb.GetMembersResponse>('GetMembers', {
    request: 'HeaderRequest',
  }),
  getClusterInfo: pd<object, pb.GetClusterInfoResponse>('GetClusterInfo'),
  getClusterConfig: pd<pb.HeaderRequest, pb.GetClusterConfigResponse>('GetClusterConfig', {
    request: 'HeaderRequest',
  }),
  putClusterConfig: pd<pb.PutClusterConfigRequest, pb.HeaderResponse>('PutClusterConfig', {
    response: 'HeaderResponse',
  }),
  tso: pd<pb.TsoRequest, pb.TsoResponse>('Tso', { shape: 'bidi' }),
  getMinTs: pd<pb.HeaderRequest, pb.GetMinTsResponse>('GetMinTS', { request: 'HeaderRequest' }),
  getGcSafePoint: pd<pb.HeaderRequest, pb.GetGcSafePointResponse>('GetGCSafePoint', {
    request: 'HeaderRequest',
  }),
  bootstrap: pd<pb.BootstrapRequest, pb.HeaderResponse>('Bootstrap', {
    response: 'HeaderResponse',
  }),
  isBootstrapped: pd<pb.HeaderRequest, pb.IsBootstrappedResponse>('IsBootstrapped', {
    request: 'HeaderRequest',
  }),
  allocId: pd<pb.AllocIdRequest, pb.AllocIdResponse>('AllocID'),
  isSnapshotRecovering: pd<pb.HeaderRequest, pb.IsSnapshotRecoveringResponse>(
    'IsSnapshotRecovering',
    { request: 'HeaderRequest' },
  ),
  getStore: pd<pb.GetStoreRequest, pb.GetStoreResponse>('GetStore'),
  putStore: pd<pb.PutStoreRequest, pb.HeaderResponse>('PutStore', { response: 'HeaderResponse' }),
  getAllStores: pd<pb.GetAllStoresRequest, pb.GetAllStoresResponse>('GetAllStores'),
  storeHeartbeat: pd<pb.StoreHeartbeatRequest, pb.HeaderResponse>('StoreHeartbeat', {
    response: 'HeaderResponse',
  }),
  regionHeartbeat: pd<pb.RegionHeartbeatRequest, pb.RegionHeartbeatResponse>('RegionHeartbeat', {
    shape: 'bidi',
  }),
  getRegion: pd<pb.GetRegionRequest, pb.GetRegionResponse>('GetRegion'),
  getPrevRegion: pd<pb.GetRegionRequest, pb.GetRegionResponse>('GetPrevRegion', {
    request: 'GetRegionRequest',
    response: 'GetRegionResponse',
  }),
  getRegionById: pd<pb.GetRegionByIdRequest, pb.GetRegionResponse>('GetRegionByID', {
    response: 'GetRegionResponse',
  }),
  queryRegion: pd<pb.QueryRegionRequest, pb.QueryRegionResponse>('QueryRegion', { shape: 'bidi' }),
  scanRegions: pd<pb.ScanRegionsRequest, pb.ScanRegionsResponse>('ScanRegions'),
  batchScanRegions: pd<pb.BatchScanRegionsRequest, pb.BatchScanRegionsResponse>('BatchScanRegions'),
  getOperator: pd<pb.GetOperatorRequest, pb.GetOperatorResponse>('GetOperator'),
  loadGlobalConfig: pd<pb.LoadGlobalConfigRequest, pb.LoadGlobalConfigResponse>('LoadGlobalConfig'),
} satisfies ServiceDefinition

export const metaStorageMethods = {
  get: grpcMethod<pb.MetaGetRequest, pb.MetaGetResponse>(
    'unary',
    '/meta_storagepb.MetaStorage/Get',
    'meta_storagepb.GetRequest',
    'meta_storagepb.GetResponse',
  ),
} satisfies ServiceDefinition

export const initialRegionsCodec: MessageCodec<pb.InitialRegionsMessage> = messageCodec(
  'polyraftpb.InitialRegions',
)

/** MetaStorage key under which a store finds the regions that the bootstrap plan gave it. */
export const INITIAL_REGIONS_PREFIX = 'polyraft/initial-regions/'
