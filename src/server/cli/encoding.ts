/** Keys and values between the shell and bytes: UTF-8, hexadecimal or base64. */
import { isUtf8 } from 'node:buffer'
import { UsageError } from './usage-error.ts'

export type Encoding = 'utf8' | 'hex' | 'base64'

export interface EncodingOptions {
  readonly hex?: boolean
  readonly base64?: boolean
}

export function encodingOf(options: EncodingOptions): Encoding {
  if (options.hex === true) return 'hex'
  return options.base64 === true ? 'base64' : 'utf8'
}

/** Of a string that is no text; written out as UTF-8 it would become another one. */
export const LONE_SURROGATE = /\p{Surrogate}/u

export function decodeText(text: string, encoding: Encoding): Buffer {
  if (encoding === 'utf8' && LONE_SURROGATE.test(text)) {
    throw new UsageError(`${JSON.stringify(text)} is no valid Unicode: use --hex or --base64`)
  }
  const bytes = Buffer.from(text, encoding)
  // Node drops what it cannot decode: only the way back shows whether it did.
  if (encoding === 'hex' && bytes.length * 2 !== text.length) throw malformed(text, encoding)
  if (encoding === 'base64' && !sameBase64(bytes.toString('base64'), text)) {
    throw malformed(text, encoding)
  }
  return bytes
}

function sameBase64(a: string, b: string): boolean {
  return a.replace(/=+$/, '') === b.replace(/=+$/, '')
}

function malformed(text: string, encoding: Encoding): UsageError {
  return new UsageError(`${JSON.stringify(text)} is not ${encoding}`)
}

/** One JSON object: text where it is text, and base64 (or what was asked for) where it is not. */
export function jsonRow(key: Buffer, value: Buffer | undefined, encoding: Encoding): string {
  const row: Record<string, string> = {}
  addField(row, 'key', key, encoding)
  if (value !== undefined) addField(row, 'value', value, encoding)
  return JSON.stringify(row)
}

function addField(
  row: Record<string, string>,
  name: string,
  bytes: Buffer,
  encoding: Encoding,
): void {
  if (encoding === 'hex') row[`${name}Hex`] = bytes.toString('hex')
  else if (encoding === 'utf8' && isUtf8(bytes)) row[name] = bytes.toString('utf8')
  else row[`${name}Base64`] = bytes.toString('base64')
}
