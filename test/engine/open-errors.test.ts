/** Every cause that the binding hides behind LEVEL_DATABASE_NOT_OPEN has its code and its advice. */
import { describe, expect, it } from 'vitest'
import { openError } from '../../src/engine/rocksdb-errors.ts'

function notOpen(code: string, message: string): Error {
  const cause = Object.assign(new Error(message), { code })
  return Object.assign(new Error('Database failed to open', { cause }), {
    code: 'LEVEL_DATABASE_NOT_OPEN',
  })
}

const CASES: readonly (readonly [string, string, string, RegExp])[] = [
  ['LEVEL_LOCKED', 'lock hold by current process', 'DataDirLocked', /stop the other store/],
  ['LEVEL_CORRUPTION', 'Corruption: bad block', 'Corruption', /joins as a new one/],
  ['LEVEL_IO_ERROR', 'IO error: No space left on device', 'DiskError', /free space/],
  ['LEVEL_IO_ERROR', 'IO error: Permission denied', 'DataDirUnusable', /permissions/],
  ['LEVEL_IO_ERROR', 'IO error: Input/output error', 'DiskError', /check the disk/],
  ['LEVEL_IO_ERROR', 'IO error: x.sst: Too many open files', 'DiskError', /ulimit -n/],
  ['EEXIST', 'EEXIST: file already exists, mkdir', 'DataDirUnusable', /a file stands/],
  ['ENOTDIR', 'ENOTDIR: not a directory, mkdir', 'DataDirUnusable', /a file stands/],
  ['EACCES', 'EACCES: permission denied, mkdir', 'DataDirUnusable', /permissions/],
  ['LEVEL_INVALID', 'Invalid argument: column families', 'DataDirUnusable', /another data-dir/],
]

describe('an open error', () => {
  it.each(CASES)('%s, "%s" is %s', (code, message, expected, advice) => {
    const error = openError(notOpen(code, message), '/data/kv')
    expect(error).toMatchObject({ code: expected, cause: { code } })
    expect(error.message).toMatch(advice)
    expect(error.message).toContain('/data/kv')
    expect(error.message).toContain(message)
  })
})
