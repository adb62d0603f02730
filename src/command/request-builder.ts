/**
 * Collects the puts and deletes that one region gets in a round into one raft entry: the cost of
 * an entry (log record, message, quorum) is then paid once for many operations.
 *
 *   begin(epoch) → (canAdd(bytes) → put/delete …)* → take()
 *
 * INVARIANTS
 * - The bytes taken are fresh memory: they live on in the log cache, on the wire and in apply.
 * - A request stays whole: its operations are in one entry, so they are applied as one.
 * - A request larger than batching allows goes alone; none is larger than an entry may be.
 * - A builder that is empty holds no memory.
 */
import { assert } from '../base/assert.ts'
import { EMPTY_BYTES, writeU64LE } from '../base/bytes.ts'
import { ENTRY_BYTES_MAX, KEY_BYTES_MAX, KIB, MIB } from '../base/limits.ts'
import { DATA_PREFIX } from '../region/keys.ts'
import { USER_COLUMN_FAMILY_MAX } from './column-family.ts'
import {
  COMMAND_HEADER_BYTES,
  CommandKind,
  DATA_FORMAT,
  DELETE_HEADER_BYTES,
  deleteBytes,
  EPOCH_VERSION_AT,
  OP_COUNT_AT,
  OpKind,
  PUT_HEADER_BYTES,
  putBytes,
} from './command.ts'
import { PLAIN_VALUE_FLAGS } from './stored-value.ts'

/** Share of the entry limit that a request may have to be batched with others. */
const REQUEST_SHARE = 0.2
/** Share of the entry limit at which a batch is full. */
const BATCH_SHARE = 0.4
/** Bytes that a batch may grow to by adding a request. */
const BATCH_BYTES_MAX = MIB
/** Operations above which a batch is full: bounds the time that one entry takes to apply. */
const BATCH_OPS_MAX = 256
const CAPACITY_START = 512
const POOLED_BYTES = 4 * KIB
/** Unused part of its memory that an entry may keep alive, as a divisor of the capacity. */
const SLACK_DIVISOR = 4

export class RequestBuilder {
  readonly #entryBytesMax: number
  #memory: Buffer = EMPTY_BYTES
  #length = 0
  #ops = 0
  /** A little above the latest entry: a good guess for the next, so that steady load never grows. */
  #sizeHint = CAPACITY_START

  constructor(entryBytesMax: number = ENTRY_BYTES_MAX) {
    assert(entryBytesMax <= ENTRY_BYTES_MAX, 'an entry keeps to the limit of all entries')
    this.#entryBytesMax = entryBytesMax
  }

  /** Bytes of the entry so far, its header included. */
  get bytes(): number {
    return this.#length
  }

  get ops(): number {
    return this.#ops
  }

  /** Begun, so take() is due. */
  get open(): boolean {
    return this.#length > 0
  }

  /** Enough is collected: propose it. */
  get full(): boolean {
    return this.#ops > BATCH_OPS_MAX || this.#length > this.#entryBytesMax * BATCH_SHARE
  }

  /** Whether a request whose operations have `requestBytes` (putBytes, deleteBytes) goes in. */
  canAdd(requestBytes: number): boolean {
    if (this.#ops === 0) return this.fitsEntry(requestBytes)
    return (
      !this.full &&
      requestBytes <= this.#entryBytesMax * REQUEST_SHARE &&
      this.#length + requestBytes <= Math.min(BATCH_BYTES_MAX, this.#entryBytesMax)
    )
  }

  /** Whether an entry can hold the request at all; if not it is answered RaftEntryTooLarge. */
  fitsEntry(requestBytes: number): boolean {
    return COMMAND_HEADER_BYTES + requestBytes <= this.#entryBytesMax
  }

  begin(epochVersion: number): void {
    assert(this.#length === 0, 'a builder is taken before it begins anew')
    this.#memory = allocate(this.#sizeHint)
    this.#memory[0] = CommandKind.Data
    this.#memory[1] = DATA_FORMAT
    writeU64LE(this.#memory, epochVersion, EPOCH_VERSION_AT)
    this.#length = COMMAND_HEADER_BYTES
  }

  // @hot
  put(cf: number, userKey: Uint8Array, value: Uint8Array): void {
    const at = this.#addOp(OpKind.Put, cf, userKey.length, putBytes(userKey.length, value.length))
    const memory = this.#memory
    memory.writeUInt32LE(value.length + 1, at + DELETE_HEADER_BYTES)
    const keyAt = at + PUT_HEADER_BYTES
    memory[keyAt] = DATA_PREFIX
    memory.set(userKey, keyAt + 1)
    const valueAt = keyAt + 1 + userKey.length
    memory.set(value, valueAt)
    memory[valueAt + value.length] = PLAIN_VALUE_FLAGS
  }

  // @hot
  delete(cf: number, userKey: Uint8Array): void {
    const at = this.#addOp(OpKind.Delete, cf, userKey.length, deleteBytes(userKey.length))
    const keyAt = at + DELETE_HEADER_BYTES
    this.#memory[keyAt] = DATA_PREFIX
    this.#memory.set(userKey, keyAt + 1)
  }

  /** The entry's data (a batch request of no keys makes one without operations). */
  take(): Buffer {
    assert(this.#length > 0, 'begin comes before take')
    const memory = this.#memory
    const length = this.#length
    memory.writeUInt32LE(this.#ops, OP_COUNT_AT)
    this.#memory = EMPTY_BYTES
    this.#length = 0
    this.#ops = 0
    this.#sizeHint = Math.max(CAPACITY_START, length + (length >> 3))
    if (memory.length - length <= memory.length / SLACK_DIVISOR) return memory.subarray(0, length)
    // The entry outlives this round in the log cache: a copy now is cheaper than the waste later.
    const exact = allocate(length)
    memory.copy(exact, 0, 0, length)
    return exact
  }

  /** Writes what puts and deletes share; returns where the operation begins. */
  #addOp(kind: number, cf: number, userKeyLength: number, bytes: number): number {
    const at = this.#length
    assert(at > 0, 'begin comes before operations')
    assert(cf >= 0 && cf <= USER_COLUMN_FAMILY_MAX, 'operations name a column family of users')
    assert(userKeyLength <= KEY_BYTES_MAX, 'a key was checked before')
    assert(at + bytes <= this.#entryBytesMax, 'canAdd was asked before')
    if (at + bytes > this.#memory.length) this.#grow(at + bytes)
    const memory = this.#memory
    const keyLength = userKeyLength + 1
    memory[at] = kind
    memory[at + 1] = cf
    memory[at + 2] = keyLength & 0xff
    memory[at + 3] = keyLength >> 8
    this.#length = at + bytes
    this.#ops++
    return at
  }

  #grow(wanted: number): void {
    const larger = allocate(Math.max(wanted, this.#memory.length * 2))
    this.#memory.copy(larger, 0, 0, this.#length)
    this.#memory = larger
  }
}

/**
 * From Node's pool only what is small: an entry that stays keeps its whole slab alive, and those of
 * later versions have 64 KiB instead of 8.
 */
function allocate(bytes: number): Buffer {
  return bytes < POOLED_BYTES ? Buffer.allocUnsafe(bytes) : Buffer.allocUnsafeSlow(bytes)
}
