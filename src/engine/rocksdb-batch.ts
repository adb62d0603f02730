/**
 * A write batch over the binding's. Keys and values are copied into RocksDB's buffer by put(), so
 * the caller's memory may change afterwards.
 *
 * INVARIANTS
 * - No native call once the batch was taken for writing or its engine closed.
 * - Native batches are recycled: V8 does not see their memory, so dropping them would let it grow.
 */
import { assert } from '../base/assert.ts'
import { MIB } from '../base/limits.ts'
import { closedError, mustBeFamily, mustBeKey, mustBeValue } from './arguments.ts'
import type { ColumnOption, NativeBatch, NativeBinding } from './native.ts'
import type { ColumnFamily, KvBatch } from './port.ts'

const POOLED_BATCHES_MAX = 4
/** A larger batch keeps more memory than it is worth. */
const POOLED_BATCH_BYTES_MAX = 4 * MIB

/** What the batches of one engine share; `open` turns false once and for all at close. */
export class BatchPool {
  readonly native: NativeBinding
  readonly families: readonly ColumnOption[]
  open: boolean
  readonly #free: NativeBatch[]

  constructor(native: NativeBinding, families: readonly ColumnOption[]) {
    this.native = native
    this.families = families
    this.open = true
    this.#free = []
  }

  take(): NativeBatch {
    return this.#free.pop() ?? this.native.batch_init()
  }

  give(batch: NativeBatch, bytes: number): void {
    if (bytes > POOLED_BATCH_BYTES_MAX || this.#free.length === POOLED_BATCHES_MAX) return
    this.native.batch_clear(batch)
    this.#free.push(batch)
  }
}

export class RocksBatch implements KvBatch {
  readonly pool: BatchPool
  #batch: NativeBatch | undefined
  #length: number
  #bytes: number

  constructor(pool: BatchPool) {
    this.pool = pool
    this.#batch = pool.take()
    this.#length = 0
    this.#bytes = 0
  }

  get length(): number {
    return this.#length
  }

  get bytes(): number {
    return this.#bytes
  }

  // @hot: `bench engine`, case unsynced-batch-1024
  put(cf: ColumnFamily, key: Uint8Array, value: Uint8Array): void {
    const batch = this.#usable()
    mustBeFamily(cf)
    mustBeKey(key)
    mustBeValue(value)
    this.pool.native.batch_put(batch, key, value, this.pool.families[cf])
    this.#length++
    this.#bytes += key.length + value.length
  }

  // @hot
  delete(cf: ColumnFamily, key: Uint8Array): void {
    const batch = this.#usable()
    mustBeFamily(cf)
    mustBeKey(key)
    this.pool.native.batch_del(batch, key, this.pool.families[cf])
    this.#length++
    this.#bytes += key.length
  }

  /** Moves the native batch out: this batch can never be written or added to again. */
  takeNative(): NativeBatch {
    const batch = this.#usable()
    this.#batch = undefined
    return batch
  }

  #usable(): NativeBatch {
    if (!this.pool.open) throw closedError()
    assert(this.#batch !== undefined, 'a batch is written once, and not added to afterwards')
    return this.#batch
  }
}
