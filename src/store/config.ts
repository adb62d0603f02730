/**
 * Settings of one store, with their defaults: the one place where a default is named. Times are
 * milliseconds, sizes bytes. The TOML file of `polyraft server` maps onto this.
 */

import { assert } from '../base/assert.ts'
import { GIB, KIB, MIB } from '../base/limits.ts'
import type { OptionSetName } from '../engine/rocksdb-options.ts'
import { electionTimeoutMs } from '../peer/ports.ts'
import { RECOVERY_MODE_DEFAULT, type RecoveryMode } from '../raftlog/recovery.ts'

export interface StoreConfig {
  // [raftstore]
  /** Length of a raft tick. TiKV's default is 1 s; a shorter one resumes writes sooner. */
  readonly raftBaseTickIntervalMs: number
  readonly raftHeartbeatTicks: number
  readonly raftElectionTimeoutTicks: number
  /**
   * Longest time that a leader answers reads without asking its followers. Ticks count an election
   * time-out up to one tick short; what the lease is shorter than that bears clocks that run apart
   * and ticks that come late.
   */
  readonly raftStoreMaxLeaderLeaseMs: number
  readonly raftMaxSizePerMsg: number
  readonly raftMaxInflightMsgs: number
  readonly raftEntryMaxSize: number
  /** Messages of one region that one round handles. */
  readonly messagesPerTick: number
  /** Regions that one round handles. */
  readonly storeMaxBatchSize: number
  /** Messages that wait for one region; more are answered ServerIsBusy. */
  readonly mailboxCapacity: number
  /** Readies of one region that may wait for their fsync before batching holds back. */
  readonly unpersistedReadiesMax: number
  /** Store writer threads; 0 = write in the poller. */
  readonly storeIoPoolSize: number
  readonly applyPoolSize: number
  /** Bytes of requests in the store that were not answered yet; above it ServerIsBusy. */
  readonly inflightBytesMax: number
  /** How often a leader looks whether its log can be compacted. */
  readonly raftLogGcTickIntervalMs: number
  /** Replicated entries that make a compaction worth while. */
  readonly raftLogGcThreshold: number
  /** Applied entries and bytes above which a log is compacted though a follower still lacks them. */
  readonly raftLogGcCountLimit: number
  readonly raftLogGcSizeLimit: number
  /** Looks after which fewer entries than the threshold are compacted too. */
  readonly raftLogReserveMaxTicks: number
  /** Snapshots that are sent at once; twice as many sets of files are kept for it. */
  readonly concurrentSendSnapLimit: number
  readonly concurrentRecvSnapLimit: number
  /** No transfer takes longer: it is given up. */
  readonly snapGcTimeoutMs: number
  /** How often files of snapshots that nobody uses are looked for. */
  readonly snapMgrGcTickIntervalMs: number
  /** Snapshot bytes that are read, sent and installed here in a second, each. */
  readonly snapIoMaxBytesPerSec: number
  /** Silence after which a peer is reported to PD as down. */
  readonly maxPeerDownDurationMs: number
  /** A replica that has not heard a leader for so long asks PD whether it still is a member. */
  readonly maxLeaderMissingDurationMs: number
  readonly peerStaleStateCheckIntervalMs: number
  /** Regions without work cost neither ticks nor messages. */
  readonly hibernateRegions: boolean
  readonly pdHeartbeatTickIntervalMs: number
  readonly pdStoreHeartbeatTickIntervalMs: number
  // [storage]
  /** Bytes kept in a file for a full disk; 'auto' = 2 % of the disk, at most 256 MiB. */
  readonly reserveSpaceBytes: number | 'auto'
  // [raft-engine]
  readonly raftLogSegmentBytes: number
  /** Memory for log entries over all regions. */
  readonly raftLogCacheBytes: number
  readonly raftLogRecoveryMode: RecoveryMode
  /** Disk use of the log from which on old segments are emptied. */
  readonly raftLogPurgeBytes: number
  // [rocksdb]
  /** Sizes where 'auto' is given. */
  readonly rocksdbOptionSet: OptionSetName
  readonly rocksdbBlockCacheBytes: number | 'auto'
  readonly rocksdbWriteBufferBytes: number | 'auto'
  /** Threads that flush and compact; 0: half of the processors. */
  readonly rocksdbMaxBackgroundJobs: number
}

export function defaultStoreConfig(): StoreConfig {
  return {
    raftBaseTickIntervalMs: 100,
    raftHeartbeatTicks: 2,
    raftElectionTimeoutTicks: 10,
    raftStoreMaxLeaderLeaseMs: 800,
    raftMaxSizePerMsg: MIB,
    raftMaxInflightMsgs: 256,
    raftEntryMaxSize: 8 * MIB,
    messagesPerTick: 4096,
    storeMaxBatchSize: 256,
    mailboxCapacity: 40_960,
    unpersistedReadiesMax: 1,
    storeIoPoolSize: 1,
    applyPoolSize: 1,
    inflightBytesMax: GIB / 4,
    raftLogGcTickIntervalMs: 3_000,
    raftLogGcThreshold: 50,
    // Three quarters of a region of 256 MiB, and that many entries of 1 KiB.
    raftLogGcCountLimit: 196_608,
    raftLogGcSizeLimit: 192 * MIB,
    raftLogReserveMaxTicks: 6,
    concurrentSendSnapLimit: 4,
    concurrentRecvSnapLimit: 8,
    snapGcTimeoutMs: 4 * 3_600_000,
    snapMgrGcTickIntervalMs: 60_000,
    snapIoMaxBytesPerSec: 100 * MIB,
    maxPeerDownDurationMs: 600_000,
    maxLeaderMissingDurationMs: 600_000,
    peerStaleStateCheckIntervalMs: 30_000,
    hibernateRegions: true,
    pdHeartbeatTickIntervalMs: 60_000,
    pdStoreHeartbeatTickIntervalMs: 10_000,
    reserveSpaceBytes: 'auto',
    raftLogSegmentBytes: 64 * MIB,
    raftLogCacheBytes: 32 * MIB,
    raftLogRecoveryMode: RECOVERY_MODE_DEFAULT,
    raftLogPurgeBytes: GIB,
    rocksdbOptionSet: 'small',
    rocksdbBlockCacheBytes: 'auto',
    rocksdbWriteBufferBytes: 'auto',
    rocksdbMaxBackgroundJobs: 0,
  }
}

/** Relations between settings that safety rests on. */
export function mustBeSafeConfig(config: StoreConfig): void {
  const electionMs = electionTimeoutMs(config)
  assert(
    config.raftStoreMaxLeaderLeaseMs <= electionMs - config.raftBaseTickIntervalMs,
    'the leader lease is at least one tick shorter than the election time-out',
  )
  assert(
    config.raftHeartbeatTicks < config.raftElectionTimeoutTicks,
    'heartbeats come more often than elections time out',
  )
  assert(config.raftLogGcThreshold >= 1, 'a compaction removes at least one entry')
  assert(config.raftEntryMaxSize >= KIB, 'an entry holds at least a small command')
}
