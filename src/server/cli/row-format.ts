/**
 * A row of data as one line of text.
 *
 *   tsv     key TAB value, both escaped as escapes.ts tells, or in hexadecimal or base64
 *   jsonl   {"key": "…", "value": "…"}, or keyBase64 / valueBase64 for what is not UTF-8,
 *           or keyHex / valueHex; the names tell, so one reads back whatever was asked for
 */
import { isUtf8 } from 'node:buffer'
import { KEY_BYTES_MAX } from '../../base/limits.ts'
import { VALUE_BYTES_MAX } from '../../client/input.ts'
import { type Encoding, encodeField, jsonRow, LONE_SURROGATE, tryDecode } from './encoding.ts'
import { unescapeField } from './escapes.ts'

export type RowFormat = 'tsv' | 'jsonl'

export interface ParsedRow {
  readonly key: Buffer
  readonly value: Buffer
}

/** A line for people to find and fix; never an exception, for one bad row may be skipped. */
export type ParseResult = ParsedRow | { readonly problem: string } | undefined

const TAB = 0x09

/** undefined for a blank line. */
export function parseRow(line: Buffer, format: RowFormat, encoding: Encoding): ParseResult {
  if (isBlank(line)) return undefined
  const row = format === 'tsv' ? parseTsv(line, encoding) : parseJson(line)
  return 'problem' in row ? row : (checkSizes(row) ?? row)
}

export function formatRow(
  key: Buffer,
  value: Buffer,
  format: RowFormat,
  encoding: Encoding,
): string {
  return format === 'tsv'
    ? `${encodeField(key, encoding)}\t${encodeField(value, encoding)}\n`
    : `${jsonRow(key, value, encoding)}\n`
}

function isBlank(line: Buffer): boolean {
  for (const byte of line) if (byte !== 0x20 && byte !== 0x0d) return false
  return true
}

function problem(text: string): { problem: string } {
  return { problem: text }
}

function checkSizes({ key, value }: ParsedRow): { problem: string } | undefined {
  if (key.length === 0) return problem('the key is empty')
  if (key.length > KEY_BYTES_MAX) {
    return problem(`the key has ${key.length} bytes, at most ${KEY_BYTES_MAX} are allowed`)
  }
  if (value.length > VALUE_BYTES_MAX) {
    return problem(`the value has ${value.length} bytes, at most ${VALUE_BYTES_MAX} are allowed`)
  }
  return undefined
}

function parseTsv(line: Buffer, encoding: Encoding): ParsedRow | { problem: string } {
  const tab = line.indexOf(TAB)
  if (tab < 0) return problem('there is no TAB between key and value')
  if (line.indexOf(TAB, tab + 1) >= 0) {
    return problem('there is more than one TAB: inside a key or value it is written \\t')
  }
  const key = tsvField(line.subarray(0, tab), encoding)
  const value = tsvField(line.subarray(tab + 1), encoding)
  if (key !== undefined && value !== undefined) return { key, value }
  if (encoding !== 'utf8') return problem(`the ${key ? 'value' : 'key'} is not ${encoding}`)
  return problem('a backslash begins no known escape (\\t \\n \\r \\\\ \\xNN)')
}

function tsvField(field: Buffer, encoding: Encoding): Buffer | undefined {
  return encoding === 'utf8' ? unescapeField(field) : tryDecode(field.toString('latin1'), encoding)
}

function parseJson(line: Buffer): ParsedRow | { problem: string } {
  if (!isUtf8(line)) return problem('the line is not UTF-8')
  let row: unknown
  try {
    row = JSON.parse(line.toString('utf8'))
  } catch {
    return problem('the line is not JSON')
  }
  if (row === null || typeof row !== 'object') return problem('the line is no JSON object')
  const key = jsonField(row as Record<string, unknown>, 'key')
  if (typeof key === 'string') return problem(key)
  const value = jsonField(row as Record<string, unknown>, 'value')
  return typeof value === 'string' ? problem(value) : { key, value }
}

const FIELD_ENCODINGS = { '': 'utf8', Hex: 'hex', Base64: 'base64' } as const

/** The bytes, or what is wrong with the field. */
function jsonField(row: Record<string, unknown>, name: string): Buffer | string {
  const found = Object.entries(FIELD_ENCODINGS).filter(
    ([suffix]) => row[`${name}${suffix}`] !== undefined,
  )
  const [suffix, encoding] = found[0] ?? []
  if (suffix === undefined || encoding === undefined || found.length > 1) {
    return `the object needs either "${name}" or "${name}Base64" or "${name}Hex"`
  }
  const text = row[`${name}${suffix}`]
  if (typeof text !== 'string') return `"${name}${suffix}" is no string`
  if (encoding === 'utf8' && LONE_SURROGATE.test(text)) return `"${name}" is no valid Unicode`
  return tryDecode(text, encoding) ?? `"${name}${suffix}" is not ${encoding}`
}
