import { PolyraftError } from '../../base/errors.ts'

/** What the user typed cannot be meant: exit code 2, before anything is done. */
export class UsageError extends PolyraftError {
  constructor(message: string, options?: { cause?: unknown }) {
    super('InvalidArgument', message, {}, options)
  }
}
