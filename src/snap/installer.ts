/**
 * Replaces a region's data by a received snapshot. Every step may be repeated after a crash:
 *
 *   record   region state Applying, apply state and raft state of the snapshot     one synced batch
 *            (meanwhile the raft log begins anew behind the snapshot: that is the peer's business)
 *   clear    what the range held before, also half of an earlier attempt
 *   ingest   the rows, in batches
 *   finish   region state Normal                                                   one synced batch
 *
 * INVARIANTS
 * - From record to finish the region applies nothing and answers nothing.
 * - finish comes only after all rows, and after the raft log is durable: a Normal region needs both.
 * - A block is used only when its checksum is right; a set that turns out damaged leaves the region
 *   in Applying, which another snapshot ends.
 */
import { crc32c } from '../base/crc32c.ts'
import { PolyraftError, systemErrorCode } from '../base/errors.ts'
import { ColumnFamily, type KvEngine } from '../engine/port.ts'
import type { FileHandle, FileSystem } from '../env/port.ts'
import {
  applyStateKey,
  dataEndKey,
  dataKey,
  regionStateKey,
  snapshotStateKey,
} from '../region/keys.ts'
import {
  type ApplyState,
  encodeApplyState,
  encodeRegionState,
  encodeSnapshotState,
  RegionStateKind,
  type SnapshotState,
} from '../region/state.ts'
import { SNAPSHOT_FAMILIES } from './builder.ts'
import { UNSYNCED_BYTES_MAX } from './files.ts'
import {
  BLOCK_BYTES_MAX,
  BLOCK_HEADER_BYTES,
  checkFileHeader,
  corrupt,
  FILE_HEADER_BYTES,
  filePath,
  readRows,
  type SnapshotFile,
  type SnapshotMeta,
  snapshotName,
} from './format.ts'

/** Where a region stands once the snapshot is its data. */
function applyStateOf({ index, term }: SnapshotMeta): ApplyState {
  return {
    appliedIndex: index,
    appliedTerm: term,
    truncatedIndex: index,
    truncatedTerm: term,
  }
}

export class SnapshotInstaller {
  readonly #engine: KvEngine
  readonly #fs: FileSystem
  readonly #dir: string
  readonly #meta: SnapshotMeta
  #file = 0
  #handle: FileHandle | undefined = undefined
  #position = 0
  #rows = 0
  #bytes = 0
  #unsynced = 0

  constructor(engine: KvEngine, fs: FileSystem, dir: string, meta: SnapshotMeta) {
    this.#engine = engine
    this.#fs = fs
    this.#dir = dir
    this.#meta = meta
  }

  /** Read from the files so far. */
  get bytes(): number {
    return this.#bytes
  }

  record(state: SnapshotState): void {
    const { region } = this.#meta
    const batch = this.#engine.newBatch()
    const applying = encodeRegionState({ kind: RegionStateKind.Applying, region })
    batch.put(ColumnFamily.Raft, regionStateKey(region.id), applying)
    batch.put(
      ColumnFamily.Raft,
      applyStateKey(region.id),
      encodeApplyState(applyStateOf(this.#meta)),
    )
    batch.put(ColumnFamily.Raft, snapshotStateKey(region.id), encodeSnapshotState(state))
    this.#engine.write(batch, { sync: true })
  }

  clear(): void {
    const { startKey, endKey } = this.#meta.region
    for (const cf of SNAPSHOT_FAMILIES) {
      this.#engine.deleteRange(cf, dataKey(startKey), dataEndKey(endKey))
    }
  }

  /** Ingests one block; true when there is no more. Throws Corruption for damaged or missing files. */
  step(): boolean {
    const file = this.#meta.files[this.#file]
    if (file === undefined) return true
    try {
      if (this.#handle === undefined) this.#open(file)
      if (this.#position < file.bytes) this.#ingestBlock(file)
      if (this.#position >= file.bytes) this.#closeFile(file)
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error
      throw new PolyraftError('Corruption', 'snapshot: a file is missing', {}, { cause: error })
    }
    return this.#file === this.#meta.files.length
  }

  finish(): void {
    const { region } = this.#meta
    const batch = this.#engine.newBatch()
    const normal = encodeRegionState({ kind: RegionStateKind.Normal, region })
    batch.put(ColumnFamily.Raft, regionStateKey(region.id), normal)
    batch.delete(ColumnFamily.Raft, snapshotStateKey(region.id))
    this.#engine.write(batch, { sync: true })
  }

  /** Lets go of the file in work, done or not. */
  close(): void {
    this.#handle?.close()
    this.#handle = undefined
  }

  #open(file: SnapshotFile): void {
    const name = snapshotName('rev', this.#meta)
    this.#handle = this.#fs.open(filePath(this.#dir, name, file), 'read')
    this.#position = 0
    this.#rows = 0
    if (this.#handle.size() !== file.bytes) {
      throw corrupt(`file ${this.#file} has ${this.#handle.size()} bytes, not ${file.bytes}`)
    }
    checkFileHeader(this.#read(FILE_HEADER_BYTES), file.cf)
  }

  #ingestBlock(file: SnapshotFile): void {
    const header = this.#read(BLOCK_HEADER_BYTES)
    const length = header.readUInt32LE(0)
    if (length > BLOCK_BYTES_MAX) throw corrupt(`a block of ${length} bytes`)
    const payload = this.#read(length)
    if (crc32c(payload) !== header.readUInt32LE(4)) throw corrupt('a block with a wrong checksum')
    const batch = this.#engine.newBatch()
    readRows(payload, (key, value) => {
      batch.put(file.cf, key, value)
      this.#rows++
    })
    // Durability needs no sync before finish(). But RocksDB brings the write-ahead log of whole
    // memtables to disk when it flushes them.
    this.#unsynced += length
    const sync = this.#unsynced >= UNSYNCED_BYTES_MAX
    this.#engine.write(batch, { sync })
    if (sync) this.#unsynced = 0
  }

  #closeFile(file: SnapshotFile): void {
    if (this.#rows !== file.rows) {
      throw corrupt(`file ${this.#file} has ${this.#rows} rows, not ${file.rows}`)
    }
    this.close()
    this.#file++
  }

  #read(length: number): Buffer {
    const bytes = Buffer.allocUnsafe(length)
    const count = this.#handle!.read(bytes, this.#position)
    if (count < length) throw corrupt(`file ${this.#file} ends within a block`)
    this.#position += length
    this.#bytes += length
    return bytes
  }
}
