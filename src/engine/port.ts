/**
 * The KV engine: an ordered map per column family, atomic batches over families, iterators that see
 * one moment. Synchronous where the caller's thread does the work, asynchronous where it may wait.
 *
 * INVARIANTS
 * - A batch is applied whole or not at all, and consumed by write().
 * - write({ sync: true }) and sync() return only when everything written before is on disk.
 * - After a failed write the engine is broken: every later write throws EngineBroken (`DiskError`).
 * - Keys are never empty; operating on a closed engine throws `Closed`, never crashes.
 */

/** Column families by number: hot paths and raft entries carry the number. */
export const ColumnFamily = { Default: 0, Lock: 1, Write: 2, Raft: 3 } as const
export type ColumnFamily = (typeof ColumnFamily)[keyof typeof ColumnFamily]
export const COLUMN_FAMILY_NAMES = ['default', 'lock', 'write', 'raft'] as const

/** Bytes of values after which any multi-get ends: what a signed 32-bit number holds. */
export const GET_MANY_BYTES_MAX = 2 ** 31 - 1

export interface KvBatch {
  put(cf: ColumnFamily, key: Uint8Array, value: Uint8Array): void
  delete(cf: ColumnFamily, key: Uint8Array): void
  /** Operations so far. */
  readonly length: number
  /** Key and value bytes so far. */
  readonly bytes: number
}

export interface ScanOptions {
  /** Inclusive lower bound. */
  readonly start: Buffer
  /** Exclusive upper bound. */
  readonly end: Buffer
  readonly limit: number
  /** Ends the scan after the row that reaches this many bytes. */
  readonly bytesMax: number
  readonly reverse: boolean
  readonly keysOnly: boolean
}

export interface ScanResult {
  /** key, value, key, value, …; values are empty for keysOnly. */
  readonly rows: Buffer[]
  /** False when limit or bytesMax ended the scan before the range did. */
  readonly complete: boolean
}

/** A long read of a range at the moment of its creation, in pieces. */
export interface KvCursor {
  /** Next rows, at least one and then up to some `bytesMax`; off the calling thread, one at a time. */
  next(bytesMax: number): Promise<ScanResult>
  /** Lets go of the moment. Idempotent; not while next() runs. */
  close(): void
}

export interface KvReader {
  get(cf: ColumnFamily, key: Uint8Array): Buffer | undefined
  /**
   * Values in the order of the keys, undefined where there is none. One call into the engine, which
   * ends with the value that makes `bytesMax` (at most, and by default, GET_MANY_BYTES_MAX): null
   * stands for each key that it did not come to, wherever in the list. It comes to one at least.
   */
  getMany(
    cf: ColumnFamily,
    keys: readonly Uint8Array[],
    bytesMax?: number,
  ): (Buffer | undefined | null)[]
  /** Reads at one moment, the call's; runs off the calling thread. */
  scan(cf: ColumnFamily, options: ScanOptions): Promise<ScanResult>
  /** The same on the calling thread: start-up and tests. */
  scanSync(cf: ColumnFamily, options: ScanOptions): ScanResult
  /**
   * Fixes the moment before it returns. Cursors of several families see one moment only if nobody
   * writes to their range between the calls. To be closed before the engine is.
   */
  openCursor(cf: ColumnFamily, start: Buffer, end: Buffer): KvCursor
}

export interface KvEngine extends KvReader {
  newBatch(): KvBatch
  /** Writes on the calling thread. */
  write(batch: KvBatch, options: { readonly sync: boolean }): void
  /** Barrier: everything written before this call is on disk when it returns. */
  sync(): void
  /** Deletes [start, end) of one family. Not atomic with a batch and not synced. */
  deleteRange(cf: ColumnFamily, start: Buffer, end: Buffer): void
  /** Bytes on disk and in memory, for status and metrics; engine-specific names. */
  stats(): Record<string, number>
  /** Waits for what is in flight, then closes. Attached engines only detach. Idempotent. */
  close(): Promise<void>
}

/** An engine that other threads can attach to. */
export interface SharedKvEngine extends KvEngine {
  /** Passed to a worker thread, which calls attach(handle) there. */
  readonly handle: bigint
}
