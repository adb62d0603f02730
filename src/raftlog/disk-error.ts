/** A system error of the raft log's disk as an operating error. */
import { AssertionError } from '../base/assert.ts'
import { errorMessage, PolyraftError, systemErrorCode } from '../base/errors.ts'
import { isTooManyFiles, RAISE_OPEN_FILES } from '../base/open-files.ts'

export function diskError(error: unknown): Error {
  if (error instanceof PolyraftError || error instanceof AssertionError) return error
  const cause = { cause: error }
  const code = systemErrorCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const advice = 'free space on its disk, then start the store again'
    return new PolyraftError('DiskFull', `raft log: ${errorMessage(error)}; ${advice}`, {}, cause)
  }
  const todo = isTooManyFiles(error) ? RAISE_OPEN_FILES : 'check the disk'
  const advice = `${todo}, then start the store again`
  return new PolyraftError('DiskError', `raft log: ${errorMessage(error)}; ${advice}`, {}, cause)
}
