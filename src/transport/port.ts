/**
 * Store to store. send() queues into the round, flush() makes one frame for each store. Delivery is
 * best effort and in order per store pair: raft repairs what is lost.
 */
import type { RegionId, StoreId } from '../base/ids.ts'
import type { Message } from '../raft/types.ts'
import type { Peer, RegionEpoch } from '../region/region.ts'

/** A raft message with what routing needs. */
export interface RaftEnvelope {
  readonly regionId: RegionId
  readonly from: Peer
  readonly to: Peer
  /** Epoch of the sender's region. */
  readonly epoch: RegionEpoch
  readonly message: Message
}

export interface TransportEvents {
  /** All messages of one frame, in order. */
  onMessages(envelopes: RaftEnvelope[]): void
  /** The link to this store broke or cannot be made. Told once for each failure. */
  onUnreachable(storeId: StoreId): void
}

export interface Transport {
  /** False when it was dropped because the queue to that store is full. */
  send(envelope: RaftEnvelope): boolean
  flush(): void
  close(): Promise<void>
}

/** Where a store listens for its peers; rejected when it is not known. */
export type AddressResolver = (storeId: StoreId) => Promise<string>
