import { expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { diskError } from '../../src/raftlog/disk-error.ts'

function told(code: string): Error {
  return diskError(Object.assign(new Error(`${code}: what the system said`), { code }))
}

it('says what to do about each cause', () => {
  expect(told('ENOSPC')).toMatchObject({
    code: 'DiskFull',
    message: expect.stringMatching(/free space/),
  })
  expect(told('EIO')).toMatchObject({
    code: 'DiskError',
    message: expect.stringMatching(/check the disk/),
  })
  const files = told('EMFILE')
  expect(files).toMatchObject({ code: 'DiskError', cause: { code: 'EMFILE' } })
  expect(files.message).toMatch(/^raft log: EMFILE.*ulimit -n/)
  expect(files.message).not.toMatch(/check the disk/)
})

it('leaves what is an operating error already as it is', () => {
  const error = new PolyraftError('Corruption', 'a block')
  expect(diskError(error)).toBe(error)
})
