/** Opens the raft log of a store: lock, recovery, streams. */
import { assert } from '../base/assert.ts'
import type { RoundScheduler } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import { ENTRY_BYTES_MAX, KIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { Ring } from '../base/ring.ts'
import type { FileSystem } from '../env/port.ts'
import { EntryCache } from './entry-cache.ts'
import { Fetcher, InlineSource, PoolSource } from './fetcher.ts'
import type { RaftLog, RaftLogEvents } from './port.ts'
import { type LogStream, SegmentedRaftLog } from './raft-log.ts'
import {
  RECOVERY_MODE_DEFAULT,
  RECOVERY_MODES,
  type Recovered,
  type RecoveryMode,
  recover,
} from './recovery.ts'
import { type Round, RoundBuilder, SequenceCounter } from './round-builder.ts'
import { InlineSink, type SinkEvents, type StreamSink, ThreadSink } from './stream-sink.ts'
import type { StreamLocation } from './stream-writer.ts'

export interface RaftLogOptions {
  /** Made when it is not there. */
  readonly dir: string
  readonly fs: FileSystem
  /** Writer threads; 0 = flush() writes and fsyncs on the calling thread and tells onPersisted before it returns. */
  readonly writers: number
  readonly segmentBytes: number
  /** Memory for persisted entries over all regions; those not persisted stay beyond it. */
  readonly cacheBytes: number
  readonly events: RaftLogEvents
  readonly logger: Logger
  /** What may be wrong with the log's end. Default: tolerate-tail. `absolute` recycles no files. */
  readonly recoveryMode?: RecoveryMode
  /**
   * Disk use from which on old segments are emptied: large logs are listed by regionsToCompact(),
   * small ones written again where that is worth it. Default: 16 segments.
   */
  readonly purgeBytes?: number
  /** Where a fetch without threads continues. Default: the next turn of the event loop. */
  readonly scheduler?: RoundScheduler
  /** How a stream reaches the disk, for simulators. Default: a thread, or inline without writers. */
  readonly openSink?: (at: StreamLocation, events: SinkEvents) => StreamSink
}

const WRITERS_MAX = 64
const PURGE_SEGMENTS_DEFAULT = 16
const SEGMENT_BYTES_MIN = 4 * KIB
/** Offsets in a segment are 32-bit; its last block may pass segmentBytes by one large write. */
const SEGMENT_BYTES_MAX = 2 ** 31

assert(SEGMENT_BYTES_MAX + 128 * ENTRY_BYTES_MAX < 2 ** 32, 'offsets in a segment fit 32 bits')

const NEXT_TURN: RoundScheduler = { schedule: (run) => void setImmediate(run) }

/** Rejects with DataDirLocked, DataDirMismatch, Corruption or ConfigInvalid. */
export async function openRaftLog(options: RaftLogOptions): Promise<RaftLog> {
  const { dir, fs, writers, segmentBytes, cacheBytes, events, logger } = options
  const recoveryMode = mustBeMode(options.recoveryMode ?? RECOVERY_MODE_DEFAULT)
  assert(writers >= 0 && writers <= WRITERS_MAX, `0 to ${WRITERS_MAX} writers`)
  assert(
    writers === 0 || fs.shared || options.openSink !== undefined,
    'writer threads need the machine’s own file system',
  )
  assert(segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes <= SEGMENT_BYTES_MAX, 'segment size')
  fs.makeDirectory(dir)
  const lock = await fs.lockDirectory(dir)
  try {
    const recovered = recover(fs, dir, logger, recoveryMode)
    const sequences = new SequenceCounter(recovered.lastSequence)
    const later = options.scheduler ?? NEXT_TURN
    const source = fs.shared ? new PoolSource() : new InlineSource(fs, later)
    return new SegmentedRaftLog({
      regions: recovered.regions,
      table: recovered.table,
      sequences,
      cache: new EntryCache(cacheBytes),
      fetcher: new Fetcher(source, dir),
      events,
      lock,
      later,
      purgeBytes: options.purgeBytes ?? PURGE_SEGMENTS_DEFAULT * segmentBytes,
      openStreams: (sinkEvents) => openStreams(options, recovered, sequences, sinkEvents),
    })
  } catch (error) {
    await lock.release()
    throw error
  }
}

/** It comes from a configuration file. */
function mustBeMode(mode: RecoveryMode): RecoveryMode {
  if (RECOVERY_MODES.includes(mode)) return mode
  throw new PolyraftError(
    'ConfigInvalid',
    `[raft-engine] recovery-mode is "${mode}": choose one of ${RECOVERY_MODES.join(', ')}`,
    { mode },
  )
}

function openStreams(
  options: RaftLogOptions,
  recovered: Recovered,
  sequences: SequenceCounter,
  events: SinkEvents,
): LogStream[] {
  const { dir: directory, segmentBytes } = options
  const { table, lastBlocks } = recovered
  const recycle = options.recoveryMode !== 'absolute'
  const streams: LogStream[] = []
  for (let stream = 0; stream < Math.max(1, options.writers); stream++) {
    const at = { directory, stream, run: table.run, recycle }
    const lastBlock = lastBlocks[stream] ?? 0
    streams.push({
      builder: new RoundBuilder(stream, table, segmentBytes, sequences, lastBlock),
      sink: openSink(options, at, events),
      posted: new Ring<Round>(),
    })
  }
  return streams
}

function openSink(options: RaftLogOptions, at: StreamLocation, events: SinkEvents): StreamSink {
  if (options.openSink !== undefined) return options.openSink(at, events)
  return options.writers === 0 ? new InlineSink(options.fs, at, events) : new ThreadSink(at, events)
}
