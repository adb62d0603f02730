/**
 * The engine in memory, for simulators and tests: the same contract as on disk, and a crash that
 * loses what a power failure may lose.
 *
 * Per family two B+ trees: what readers see, and what is "on disk". The second is a clone of the
 * first, taken at each sync; clones share nodes and cost nothing until one side changes.
 *
 * INVARIANTS
 * - Keys and values are copied in and out, as RocksDB does: no caller's memory is kept.
 * - The disk outlives the engine: reopen() gives a new engine over it and closes this one.
 */
import { createRequire } from 'node:module'
import type sortedBTree from 'sorted-btree'
import { assert } from '../base/assert.ts'
import { compareBytes, EMPTY_BYTES } from '../base/bytes.ts'
import {
  closedError,
  isEmptyRange,
  mustBeBytesMax,
  mustBeFamily,
  mustBeKey,
  mustBeRange,
  mustBeScan,
  mustBeValue,
} from './arguments.ts'
import {
  COLUMN_FAMILY_NAMES,
  type ColumnFamily,
  GET_MANY_BYTES_MAX,
  type KvBatch,
  type KvCursor,
  type KvEngine,
  type ScanOptions,
  type ScanResult,
} from './port.ts'

// The package is CommonJS with a `default` of its own; loaders disagree about importing such.
const { default: BTree } = createRequire(import.meta.url)('sorted-btree') as typeof sortedBTree
type Tree = InstanceType<typeof BTree<Buffer, Buffer>>

type Operation = {
  readonly cf: ColumnFamily
  readonly key: Buffer
  readonly value: Buffer | undefined
}

export function openMemoryEngine(): MemoryEngine {
  return new MemoryEngine(emptyTrees(), emptyTrees())
}

function emptyTrees(): Tree[] {
  return COLUMN_FAMILY_NAMES.map(() => new BTree<Buffer, Buffer>(undefined, compareBytes))
}

function clones(trees: readonly Tree[]): Tree[] {
  return trees.map((tree) => tree.clone())
}

/** Not from Buffer's shared pool: a small copy must not keep a slab alive. */
function copyOf(bytes: Uint8Array): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  copy.set(bytes)
  return copy
}

class MemoryBatch implements KvBatch {
  readonly engine: MemoryEngine
  #operations: Operation[] | undefined
  #length: number
  #bytes: number

  constructor(engine: MemoryEngine) {
    this.engine = engine
    this.#operations = []
    this.#length = 0
    this.#bytes = 0
  }

  get length(): number {
    return this.#length
  }

  get bytes(): number {
    return this.#bytes
  }

  put(cf: ColumnFamily, key: Uint8Array, value: Uint8Array): void {
    const operations = this.#usable()
    mustBeFamily(cf)
    mustBeKey(key)
    mustBeValue(value)
    operations.push({ cf, key: copyOf(key), value: copyOf(value) })
    this.#length++
    this.#bytes += key.length + value.length
  }

  delete(cf: ColumnFamily, key: Uint8Array): void {
    const operations = this.#usable()
    mustBeFamily(cf)
    mustBeKey(key)
    operations.push({ cf, key: copyOf(key), value: undefined })
    this.#length++
    this.#bytes += key.length
  }

  takeOperations(): Operation[] {
    const operations = this.#usable()
    this.#operations = undefined
    return operations
  }

  #usable(): Operation[] {
    if (!this.engine.isOpen) throw closedError()
    assert(this.#operations !== undefined, 'a batch is written once, and not added to afterwards')
    return this.#operations
  }
}

export class MemoryEngine implements KvEngine {
  /** What readers see. */
  #visible: Tree[]
  /** What a power failure leaves. */
  #synced: Tree[]
  #isOpen: boolean

  constructor(visible: readonly Tree[], synced: readonly Tree[]) {
    this.#visible = clones(visible)
    this.#synced = clones(synced)
    this.#isOpen = true
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get(cf: ColumnFamily, key: Uint8Array): Buffer | undefined {
    return this.getMany(cf, [key])[0] ?? undefined
  }

  /** What a power failure at this moment would leave. */
  getSynced(cf: ColumnFamily, key: Uint8Array): Buffer | undefined {
    mustBeFamily(cf)
    return this.#synced[cf]!.get(key as Buffer)
  }

  getMany(
    cf: ColumnFamily,
    keys: readonly Uint8Array[],
    bytesMax = GET_MANY_BYTES_MAX,
  ): (Buffer | undefined | null)[] {
    const tree = this.#tree(cf)
    mustBeBytesMax(bytesMax)
    for (const key of keys) mustBeKey(key)
    let bytes = 0
    return keys.map((key) => {
      if (bytes >= bytesMax) return null
      const value = tree.get(key as Buffer)
      bytes += value?.length ?? 0
      return value === undefined ? undefined : copyOf(value)
    })
  }

  async scan(cf: ColumnFamily, options: ScanOptions): Promise<ScanResult> {
    return this.scanSync(cf, options)
  }

  scanSync(cf: ColumnFamily, options: ScanOptions): ScanResult {
    const tree = this.#tree(cf)
    mustBeScan(options)
    const { start, end, reverse } = options
    if (isEmptyRange(start, end)) return { rows: [], complete: true }
    if (options.limit === 0) return { rows: [], complete: false }
    const entries = reverse ? backwards(tree, start, end) : forwards(tree, start, end)
    return collect(entries, options)
  }

  openCursor(cf: ColumnFamily, start: Buffer, end: Buffer): KvCursor {
    const tree = this.#tree(cf).clone()
    mustBeRange(start, end)
    return new MemoryCursor(forwards(tree, start, end))
  }

  newBatch(): KvBatch {
    this.#mustBeOpen()
    return new MemoryBatch(this)
  }

  write(batch: KvBatch, options: { readonly sync: boolean }): void {
    this.#mustBeOpen()
    assert(batch instanceof MemoryBatch, 'the batch was made by a memory engine')
    assert(batch.engine === this, 'the batch was made by this engine')
    for (const { cf, key, value } of batch.takeOperations()) {
      const tree = this.#tree(cf)
      if (value === undefined) tree.delete(key)
      else tree.set(key, value)
    }
    if (options.sync) this.sync()
  }

  sync(): void {
    this.#mustBeOpen()
    this.#synced = clones(this.#visible)
  }

  deleteRange(cf: ColumnFamily, start: Buffer, end: Buffer): void {
    const tree = this.#tree(cf)
    mustBeRange(start, end)
    if (isEmptyRange(start, end)) return
    tree.deleteRange(start, end, false)
  }

  stats(): Record<string, number> {
    this.#mustBeOpen()
    return { memory_keys: this.#visible.reduce((sum, tree) => sum + tree.size, 0) }
  }

  async close(): Promise<void> {
    this.#isOpen = false
  }

  /** Power failure: everything since the last sync is gone. Works on a closed engine too. */
  crash(): void {
    this.#visible = clones(this.#synced)
  }

  /**
   * The next process over the same disk; this engine is closed. What was unsynced stays so: a
   * process may end while its writes wait in the page cache.
   */
  reopen(): MemoryEngine {
    this.#isOpen = false
    return new MemoryEngine(this.#visible, this.#synced)
  }

  #tree(cf: ColumnFamily): Tree {
    this.#mustBeOpen()
    mustBeFamily(cf)
    return this.#visible[cf]!
  }

  #mustBeOpen(): void {
    if (!this.#isOpen) throw closedError()
  }
}

function* forwards(tree: Tree, start: Buffer, end: Buffer): Generator<[Buffer, Buffer]> {
  for (const entry of tree.entries(start)) {
    if (compareBytes(entry[0], end) >= 0) return
    yield entry
  }
}

function* backwards(tree: Tree, start: Buffer, end: Buffer): Generator<[Buffer, Buffer]> {
  // `end` itself is outside the range.
  for (const entry of tree.entriesReversed(end, undefined, true)) {
    if (compareBytes(entry[0], start) < 0) return
    yield entry
  }
}

function collect(entries: Iterable<[Buffer, Buffer]>, options: ScanOptions): ScanResult {
  const rows: Buffer[] = []
  let bytes = 0
  for (const [key, value] of entries) {
    rows.push(copyOf(key), options.keysOnly ? EMPTY_BYTES : copyOf(value))
    bytes += key.length + (options.keysOnly ? 0 : value.length)
    const full = rows.length / 2 >= options.limit || bytes >= options.bytesMax
    if (full) return { rows, complete: false }
  }
  return { rows, complete: true }
}

class MemoryCursor implements KvCursor {
  readonly #entries: Iterator<[Buffer, Buffer]>

  constructor(entries: Iterator<[Buffer, Buffer]>) {
    this.#entries = entries
  }

  async next(bytesMax: number): Promise<ScanResult> {
    const rows: Buffer[] = []
    let bytes = 0
    for (let next = this.#entries.next(); next.done !== true; next = this.#entries.next()) {
      const [key, value] = next.value
      rows.push(copyOf(key), copyOf(value))
      bytes += key.length + value.length
      if (bytes >= bytesMax) return { rows, complete: false }
    }
    return { rows, complete: true }
  }

  close(): void {
    this.#entries.return?.()
  }
}
