/**
 * What TiKV's programs call the placement driver with, by reflection: numbers and types as they are
 * on their wire, of the fields that polyraft knows. The judge of the .proto files in src.
 */
import protobuf from 'protobufjs'

const METAPB = `
syntax = "proto3";
package metapb;
enum StoreState { Up = 0; Offline = 1; Tombstone = 2; }
enum NodeState { Preparing = 0; Serving = 1; Removing = 2; Removed = 3; }
enum PeerRole { Voter = 0; Learner = 1; IncomingVoter = 2; DemotingVoter = 3; }
message Cluster { uint64 id = 1; uint32 max_peer_count = 2; }
message StoreLabel { string key = 1; string value = 2; }
message Store { uint64 id = 1; string address = 2; StoreState state = 3; repeated StoreLabel labels = 4;
  string version = 5; string peer_address = 6; string status_address = 7; string git_hash = 8;
  int64 start_timestamp = 9; string deploy_path = 10; int64 last_heartbeat = 11;
  bool physically_destroyed = 12; NodeState node_state = 13; }
message RegionEpoch { uint64 conf_ver = 1; uint64 version = 2; }
message Peer { uint64 id = 1; uint64 store_id = 2; PeerRole role = 3; }
message Region { uint64 id = 1; bytes start_key = 2; bytes end_key = 3; RegionEpoch region_epoch = 4;
  repeated Peer peers = 5; }
`

const PDPB = `
syntax = "proto3";
package pdpb;
enum ErrorType { OK = 0; UNKNOWN = 1; NOT_BOOTSTRAPPED = 2; STORE_TOMBSTONE = 3; ALREADY_BOOTSTRAPPED = 4;
  INCOMPATIBLE_VERSION = 5; REGION_NOT_FOUND = 6; GLOBAL_CONFIG_NOT_FOUND = 7; DUPLICATED_ENTRY = 8;
  ENTRY_NOT_FOUND = 9; INVALID_VALUE = 10; DATA_COMPACTED = 11; REGIONS_NOT_CONTAIN_ALL_KEY_RANGE = 12; }
enum ServiceMode { UNKNOWN_SVC_MODE = 0; PD_SVC_MODE = 1; API_SVC_MODE = 2; }
enum OperatorStatus { SUCCESS = 0; TIMEOUT = 1; CANCEL = 2; REPLACE = 3; RUNNING = 4; }
enum ConfChangeType { AddNode = 0; RemoveNode = 1; AddLearnerNode = 2; }
message Error { ErrorType type = 1; string message = 2; }
message RequestHeader { uint64 cluster_id = 1; uint64 sender_id = 2; string caller_id = 3;
  string caller_component = 4; }
message ResponseHeader { uint64 cluster_id = 1; Error error = 2; }
message Member { string name = 1; uint64 member_id = 2; repeated string peer_urls = 3;
  repeated string client_urls = 4; int32 leader_priority = 5; string deploy_path = 6;
  string binary_version = 7; }
message GetMembersRequest { RequestHeader header = 1; }
message GetMembersResponse { ResponseHeader header = 1; repeated Member members = 2; Member leader = 3;
  Member etcd_leader = 4; }
message GetClusterInfoRequest {}
message GetClusterInfoResponse { ResponseHeader header = 1; repeated ServiceMode serviceModes = 2;
  repeated string tso_urls = 3; }
message GetClusterConfigRequest { RequestHeader header = 1; }
message GetClusterConfigResponse { ResponseHeader header = 1; metapb.Cluster cluster = 2; }
message PutClusterConfigRequest { RequestHeader header = 1; metapb.Cluster cluster = 2; }
message PutClusterConfigResponse { ResponseHeader header = 1; }
message Timestamp { int64 physical = 1; int64 logical = 2; uint32 suffix_bits = 3; }
message TsoRequest { RequestHeader header = 1; uint32 count = 2; string dc_location = 3; }
message TsoResponse { ResponseHeader header = 1; uint32 count = 2; Timestamp timestamp = 3; }
message GetMinTSRequest { RequestHeader header = 1; }
message GetMinTSResponse { ResponseHeader header = 1; Timestamp timestamp = 2; }
message GetGCSafePointRequest { RequestHeader header = 1; }
message GetGCSafePointResponse { ResponseHeader header = 1; uint64 safe_point = 2; }
message BootstrapRequest { RequestHeader header = 1; metapb.Store store = 2; metapb.Region region = 3; }
message BootstrapResponse { ResponseHeader header = 1; }
message IsBootstrappedRequest { RequestHeader header = 1; }
message IsBootstrappedResponse { ResponseHeader header = 1; bool bootstrapped = 2; }
message AllocIDRequest { RequestHeader header = 1; uint32 count = 2; }
message AllocIDResponse { ResponseHeader header = 1; uint64 id = 2; uint32 count = 3; }
message IsSnapshotRecoveringRequest { RequestHeader header = 1; }
message IsSnapshotRecoveringResponse { ResponseHeader header = 1; bool marked = 2; }
message TimeInterval { uint64 start_timestamp = 1; uint64 end_timestamp = 2; }
message StoreStats { uint64 store_id = 1; uint64 capacity = 2; uint64 available = 3;
  uint32 region_count = 4; uint32 start_time = 7; bool is_busy = 9; uint64 used_size = 10;
  uint64 bytes_written = 11; uint64 keys_written = 12; uint64 bytes_read = 13; uint64 keys_read = 14;
  TimeInterval interval = 15; }
message GetStoreRequest { RequestHeader header = 1; uint64 store_id = 2; }
message GetStoreResponse { ResponseHeader header = 1; metapb.Store store = 2; StoreStats stats = 3; }
message PutStoreRequest { RequestHeader header = 1; metapb.Store store = 2; }
message PutStoreResponse { ResponseHeader header = 1; }
message GetAllStoresRequest { RequestHeader header = 1; bool exclude_tombstone_stores = 2; }
message GetAllStoresResponse { ResponseHeader header = 1; repeated metapb.Store stores = 2; }
message StoreHeartbeatRequest { RequestHeader header = 1; StoreStats stats = 2; }
message StoreHeartbeatResponse { ResponseHeader header = 1; }
message PeerStats { metapb.Peer peer = 1; uint64 down_seconds = 2; }
message RegionHeartbeatRequest { RequestHeader header = 1; metapb.Region region = 2; metapb.Peer leader = 3;
  repeated PeerStats down_peers = 4; repeated metapb.Peer pending_peers = 5; uint64 bytes_written = 6;
  uint64 bytes_read = 7; uint64 keys_written = 8; uint64 keys_read = 9; uint64 approximate_size = 10;
  TimeInterval interval = 12; uint64 approximate_keys = 13; uint64 term = 14; }
message ChangePeer { metapb.Peer peer = 1; ConfChangeType change_type = 2; }
message ChangePeerV2 { repeated ChangePeer changes = 1; }
message TransferLeader { metapb.Peer peer = 1; repeated metapb.Peer peers = 2; }
message RegionHeartbeatResponse { ResponseHeader header = 1; ChangePeer change_peer = 2;
  TransferLeader transfer_leader = 3; uint64 region_id = 4; metapb.RegionEpoch region_epoch = 5;
  metapb.Peer target_peer = 6; ChangePeerV2 change_peer_v2 = 9; }
message GetRegionRequest { RequestHeader header = 1; bytes region_key = 2; bool need_buckets = 3; }
message GetRegionByIDRequest { RequestHeader header = 1; uint64 region_id = 2; bool need_buckets = 3; }
message GetRegionResponse { ResponseHeader header = 1; metapb.Region region = 2; metapb.Peer leader = 3;
  repeated PeerStats down_peers = 5; repeated metapb.Peer pending_peers = 6; }
message RegionResponse { metapb.Region region = 1; metapb.Peer leader = 2;
  repeated PeerStats down_peers = 3; repeated metapb.Peer pending_peers = 4; }
message QueryRegionRequest { RequestHeader header = 1; bool need_buckets = 2; repeated uint64 ids = 3;
  repeated bytes keys = 4; repeated bytes prev_keys = 5; }
message QueryRegionResponse { ResponseHeader header = 1; repeated uint64 key_id_map = 2;
  repeated uint64 prev_key_id_map = 3; map<uint64, RegionResponse> regions_by_id = 4; }
message Region { metapb.Region region = 1; metapb.Peer leader = 2; repeated PeerStats down_peers = 3;
  repeated metapb.Peer pending_peers = 4; }
message ScanRegionsRequest { RequestHeader header = 1; bytes start_key = 2; int32 limit = 3;
  bytes end_key = 4; }
message ScanRegionsResponse { ResponseHeader header = 1; repeated metapb.Region region_metas = 2;
  repeated metapb.Peer leaders = 3; repeated Region regions = 4; }
message KeyRange { bytes start_key = 1; bytes end_key = 2; }
message BatchScanRegionsRequest { RequestHeader header = 1; bool need_buckets = 2;
  repeated KeyRange ranges = 3; int32 limit = 4; bool contain_all_key_range = 5; }
message BatchScanRegionsResponse { ResponseHeader header = 1; repeated Region regions = 2; }
message GetOperatorRequest { RequestHeader header = 1; uint64 region_id = 2; }
message GetOperatorResponse { ResponseHeader header = 1; uint64 region_id = 2; bytes desc = 3;
  OperatorStatus status = 4; bytes kind = 5; }
message LoadGlobalConfigRequest { repeated string names = 1; string config_path = 2; }
message GlobalConfigItem { string name = 1; string value = 2; }
message LoadGlobalConfigResponse { repeated GlobalConfigItem items = 1; int64 revision = 2; }
service PD {
  rpc GetMembers(GetMembersRequest) returns (GetMembersResponse);
  rpc GetClusterInfo(GetClusterInfoRequest) returns (GetClusterInfoResponse);
  rpc GetClusterConfig(GetClusterConfigRequest) returns (GetClusterConfigResponse);
  rpc PutClusterConfig(PutClusterConfigRequest) returns (PutClusterConfigResponse);
  rpc Tso(stream TsoRequest) returns (stream TsoResponse);
  rpc GetMinTS(GetMinTSRequest) returns (GetMinTSResponse);
  rpc GetGCSafePoint(GetGCSafePointRequest) returns (GetGCSafePointResponse);
  rpc Bootstrap(BootstrapRequest) returns (BootstrapResponse);
  rpc IsBootstrapped(IsBootstrappedRequest) returns (IsBootstrappedResponse);
  rpc AllocID(AllocIDRequest) returns (AllocIDResponse);
  rpc IsSnapshotRecovering(IsSnapshotRecoveringRequest) returns (IsSnapshotRecoveringResponse);
  rpc GetStore(GetStoreRequest) returns (GetStoreResponse);
  rpc PutStore(PutStoreRequest) returns (PutStoreResponse);
  rpc GetAllStores(GetAllStoresRequest) returns (GetAllStoresResponse);
  rpc StoreHeartbeat(StoreHeartbeatRequest) returns (StoreHeartbeatResponse);
  rpc RegionHeartbeat(stream RegionHeartbeatRequest) returns (stream RegionHeartbeatResponse);
  rpc GetRegion(GetRegionRequest) returns (GetRegionResponse);
  rpc GetPrevRegion(GetRegionRequest) returns (GetRegionResponse);
  rpc GetRegionByID(GetRegionByIDRequest) returns (GetRegionResponse);
  rpc QueryRegion(stream QueryRegionRequest) returns (stream QueryRegionResponse);
  rpc ScanRegions(ScanRegionsRequest) returns (ScanRegionsResponse);
  rpc BatchScanRegions(BatchScanRegionsRequest) returns (BatchScanRegionsResponse);
  rpc GetOperator(GetOperatorRequest) returns (GetOperatorResponse);
  rpc LoadGlobalConfig(LoadGlobalConfigRequest) returns (LoadGlobalConfigResponse);
}
`

const META_STORAGEPB = `
syntax = "proto3";
package meta_storagepb;
enum ErrorType { OK = 0; UNKNOWN = 1; DATA_COMPACTED = 2; }
message RequestHeader { uint64 cluster_id = 1; string source = 2; }
message Error { ErrorType type = 1; string message = 2; }
message ResponseHeader { uint64 cluster_id = 1; Error error = 2; int64 revision = 3; }
message KeyValue { bytes key = 1; int64 create_revision = 2; int64 mod_revision = 3; int64 version = 4;
  bytes value = 5; int64 lease = 6; }
message GetRequest { RequestHeader header = 1; bytes key = 2; bytes range_end = 3; int64 limit = 4;
  int64 revision = 5; }
message GetResponse { ResponseHeader header = 1; repeated KeyValue kvs = 2; bool more = 3; int64 count = 4; }
service MetaStorage { rpc Get(GetRequest) returns (GetResponse); }
`

const root = new protobuf.Root()
for (const source of [METAPB, PDPB, META_STORAGEPB]) protobuf.parse(source, root)
root.resolveAll()

/** A message as JavaScript: fields in camel case, numbers as numbers, bytes as Buffers. */
export type Message = Record<string, unknown>

export interface Rpc {
  readonly path: string
  readonly requestStream: boolean
  readonly responseStream: boolean
  readonly request: protobuf.Type
  readonly response: protobuf.Type
}

export const RPCS: readonly Rpc[] = ['pdpb.PD', 'meta_storagepb.MetaStorage'].flatMap((service) =>
  root.lookupService(service).methodsArray.map((method) => ({
    path: `/${service}/${method.name}`,
    requestStream: method.requestStream === true,
    responseStream: method.responseStream === true,
    request: method.resolvedRequestType!,
    response: method.resolvedResponseType!,
  })),
)

/** The messages whose names a Root has, and the fields of each. */
export function fieldsOf(of: protobuf.NamespaceBase): Map<string, string[]> {
  const fields = new Map<string, string[]>()
  for (const child of of.nestedArray) {
    if (child instanceof protobuf.Type) fields.set(child.fullName, Object.keys(child.fields))
    else if (child instanceof protobuf.Namespace) {
      for (const [name, list] of fieldsOf(child)) fields.set(name, list)
    }
  }
  return fields
}

export const FIELDS: ReadonlyMap<string, readonly string[]> = fieldsOf(root)

export function valuesOf(name: string): Record<string, number> {
  return root.lookupEnum(name).values
}

export function encode(type: protobuf.Type, message: Message): Buffer {
  return Buffer.from(type.encode(type.fromObject(message)).finish())
}

/** Every field set, each to something that no other field of the message has. */
export function sampleOf(type: protobuf.Type): Message {
  return Object.fromEntries(type.fieldsArray.map((field) => [field.name, fieldValue(field)]))
}

function fieldValue(field: protobuf.Field): unknown {
  const one = singleOf(field)
  if (field.map) return { [Number.MAX_SAFE_INTEGER]: one }
  return field.repeated ? [one, one] : one
}

function singleOf({ id, type, resolvedType }: protobuf.Field): unknown {
  if (resolvedType instanceof protobuf.Type) return sampleOf(resolvedType)
  if (resolvedType instanceof protobuf.Enum) return Math.max(...Object.values(resolvedType.values))
  switch (type) {
    case 'uint64':
      return Number.MAX_SAFE_INTEGER - id
    case 'uint32':
      return 2 ** 32 - id
    case 'int64':
      return -(2 ** 40) - id
    case 'int32':
      return -id
    case 'bool':
      return true
    case 'string':
      return `text ${id}`
    case 'bytes':
      return Buffer.from([id, 0, 255])
    default:
      throw new Error(`no field has the type ${type}`)
  }
}
