/** Too many files open: not the disk's fault, whatever had to be opened. */
import { errorMessage } from './errors.ts'

const TOO_MANY_FILES = /Too many open files|EMFILE|ENFILE/i

/** What to do about it; for messages. */
export const RAISE_OPEN_FILES =
  'raise its limit of open files (ulimit -n, LimitNOFILE= of a service)'

/** By its text, since RocksDB gives no code. */
export function isTooManyFiles(error: unknown): boolean {
  return TOO_MANY_FILES.test(errorMessage(error))
}
