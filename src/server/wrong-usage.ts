import { type ErrorCode, PolyraftError } from '../base/errors.ts'

/** Flags that cannot be meant as they are, each of which may be right: exit code 2. */
export class WrongUsage extends PolyraftError {
  constructor(message: string, code: ErrorCode = 'InvalidArgument') {
    super(code, message)
  }
}
