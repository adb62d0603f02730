/**
 * The engine of one life of a simulated store: the memory engine, whose writes and barriers are disk
 * operations like any other (they fail, and the power may go between two of them), and whose cursors
 * take time.
 */
import type {
  ColumnFamily,
  KvBatch,
  KvCursor,
  KvEngine,
  ScanOptions,
  ScanResult,
} from '../../src/engine/port.ts'
import type { FaultyFileSystem } from '../../src/env/faulty-fs.ts'

const PATH = 'kv'

export class SimEngine implements KvEngine {
  readonly #inner: KvEngine
  readonly #faults: FaultyFileSystem
  /** Resolves when a piece of a long read has come from disk. */
  readonly #read: () => Promise<void>

  constructor(inner: KvEngine, faults: FaultyFileSystem, read: () => Promise<void>) {
    this.#inner = inner
    this.#faults = faults
    this.#read = read
  }

  get(cf: ColumnFamily, key: Uint8Array): Buffer | undefined {
    return this.#inner.get(cf, key)
  }

  getMany(
    cf: ColumnFamily,
    keys: readonly Uint8Array[],
    bytesMax?: number,
  ): (Buffer | undefined | null)[] {
    return this.#inner.getMany(cf, keys, bytesMax)
  }

  scan(cf: ColumnFamily, options: ScanOptions): Promise<ScanResult> {
    return this.#inner.scan(cf, options)
  }

  scanSync(cf: ColumnFamily, options: ScanOptions): ScanResult {
    return this.#inner.scanSync(cf, options)
  }

  openCursor(cf: ColumnFamily, start: Buffer, end: Buffer): KvCursor {
    const cursor = this.#inner.openCursor(cf, start, end)
    return {
      next: async (bytesMax) => {
        await this.#read()
        return cursor.next(bytesMax)
      },
      close: () => cursor.close(),
    }
  }

  newBatch(): KvBatch {
    return this.#inner.newBatch()
  }

  write(batch: KvBatch, options: { readonly sync: boolean }): void {
    this.#faults.check('write', PATH)
    if (!options.sync) {
      this.#inner.write(batch, options)
      return
    }
    // Written but not synced is one of the states that a crash leaves.
    this.#inner.write(batch, { sync: false })
    this.sync()
  }

  sync(): void {
    this.#faults.check('sync', PATH)
    this.#inner.sync()
  }

  deleteRange(cf: ColumnFamily, start: Buffer, end: Buffer): void {
    this.#faults.check('write', PATH)
    this.#inner.deleteRange(cf, start, end)
  }

  stats(): Record<string, number> {
    return this.#inner.stats()
  }

  close(): Promise<void> {
    return this.#inner.close()
  }
}
