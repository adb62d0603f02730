/**
 * Every setting of a storage node: its place in the TOML file, its kind, what it means. Names are
 * tikv-server's where it has one. Defaults of the store's own settings are taken from the store.
 */
import { ENTRY_BYTES_MAX, GIB, KIB, MIB, WAIT_MS_MAX } from '../base/limits.ts'
import {
  BLOCK_CACHE_BYTES_MAX,
  OPTION_SET_NAMES,
  WRITE_BUFFER_BYTES_MAX,
  WRITE_BUFFER_BYTES_MIN,
} from '../engine/rocksdb-options.ts'
import { RECOVERY_MODES } from '../raftlog/recovery.ts'
import { defaultStoreConfig, type StoreConfig } from '../store/config.ts'
import { LOG_LEVELS } from './log-levels.ts'

export type SettingKind =
  | 'text'
  | 'count'
  | 'size'
  /** A size, or "auto". */
  | 'size-or-auto'
  | 'duration'
  | 'list'
  | 'labels'
  | 'choice'
  | 'switch'
export type SettingValue =
  | string
  | number
  | boolean
  | readonly string[]
  | Readonly<Record<string, string>>

export interface Setting {
  /** `section.key`; a section may have dots. */
  readonly name: string
  readonly kind: SettingKind
  readonly default: SettingValue
  /** For numbers; inclusive. */
  readonly min: number
  readonly max: number
  readonly about: string
  /** For choices. */
  readonly choices: readonly string[]
}

const NO_CHOICES: readonly string[] = []
/** Of settings whose values are not free text. */
const CHOICES: Readonly<Record<string, readonly string[]>> = {
  'log.level': LOG_LEVELS,
  'raft-engine.recovery-mode': RECOVERY_MODES,
  'rocksdb.option-set': OPTION_SET_NAMES,
}

function setting(
  name: string,
  kind: SettingKind,
  fallback: SettingValue,
  about: string,
  min = 0,
  max = kind === 'duration' ? WAIT_MS_MAX : Number.MAX_SAFE_INTEGER,
): Setting {
  const choices = CHOICES[name] ?? NO_CHOICES
  return { name, kind, default: fallback, about, min, max, choices }
}

const NODE_SETTINGS: readonly Setting[] = [
  setting('server.addr', 'text', '127.0.0.1:20160', 'Where clients reach this store (gRPC).'),
  setting('server.advertise-addr', 'text', '', 'What clients are told; empty: addr.'),
  setting(
    'server.peer-addr',
    'text',
    '',
    'Where other stores reach this one; empty: the host of addr and a free port.',
  ),
  setting(
    'server.advertise-peer-addr',
    'text',
    '',
    'What other stores are told; empty: peer-addr.',
  ),
  setting('server.status-addr', 'text', '127.0.0.1:20180', 'HTTP for status and metrics.'),
  setting('server.advertise-status-addr', 'text', '', 'What PD is told; empty: status-addr.'),
  setting(
    'server.labels',
    'labels',
    {},
    'Where the store is, as { zone = "a", host = "h1" }: replicas of a region are kept apart by it.',
  ),
  setting('storage.data-dir', 'text', './polyraft-store', 'Directory of this store alone.'),
  setting('pd.endpoints', 'list', ['127.0.0.1:2379'], 'Placement drivers, host:port each.'),
  setting('security.ca-path', 'text', '', 'TLS is not supported yet: leave it empty.'),
  setting('security.cert-path', 'text', '', 'TLS is not supported yet: leave it empty.'),
  setting('security.key-path', 'text', '', 'TLS is not supported yet: leave it empty.'),
  setting('log.level', 'choice', 'info', `One of ${LOG_LEVELS.join(', ')}.`),
  setting('log.file.filename', 'text', '', 'JSON lines go here; empty: standard error.'),
]

type StoreSetting = readonly [string, SettingKind, string, number?, number?]

/** Complete by its type: a field of StoreConfig without a key does not compile. */
const STORE_KEYS: { readonly [Field in keyof StoreConfig]: StoreSetting } = {
  raftBaseTickIntervalMs: [
    'raftstore.raft-base-tick-interval',
    'duration',
    "Length of a raft tick. tikv-server's default is 1s; a shorter one resumes writes sooner.",
    1,
  ],
  raftHeartbeatTicks: ['raftstore.raft-heartbeat-ticks', 'count', 'Ticks between heartbeats.', 1],
  raftElectionTimeoutTicks: [
    'raftstore.raft-election-timeout-ticks',
    'count',
    'Ticks without a leader before a peer campaigns.',
    2,
  ],
  raftStoreMaxLeaderLeaseMs: [
    'raftstore.raft-store-max-leader-lease',
    'duration',
    'How long a leader answers reads alone; at least one tick below the election time-out.',
  ],
  raftMaxSizePerMsg: [
    'raftstore.raft-max-size-per-msg',
    'size',
    'Entry bytes of one append message, at least one entry.',
    KIB,
  ],
  raftMaxInflightMsgs: [
    'raftstore.raft-max-inflight-msgs',
    'count',
    'Append messages under way to one follower.',
    1,
  ],
  raftEntryMaxSize: [
    'raftstore.raft-entry-max-size',
    'size',
    'Largest raft entry, so also the largest value.',
    KIB,
    ENTRY_BYTES_MAX,
  ],
  messagesPerTick: [
    'raftstore.messages-per-tick',
    'count',
    'Messages of one region that one round handles.',
    1,
  ],
  storeMaxBatchSize: [
    'raftstore.store-max-batch-size',
    'count',
    'Regions that one round handles.',
    1,
  ],
  mailboxCapacity: [
    'raftstore.notify-capacity',
    'count',
    'Messages that wait for one region; more are answered "server is busy".',
    1,
  ],
  unpersistedReadiesMax: [
    'raftstore.cmd-batch-concurrent-ready-max-count',
    'count',
    'Readies of a region that may wait for their fsync before its writes gather.',
    1,
  ],
  storeIoPoolSize: [
    'raftstore.store-io-pool-size',
    'count',
    'Threads that write the raft log; 0: the main thread does.',
    0,
    64,
  ],
  applyPoolSize: ['raftstore.apply-pool-size', 'count', 'Threads that apply.', 1, 64],
  inflightBytesMax: [
    'raftstore.inflight-bytes-max',
    'size',
    'Bytes of unanswered requests above which new ones are answered "server is busy".',
    KIB,
  ],
  raftLogGcTickIntervalMs: [
    'raftstore.raft-log-gc-tick-interval',
    'duration',
    'How often a leader looks whether its raft log can be compacted.',
    1,
  ],
  raftLogGcThreshold: [
    'raftstore.raft-log-gc-threshold',
    'count',
    'Entries that all replicas have, from which on a compaction is worth while.',
    1,
  ],
  raftLogGcCountLimit: [
    'raftstore.raft-log-gc-count-limit',
    'count',
    'Entries above which a raft log is compacted though a replica lacks them: it gets a snapshot.',
    1,
  ],
  raftLogGcSizeLimit: ['raftstore.raft-log-gc-size-limit', 'size', 'The same by bytes.', KIB],
  raftLogReserveMaxTicks: [
    'raftstore.raft-log-reserve-max-ticks',
    'count',
    'Looks after which fewer entries than the threshold are compacted too.',
  ],
  concurrentSendSnapLimit: [
    'server.concurrent-send-snap-limit',
    'count',
    'Snapshots that are sent at once. tikv-server allows 32; here they share one thread with requests.',
    1,
  ],
  concurrentRecvSnapLimit: [
    'server.concurrent-recv-snap-limit',
    'count',
    'Snapshots that are received at once; more are told to wait.',
    1,
  ],
  snapGcTimeoutMs: [
    'raftstore.snap-gc-timeout',
    'duration',
    'How long a snapshot may be on its way; then its files go, and another one is made.',
    1,
  ],
  snapMgrGcTickIntervalMs: [
    'raftstore.snap-mgr-gc-tick-interval',
    'duration',
    'How often files of snapshots that nobody uses are looked for.',
    1,
  ],
  snapIoMaxBytesPerSec: [
    'server.snap-io-max-bytes-per-sec',
    'size',
    'Snapshot bytes that this store reads, sends and installs in a second at most, each of them.',
    KIB,
  ],
  maxPeerDownDurationMs: [
    'raftstore.max-peer-down-duration',
    'duration',
    'Silence after which a leader reports a peer to PD as down.',
    1,
  ],
  maxLeaderMissingDurationMs: [
    'raftstore.max-leader-missing-duration',
    'duration',
    'A replica that heard no leader for so long asks PD whether it still is a member.',
    1,
  ],
  peerStaleStateCheckIntervalMs: [
    'raftstore.peer-stale-state-check-interval',
    'duration',
    'How often replicas are looked through for such.',
    1,
  ],
  hibernateRegions: [
    'raftstore.hibernate-regions',
    'switch',
    'Regions without work stop their ticks and heartbeats until something happens to them.',
  ],
  pdHeartbeatTickIntervalMs: [
    'raftstore.pd-heartbeat-tick-interval',
    'duration',
    'How often a leader tells PD about its region.',
    1,
  ],
  pdStoreHeartbeatTickIntervalMs: [
    'raftstore.pd-store-heartbeat-tick-interval',
    'duration',
    'How often the store tells PD about itself.',
    1,
  ],
  raftLogSegmentBytes: [
    'raft-engine.target-file-size',
    'size',
    'A log file is closed when it reaches this size.',
    4 * KIB,
    2 * GIB,
  ],
  raftLogCacheBytes: [
    'raft-engine.entry-cache-size',
    'size',
    'Memory for log entries over all regions.',
  ],
  reserveSpaceBytes: [
    'storage.reserve-space',
    'size-or-auto',
    'Kept in a file for a full disk; "auto": 2 % of it, at most 256MiB. When no more than this is free ' +
      'besides, or 512MiB, or an eighth of a smaller disk, writes are refused; at half of it deletes too.',
  ],
  raftLogPurgeBytes: [
    'raft-engine.purge-threshold',
    'size',
    'Disk use of the raft log from which on its old files are emptied. tikv-server allows 10GB.',
    MIB,
  ],
  raftLogRecoveryMode: [
    'raft-engine.recovery-mode',
    'choice',
    `One of ${RECOVERY_MODES.join(', ')}: whether a start may cut an unfinished write off the log.`,
  ],
  rocksdbOptionSet: [
    'rocksdb.option-set',
    'choice',
    `One of ${OPTION_SET_NAMES.join(', ')}: sizes for stores that share a small machine, or for one on its own.`,
  ],
  rocksdbBlockCacheBytes: [
    'storage.block-cache.capacity',
    'size-or-auto',
    'Memory for blocks of RocksDB. "auto": small 32MiB, large 1GiB.',
    0,
    BLOCK_CACHE_BYTES_MAX,
  ],
  rocksdbWriteBufferBytes: [
    'rocksdb.defaultcf.write-buffer-size',
    'size-or-auto',
    'Size at which a table in memory is written to disk. "auto": small 8MiB, large 128MiB.',
    WRITE_BUFFER_BYTES_MIN,
    WRITE_BUFFER_BYTES_MAX,
  ],
  rocksdbMaxBackgroundJobs: [
    'rocksdb.max-background-jobs',
    'count',
    'Threads of RocksDB that write and compact files; 0: half of the processors.',
    0,
    64,
  ],
}

export const STORE_FIELDS = Object.keys(STORE_KEYS) as (keyof StoreConfig)[]

const DEFAULTS = defaultStoreConfig()

export function storeSetting(field: keyof StoreConfig): Setting {
  const [name, kind, about, min, max] = STORE_KEYS[field]
  return setting(name, kind, DEFAULTS[field], about, min, max)
}

/** In the order of the sample file; settings of a section stand together. */
export const SETTINGS: readonly Setting[] = groupBySection([
  ...NODE_SETTINGS,
  ...STORE_FIELDS.map(storeSetting),
])

export function sectionOf(setting: Setting): string {
  return setting.name.slice(0, setting.name.lastIndexOf('.'))
}

export function keyOf(setting: Setting): string {
  return setting.name.slice(setting.name.lastIndexOf('.') + 1)
}

function groupBySection(settings: readonly Setting[]): Setting[] {
  const order = [
    'server',
    'storage',
    'raftstore',
    'raft-engine',
    'rocksdb',
    'pd',
    'security',
    'log',
  ]
  const rank = (each: Setting): number => order.indexOf(each.name.split('.')[0]!)
  const bySection = (a: Setting, b: Setting): number =>
    sectionOf(a) < sectionOf(b) ? -1 : sectionOf(a) > sectionOf(b) ? 1 : 0
  return settings.toSorted((a, b) => rank(a) - rank(b) || bySection(a, b))
}
