/**
 * What a store has on disk: the locked data directory with the KV engine, the raft log and snapshot
 * files, and the regions found there.
 */
import { join } from 'node:path'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import type { SharedKvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import { sizesOf, tableBytes } from '../engine/rocksdb-options.ts'
import { lockDataDirectory } from '../env/data-dir.ts'
import type { DiskProbe } from '../env/disk-space.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { openFilesMax } from '../env/open-files.ts'
import type { DirectoryLock } from '../env/port.ts'
import { lowerThreads } from '../env/thread-priority.ts'
import { openRaftLog } from '../raftlog/open.ts'
import type { RaftLog, RaftLogEvents } from '../raftlog/port.ts'
import type { StoreIdent } from '../region/state.ts'
import { type BootstrapPorts, loadIdent, readIdent } from './bootstrap.ts'
import type { StoreConfig } from './config.ts'
import { DiskGuard } from './disk-guard.ts'
import { warnOfFileLimit } from './file-limit.ts'
import { mustBelongTogether, writeOwner } from './log-owner.ts'
import { StoreRegions } from './store-regions.ts'

/**
 * Compaction and flushes of RocksDB, the second being what writes end up waiting for. They come to all
 * replicas at once and take both processors of a small machine; what clients wait for goes first.
 */
const ROCKSDB_NICES = { 'rocksdb:low': 10, 'rocksdb:high': 5 }

export interface StoreDiskOptions {
  readonly dir: string
  readonly config: StoreConfig
  readonly clock: Clock
  readonly probe: DiskProbe
  readonly logger: Logger
  readonly events: RaftLogEvents
}

export class StoreDisk {
  readonly guard: DiskGuard
  readonly engine: SharedKvEngine
  readonly log: RaftLog
  /** Where snapshots are made and received. */
  readonly snapshotDir: string
  readonly #lock: DirectoryLock
  readonly regions: StoreRegions
  readonly #raftDir: string

  static async open(options: StoreDiskOptions): Promise<StoreDisk> {
    const { dir, config, logger, events } = options
    const lock = await lockDataDirectory(dir)
    let engine: SharedKvEngine | undefined
    try {
      // First: RocksDB needs space to open, which a full disk has only in the reserve.
      const guard = openGuard(options)
      engine = await openRocksDb({
        dir: join(dir, 'kv'),
        optionSet: config.rocksdbOptionSet,
        backgroundJobs: config.rocksdbMaxBackgroundJobs,
        blockCacheBytes: config.rocksdbBlockCacheBytes,
        writeBufferBytes: config.rocksdbWriteBufferBytes,
        logger,
      })
      lowerThreads(ROCKSDB_NICES, logger)
      const tables = tableBytes(
        sizesOf(
          config.rocksdbOptionSet,
          config.rocksdbBlockCacheBytes,
          config.rocksdbWriteBufferBytes,
        ),
      )
      warnOfFileLimit(openFilesMax(), tables, guard.figures.totalBytes, logger)
      let disk: StoreDisk | undefined
      const log = await openRaftLog({
        dir: join(dir, 'raft'),
        fs: nodeFileSystem,
        writers: config.storeIoPoolSize,
        segmentBytes: config.raftLogSegmentBytes,
        cacheBytes: config.raftLogCacheBytes,
        recoveryMode: config.raftLogRecoveryMode,
        purgeBytes: config.raftLogPurgeBytes,
        logger,
        events: {
          onPersisted: (regionId, readyNumber) => {
            if (disk!.regions.onPersisted(regionId, readyNumber)) return
            events.onPersisted(regionId, readyNumber)
          },
          onFailed: (error) => {
            disk!.regions.onFailed(error)
            events.onFailed(error)
          },
        },
      })
      disk = new StoreDisk(lock, guard, engine, log, dir)
      return disk
    } catch (error) {
      await engine?.close()
      await lock.release()
      throw error
    }
  }

  private constructor(
    lock: DirectoryLock,
    guard: DiskGuard,
    engine: SharedKvEngine,
    log: RaftLog,
    dir: string,
  ) {
    this.#lock = lock
    this.guard = guard
    this.engine = engine
    this.log = log
    this.snapshotDir = join(dir, 'snap')
    this.#raftDir = join(dir, 'raft')
    const { snapshotDir } = this
    this.regions = new StoreRegions({ engine, log, fs: nodeFileSystem, snapshotDir })
  }

  /** Who this store is; asked of PD where both kv/ and raft/ are empty. */
  async loadIdent(ports: BootstrapPorts): Promise<StoreIdent> {
    const hasRegions = this.log.regions().length > 0
    mustBelongTogether(nodeFileSystem, this.#raftDir, readIdent(this.engine), hasRegions)
    const ident = await loadIdent(ports)
    writeOwner(nodeFileSystem, this.#raftDir, ident)
    return ident
  }

  /** Writes what is queued; threads that share the engine must have ended before `close`. */
  closeLog(): Promise<void> {
    return this.log.close()
  }

  async close(): Promise<void> {
    await this.engine.close()
    await this.#lock.release()
  }
}

function openGuard({ dir, config, clock, probe, logger }: StoreDiskOptions): DiskGuard {
  const reserveBytes = config.reserveSpaceBytes
  return new DiskGuard({ dir, fs: nodeFileSystem, probe, clock, logger, reserveBytes })
}
