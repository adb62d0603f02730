/**
 * Arguments are bytes, and Node makes text of them: what is not UTF-8 becomes U+FFFD, so that different
 * keys would silently become one. Linux tells the bytes; elsewhere U+FFFD may be either, and is refused.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'
import { WrongUsage } from '../wrong-usage.ts'

const REPLACEMENT = '\ufffd'
const ADVICE = 'give keys and values as --hex or --base64'

/** Of the whole process, NUL after each; undefined where the system does not tell. */
type ReadCommandLine = () => Buffer | undefined

/** Throws WrongUsage for arguments that are not what was typed. */
export function mustBeText(args: readonly string[], read: ReadCommandLine = ofThisProcess): void {
  if (!args.some((arg) => arg.includes(REPLACEMENT))) return
  const raw = rawArguments(args, read())
  args.forEach((arg, i) => {
    if (!arg.includes(REPLACEMENT)) return
    if (raw === undefined) {
      throw new WrongUsage(
        `argument ${i + 1} has U+FFFD, which also stands for bytes that are not UTF-8: ${ADVICE}`,
      )
    }
    if (!isUtf8(raw[i]!)) {
      throw new WrongUsage(`argument ${i + 1} has bytes that are not UTF-8: ${ADVICE}`)
    }
  })
}

/** The last ones of the command line, if they are these. */
function rawArguments(args: readonly string[], line: Buffer | undefined): Buffer[] | undefined {
  const raw = line === undefined ? [] : split(line).slice(-args.length)
  return args.every((arg, i) => raw[i]?.toString('utf8') === arg) ? raw : undefined
}

function split(line: Buffer): Buffer[] {
  const parts: Buffer[] = []
  for (let at = 0; at < line.length; ) {
    const end = line.indexOf(0, at)
    if (end < 0) return parts
    parts.push(line.subarray(at, end))
    at = end + 1
  }
  return parts
}

function ofThisProcess(): Buffer | undefined {
  try {
    return readFileSync('/proc/self/cmdline')
  } catch {
    return undefined
  }
}
