import { expect, it } from 'vitest'
import { GIB, MIB } from '../../src/base/limits.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { warnOfFileLimit } from '../../src/store/file-limit.ts'

function warnings(filesMax: number | undefined, tableBytes: number, diskBytes: number): string[] {
  const told: string[] = []
  const logger = { ...silentLogger, warn: (_: object, text: string) => void told.push(text) }
  warnOfFileLimit(filesMax, tableBytes, diskBytes, logger)
  return told
}

it('a limit that ends before the disk does is told, with what to do', () => {
  expect(warnings(1024, 4 * MIB, 100 * GIB)).toEqual([
    expect.stringMatching(/1024 files open, enough for some 3\.0 GiB of data.*ulimit -n/),
  ])
  expect(warnings(64, 4 * MIB, GIB)).toEqual([expect.stringMatching(/0\.0 GiB/)])
})

it('one that does not is not', () => {
  expect(warnings(1_048_576, 4 * MIB, 252 * GIB)).toEqual([])
  expect(warnings(256 + 25_600, 4 * MIB, 100 * GIB)).toEqual([])
  expect(warnings(undefined, 4 * MIB, 100 * GIB)).toEqual([])
})
