/** Failures on standard error: one line for what a user can act on, a stack for what is our bug. */
import { errorMessage, isOperatingError } from '../base/errors.ts'

export function reportError(error: unknown): void {
  process.stderr.write(`${describeError(error)}\n`)
}

export function describeError(error: unknown): string {
  if (isOperatingError(error) || !(error instanceof Error))
    return `polyraft: ${oneLine(errorMessage(error))}`
  return `polyraft: internal error, please report it: ${error.stack ?? error.message}`
}

function oneLine(text: string): string {
  return text.replace(/\s*\n\s*/g, ' ').trim()
}
