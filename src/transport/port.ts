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
  /**
   * No raft message: whoever is at `epoch` tells a peer that it is no member there any more, and
   * should destroy itself. What the message holds means nothing.
   */
  readonly tombstone?: boolean
  /**
   * No raft message: about the region's hibernation, with the number of the leader's ask. A heartbeat
   * asks, its response agrees.
   */
  readonly hibernate?: number
}

/** Where the bytes of an outgoing snapshot come from. */
export interface SnapshotSource {
  /** Bytes of each file, in order. */
  readonly sizes: readonly number[]
  /**
   * Bytes in front of what read() answers, in memory that it gives away: the transport writes its
   * headers there. Without them it copies.
   */
  readonly headroomBytes?: number
  /** Most that one read() is asked for; a slow source has to give signs of life. */
  readonly chunkBytesMax?: number
  read(file: number, offset: number, length: number): Promise<Uint8Array>
}

/** Where the bytes of an incoming snapshot go. After an error, or abort(), it is of no use. */
export interface SnapshotSink {
  /**
   * In order within files, and file after file. The memory of `bytes` is the sink's from here on.
   * Resolves when more may come.
   */
  write(file: number, offset: number, bytes: Buffer): Promise<void>
  /** All of it came: resolves once it is verified, durable, and on its way to the peer. */
  finish(): Promise<void>
  abort(): void
}

export interface SnapshotRefusal {
  /** Worth asking again later. */
  readonly busy: boolean
  readonly reason: string
}

export type SnapshotOutcome = 'sent' | 'busy' | 'failed'

export interface TransportEvents {
  /** All messages of one frame, in order. */
  onMessages(envelopes: RaftEnvelope[]): void
  /** The link to this store broke or cannot be made. Told once for each failure. */
  onUnreachable(storeId: StoreId): void
  /** This store was heard of, and is not any more. Told once, until it is heard of again. */
  onSilent(storeId: StoreId): void
  /** A snapshot is offered: its message, without the files. Without this all are refused. */
  onSnapshotOffer?(envelope: RaftEnvelope): SnapshotSink | SnapshotRefusal
}

export interface Transport {
  /** False when it was dropped because the queue to that store is full. */
  send(envelope: RaftEnvelope): boolean
  flush(): void
  /** Sends a snapshot message with its files, beside all other messages. */
  sendSnapshot(
    envelope: RaftEnvelope,
    source: SnapshotSource,
    done: (outcome: SnapshotOutcome, reason: string) => void,
  ): void
  close(): Promise<void>
}

/** Where a store listens for its peers; rejected when it is not known. */
export type AddressResolver = (storeId: StoreId) => Promise<string>
