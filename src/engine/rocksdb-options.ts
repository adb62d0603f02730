/**
 * RocksDB's settings as the binding takes them. It ignores names that it does not know and has no
 * shared cache or write-buffer manager, so every family gets its own small budget here.
 *
 * Memory: one block cache of `blockCacheBytes` for data and 1 MiB for each other family, filled as
 * blocks are read; memtables of `writeBufferBytes` for data, normally two and at most six of them.
 * memoryBytesMax() is the sum of it; what tables keep open comes on top.
 */
import { PolyraftError } from '../base/errors.ts'
import { GIB, KIB, MIB } from '../base/limits.ts'
import { COLUMN_FAMILY_NAMES } from './port.ts'

/** small: several stores on a machine of two cores; large: a machine for one. */
export const OPTION_SET_NAMES = ['small', 'large'] as const
export type OptionSetName = (typeof OPTION_SET_NAMES)[number]

const OPTION_SETS: { readonly [Name in OptionSetName]: RocksSizes } = {
  small: { blockCacheBytes: 32 * MIB, writeBufferBytes: 8 * MIB },
  large: { blockCacheBytes: GIB, writeBufferBytes: 128 * MIB },
}

/** The binding reads the cache size as a uint32: 5 GiB would silently become 1 GiB. */
export const BLOCK_CACHE_BYTES_MAX = 2 ** 32 - MIB
export const WRITE_BUFFER_BYTES_MIN = 64 * KIB
export const WRITE_BUFFER_BYTES_MAX = 2 ** 32
/** Families that hold little: region and apply states, and what RawKV leaves empty. */
const SMALL_CACHE_BYTES = MIB
/**
 * The WAL lives until every family with data in it has flushed, and RocksDB bounds it only by the
 * sum of the memtables. The raft family is written in every batch but slowly: a small memtable lets
 * old WAL files go. After 1.5 M puts in batches of 64: 147 MB of WAL with this, 421 MB with 2 MiB.
 */
const SMALL_WRITE_BUFFER_BYTES = 512 * KIB
/** The binding's `compaction: 'level'` makes a memtable of a quarter of its budget, and at most six. */
const MEMTABLE_BUDGET_SHARE = 4
const MEMTABLES_MAX = 6

/** The same setting makes tables of an eighth of the budget, from level 1 on. */
export function tableBytes(sizes: RocksSizes): number {
  return (sizes.writeBufferBytes * MEMTABLE_BUDGET_SHARE) / 8
}

export interface RocksSizes {
  readonly blockCacheBytes: number
  readonly writeBufferBytes: number
}

/** The set's sizes where none is given. */
export function sizesOf(
  set: OptionSetName,
  blockCacheBytes: number | 'auto',
  writeBufferBytes: number | 'auto',
): RocksSizes {
  const sizes = OPTION_SETS[set]
  return {
    blockCacheBytes: blockCacheBytes === 'auto' ? sizes.blockCacheBytes : blockCacheBytes,
    writeBufferBytes: writeBufferBytes === 'auto' ? sizes.writeBufferBytes : writeBufferBytes,
  }
}

export function memoryBytesMax(sizes: RocksSizes): number {
  const small = smallSizes(sizes)
  const families = COLUMN_FAMILY_NAMES.length - 1
  const cache = sizes.blockCacheBytes + families * small.blockCacheBytes
  return cache + MEMTABLES_MAX * (sizes.writeBufferBytes + families * small.writeBufferBytes)
}

function smallSizes(sizes: RocksSizes): RocksSizes {
  return {
    blockCacheBytes: Math.min(SMALL_CACHE_BYTES, sizes.blockCacheBytes),
    writeBufferBytes: Math.min(SMALL_WRITE_BUFFER_BYTES, sizes.writeBufferBytes),
  }
}

interface FamilyOptions {
  readonly compaction: 'level'
  readonly memtableMemoryBudget: number
  readonly compression: boolean
  readonly optimize: 'point-lookup'
  readonly cacheSize: number
}

function familyOptions(sizes: RocksSizes): FamilyOptions {
  return {
    compaction: 'level',
    memtableMemoryBudget: sizes.writeBufferBytes * MEMTABLE_BUDGET_SHARE,
    // Off means: level 0 and 1 as they are, zstd from level 2 on (set by `compaction`). On would add
    // a trained dictionary, which holds whole files in memory while they are written.
    compression: false,
    // A bloom filter in memtables and a hash index in data blocks. While data is in memtables and
    // level 0: random gets +20-30 %, misses x2.5; no difference measured on settled files.
    optimize: 'point-lookup',
    cacheSize: sizes.blockCacheBytes,
  }
}

export function mustBeSizes(sizes: RocksSizes): void {
  const { blockCacheBytes, writeBufferBytes } = sizes
  mustBeWithin('block cache', blockCacheBytes, 0, BLOCK_CACHE_BYTES_MAX)
  mustBeWithin('write buffer', writeBufferBytes, WRITE_BUFFER_BYTES_MIN, WRITE_BUFFER_BYTES_MAX)
}

function mustBeWithin(what: string, bytes: number, least: number, most: number): void {
  if (Number.isSafeInteger(bytes) && bytes >= least && bytes <= most) return
  throw new PolyraftError(
    'ConfigInvalid',
    `the RocksDB ${what} is ${bytes} bytes; choose a whole number from ${least} to ${most}`,
    { bytes, least, most },
  )
}

/** `backgroundJobs` 0: half of the machine's processors. */
export function nativeOpenOptions(sizes: RocksSizes, backgroundJobs: number): object {
  const data = familyOptions(sizes)
  const small = familyOptions(smallSizes(sizes))
  const columns: Record<string, FamilyOptions> = {}
  for (const name of COLUMN_FAMILY_NAMES) columns[name] = name === 'default' ? data : small
  return {
    createIfMissing: true,
    // Compressing it was not faster, and a damaged byte would cost a whole block.
    walCompression: false,
    // The database's own options would otherwise make one more, unused cache.
    cacheSize: 0,
    ...(backgroundJobs > 0 && { parallelism: backgroundJobs }),
    columns,
  }
}

/**
 * Attaching finds the database open and returns before it looks at options. Where the handle's
 * owner has closed, both flags together make sure that nothing is opened in its place.
 */
export const ATTACH_OPTIONS: object = { createIfMissing: false, errorIfExists: true }
