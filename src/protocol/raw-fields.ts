/**
 * Field tags of the raw commands (kvrpcpb), named once for their encoders and decoders.
 *
 *   RawGetRequest          1 context  2 key        3 cf
 *   RawBatchGetRequest     1 context  2 keys*      3 cf
 *   RawPutRequest          1 context  2 key        3 value    4 cf  5 ttl  6 for_cas
 *   RawBatchPutRequest     1 context  2 KvPair*    3 cf       4 ttl (old)  5 for_cas  6 ttls*
 *   RawDeleteRequest       1 context  2 key        3 cf       4 for_cas
 *   RawBatchDeleteRequest  1 context  2 keys*      3 cf       4 for_cas
 *   RawScanRequest         1 context  2 start_key  3 limit    4 key_only   5 cf  6 reverse  7 end_key
 *
 *   RawGetResponse                    1 region_error  2 error    3 value  4 not_found
 *   RawBatchGet-, RawScanResponse     1 region_error  2 KvPair*
 *   all others                        1 region_error  2 error
 *   KvPair                            1 error (never set)  2 key  3 value
 *
 * `for_cas` needs no field in a request: compare-and-swap and plain writes share one log here.
 */
import { bytesTag, varintTag } from './wire.ts'

export const CONTEXT_TAG = bytesTag(1)

export const ContextTag = {
  RegionId: varintTag(1),
  RegionEpoch: bytesTag(2),
  Peer: bytesTag(3),
  Term: varintTag(5),
  ReplicaRead: varintTag(12),
  DurationMsMax: varintTag(14),
  ApiVersion: varintTag(21),
  ClusterId: varintTag(35),
  EpochConfVer: varintTag(1),
  EpochVersion: varintTag(2),
  PeerId: varintTag(1),
  PeerStoreId: varintTag(2),
} as const

export const KvPairTag = { Key: bytesTag(2), Value: bytesTag(3) } as const

export const KeyedTag = { Key: bytesTag(2), Cf: bytesTag(3) } as const
export const KeysTag = { Keys: bytesTag(2), Cf: bytesTag(3) } as const
export const PutTag = {
  Key: bytesTag(2),
  Value: bytesTag(3),
  Cf: bytesTag(4),
  Ttl: varintTag(5),
} as const
export const BatchPutTag = {
  Pairs: bytesTag(2),
  Cf: bytesTag(3),
  OldTtl: varintTag(4),
  Ttl: varintTag(6),
  PackedTtls: bytesTag(6),
} as const
export const ScanTag = {
  StartKey: bytesTag(2),
  Limit: varintTag(3),
  KeyOnly: varintTag(4),
  Cf: bytesTag(5),
  Reverse: varintTag(6),
  EndKey: bytesTag(7),
} as const

export const ResponseTag = {
  RegionError: bytesTag(1),
  Error: bytesTag(2),
  Pairs: bytesTag(2),
  Value: bytesTag(3),
  NotFound: varintTag(4),
} as const
