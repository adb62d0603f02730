/**
 * The typed client: the same interface whether the cluster is across the network or in this
 * process. Keys and values given as strings are UTF-8; what comes back is always a Buffer.
 *
 * Every method rejects with a PolyraftError. The client retries what is safe to retry until
 * `timeoutMs` has passed; then the code is `Timeout` when nothing can have been executed, and
 * `Undetermined` when a write may or may not have happened. Once a write has settled, either way,
 * nothing of it happens any more.
 */
import type { PolyraftError } from '../base/errors.ts'

export type Bytes = string | Uint8Array

export interface KeyOptions {
  /** Column family; default `default`. */
  readonly cf?: string
}

export interface PutOptions extends KeyOptions {
  /** Seconds to live; undefined = for ever. */
  readonly ttlSeconds?: number
}

export interface ScanOptions extends KeyOptions {
  /** First key, inclusive; default: the beginning of the key space. */
  readonly start?: Bytes
  /** End, exclusive; default: the end of the key space. */
  readonly end?: Bytes
  /** Rows at most; default: all. */
  readonly limit?: number
  /** From the highest key of [start, end) downwards. */
  readonly reverse?: boolean
  /** Values are left out: every value is empty. */
  readonly keysOnly?: boolean
  /** Rows asked from a region at a time; default 1024, at most 10240. */
  readonly pageRows?: number
}

export type Row = readonly [key: Buffer, value: Buffer]

/**
 * Iterates row by row, or page by page through `pages()`, which costs less per row. Rows of one
 * page are one region's state at one moment; a scan as a whole is no snapshot.
 */
export interface Scan extends AsyncIterable<Row> {
  pages(): AsyncIterable<readonly Row[]>
}

export interface CompareAndSwap extends KeyOptions {
  /** undefined: the key must be absent. */
  readonly expected: Bytes | undefined
  readonly value: Bytes
  readonly ttlSeconds?: number
}

export interface SwapResult {
  readonly swapped: boolean
  readonly previous: Buffer | undefined
}

/** `error` is undefined on success; `value` only means something for a get. */
export type KvCallback = (error: PolyraftError | undefined, value: Buffer | undefined) => void

export interface KvClient {
  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void>
  /** undefined when the key is absent. */
  get(key: Bytes, options?: KeyOptions): Promise<Buffer | undefined>
  delete(key: Bytes, options?: KeyOptions): Promise<void>
  /**
   * Split by region and into pieces of at most 512 keys or 1 MiB. A piece is atomic, the batch as a
   * whole is not: when it rejects, any of its pieces may have been written. Of a key given twice
   * the last value counts.
   */
  batchPut(
    pairs: Iterable<readonly [key: Bytes, value: Bytes]>,
    options?: PutOptions,
  ): Promise<void>
  /** In the order of the keys; undefined for those that are absent. */
  batchGet(keys: Iterable<Bytes>, options?: KeyOptions): Promise<(Buffer | undefined)[]>
  /** Split and atomic as batchPut is. */
  batchDelete(keys: Iterable<Bytes>, options?: KeyOptions): Promise<void>
  /** Throws at once when the options are wrong; any other failure reaches the consumer. */
  scan(options?: ScanOptions): Scan
  /** Not supported by the servers yet: rejects with `Unsupported`. */
  deleteRange(start: Bytes, end: Bytes, options?: KeyOptions): Promise<void>
  /** Not supported by the servers yet: rejects with `Unsupported`. */
  compareAndSwap(key: Bytes, swap: CompareAndSwap): Promise<SwapResult>
  /** Not supported by the servers yet: rejects with `Unsupported`. */
  ttl(key: Bytes, options?: KeyOptions): Promise<number | undefined>
  /**
   * For load generators: no promise, no conversion, and no copy: the buffers must not change before
   * the callback, which is called exactly once (from within this call when it fails at once). A value
   * is a view of the message that it came in: copy what is kept for long. Throws only when there is no
   * callback to tell.
   */
  putCallback(key: Buffer, value: Buffer, callback: KvCallback): void
  getCallback(key: Buffer, callback: KvCallback): void
  /**
   * Rejects what is pending with `Closed`, writes that were sent already with `Undetermined`, then closes
   * the connections. Idempotent.
   */
  close(): Promise<void>
}
