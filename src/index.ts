/** polyraft as a library: the client of a cluster, and a cluster (or a store of one) in this process. */
export type { ErrorCode } from './base/errors.ts'
export { PolyraftError } from './base/errors.ts'
export type { Logger } from './base/logger.ts'
export { type ConnectOptions, connect } from './client/connect.ts'
export type {
  Bytes,
  CompareAndSwap,
  KeyOptions,
  KvCallback,
  KvClient,
  PutOptions,
  Row,
  Scan,
  ScanOptions,
  SwapResult,
} from './client/kv-client.ts'
export type { ClusterOptions } from './server/cluster-options.ts'
export { type Cluster, openCluster } from './server/open-cluster.ts'
export type { StoreConfig } from './store/config.ts'
