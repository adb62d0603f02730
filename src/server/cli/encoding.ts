/** Keys and values between the shell and bytes: UTF-8, hexadecimal or base64. */
import { isUtf8 } from 'node:buffer'
import { WrongUsage } from '../wrong-usage.ts'
import { escapeField } from './escapes.ts'

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
    throw new WrongUsage(`${JSON.stringify(text)} is no valid Unicode: use --hex or --base64`)
  }
  const bytes = tryDecode(text, encoding)
  if (bytes === undefined) throw new WrongUsage(`${JSON.stringify(text)} is not ${encoding}`)
  return bytes
}

/** undefined where it is malformed. */
export function tryDecode(text: string, encoding: Encoding): Buffer | undefined {
  const bytes = Buffer.from(text, encoding)
  // Node drops what it cannot decode: only the way back shows whether it did.
  if (encoding === 'hex') return bytes.length * 2 === text.length ? bytes : undefined
  if (encoding === 'base64') return sameBase64(bytes.toString('base64'), text) ? bytes : undefined
  return bytes
}

function sameBase64(a: string, b: string): boolean {
  return a.replace(/=+$/, '') === b.replace(/=+$/, '')
}

/** One field of a line: escaped text, or as was asked for. */
export function encodeField(bytes: Buffer, encoding: Encoding): string {
  return encoding === 'utf8' ? escapeField(bytes) : bytes.toString(encoding)
}

export function jsonRow(key: Buffer, value: Buffer | undefined, encoding: Encoding): string {
  return jsonObject(value === undefined ? { key } : { key, value }, encoding)
}

/** Bytes are text where they are text, and base64 (or what was asked for) where they are not. */
export function jsonObject(
  fields: Readonly<Record<string, Buffer | boolean | number | null>>,
  encoding: Encoding,
): string {
  const object: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields)) {
    if (!Buffer.isBuffer(value)) object[name] = value
    else if (encoding === 'hex') object[`${name}Hex`] = value.toString('hex')
    else if (encoding === 'utf8' && isUtf8(value)) object[name] = value.toString('utf8')
    else object[`${name}Base64`] = value.toString('base64')
  }
  return JSON.stringify(object)
}
