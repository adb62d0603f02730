import { type ErrorCode, PolyraftError } from '../base/errors.ts'

/** What the user typed cannot be meant: exit code 2, before anything is done. */
export class WrongUsage extends PolyraftError {
  constructor(
    message: string,
    code: ErrorCode = 'InvalidArgument',
    options?: { readonly cause?: unknown },
  ) {
    super(code, message, {}, options)
  }
}
