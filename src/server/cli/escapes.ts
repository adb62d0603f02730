/**
 * Any bytes in one field of a tab-separated line:
 *
 *   \t \n \r \\    tab, newline, carriage return, backslash
 *   \xNN           any other byte: control characters, and what is not UTF-8
 *
 * Everything else stands for itself, as UTF-8. unescape(escape(bytes)) is bytes.
 */
import { isUtf8 } from 'node:buffer'

const BACKSLASH = 0x5c
const LOW_X = 0x78
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be escaped
const SPECIAL_IN_TEXT = /[\\\x00-\x1f\x7f]/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must be escaped
const SPECIAL_IN_BYTES = /[\\\x00-\x1f\x7f-\xff]/g

const SHORT: Readonly<Record<string, string>> = {
  '\t': '\\t',
  '\n': '\\n',
  '\r': '\\r',
  '\\': '\\\\',
}

const SHORT_BYTES: Readonly<Record<number, number>> = {
  116: 0x09,
  110: 0x0a,
  114: 0x0d,
  [BACKSLASH]: BACKSLASH,
}

export function escapeField(bytes: Buffer): string {
  return isUtf8(bytes)
    ? bytes.toString('utf8').replace(SPECIAL_IN_TEXT, escapeOne)
    : bytes.toString('latin1').replace(SPECIAL_IN_BYTES, escapeOne)
}

function escapeOne(character: string): string {
  return SHORT[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
}

/** A view of `field` where it has no escapes; undefined when one is malformed. */
export function unescapeField(field: Buffer): Buffer | undefined {
  let at = field.indexOf(BACKSLASH)
  if (at < 0) return field
  const bytes = Buffer.allocUnsafe(field.length)
  let length = field.copy(bytes, 0, 0, at)
  while (at < field.length) {
    if (field[at] !== BACKSLASH) {
      bytes[length++] = field[at++]!
      continue
    }
    const kind = field[at + 1]
    const byte = kind === LOW_X ? hexByte(field, at + 2) : SHORT_BYTES[kind ?? -1]
    if (byte === undefined) return undefined
    bytes[length++] = byte
    at += kind === LOW_X ? 4 : 2
  }
  return bytes.subarray(0, length)
}

function hexByte(field: Buffer, at: number): number | undefined {
  const text = field.toString('latin1', at, at + 2)
  return /^[0-9a-fA-F]{2}$/.test(text) ? Number.parseInt(text, 16) : undefined
}
