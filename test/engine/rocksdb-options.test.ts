/** What RocksDB is opened with, and how much memory that may take. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { GIB, KIB, MIB } from '../../src/base/limits.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import {
  memoryBytesMax,
  nativeOpenOptions,
  sizesOf,
  tableBytes,
} from '../../src/engine/rocksdb-options.ts'
import { temporaryDir } from './temporary.ts'

describe('option sets', () => {
  it('give the sizes that are not named', () => {
    expect(sizesOf('small', 'auto', 'auto')).toEqual({
      blockCacheBytes: 32 * MIB,
      writeBufferBytes: 8 * MIB,
    })
    expect(sizesOf('large', 'auto', 2 * MIB)).toEqual({
      blockCacheBytes: GIB,
      writeBufferBytes: 2 * MIB,
    })
  })

  it('keep to a sum of memory that is told', () => {
    const small = sizesOf('small', 'auto', 'auto')
    expect(memoryBytesMax(small)).toBe((32 + 3 + 6 * 8 + 9) * MIB)
    expect(memoryBytesMax(sizesOf('large', 'auto', 'auto'))).toBeLessThan(2 * GIB)
    expect(nativeOpenOptions(small, 0)).not.toHaveProperty('parallelism')
  })
})

/** What RocksDB itself wrote down of its options. */
function optionsFile(dir: string): string {
  const name = readdirSync(dir).findLast((each) => each.startsWith('OPTIONS'))!
  return readFileSync(join(dir, name), 'utf8')
}

it('arrive at RocksDB', async () => {
  const dir = temporaryDir()
  const logged: object[] = []
  const engine = await openRocksDb({
    dir,
    optionSet: 'large',
    writeBufferBytes: 3 * MIB,
    backgroundJobs: 5,
    logger: { ...silentLogger, info: (fields) => void logged.push(fields as object) },
  })
  const text = optionsFile(dir)
  const bytesMax = engine.stats().rocksdb_memory_bytes_max
  await engine.close()
  const [data, ...small] = text.split(/\[CFOptions "/).slice(1)
  expect(data).toContain(`write_buffer_size=${3 * MIB}\n`)
  expect(data).toContain('max_write_buffer_number=6\n')
  const sizes = sizesOf('large', 'auto', 3 * MIB)
  expect(data).toContain(`target_file_size_base=${tableBytes(sizes)}\n`)
  expect(data).toContain('target_file_size_multiplier=1\n')
  expect(text).toContain('max_open_files=-1\n')
  for (const each of small) expect(each).toContain(`write_buffer_size=${512 * KIB}\n`)
  expect(text).toContain('max_background_jobs=5\n')
  expect(text).toContain('wal_compression=kNoCompression\n')
  expect(bytesMax).toBe(memoryBytesMax(sizes))
  expect(logged).toMatchObject([{ dir, optionSet: 'large', memoryMiBMax: bytesMax! / MIB }])
})
