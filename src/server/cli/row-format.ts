/**
 * A row of data as one line of text.
 *
 *   tsv     key TAB value, both escaped as escapes.ts tells
 *   jsonl   {"key": "…", "value": "…"}, or keyBase64 / valueBase64 for what is not UTF-8
 */
import { isUtf8 } from 'node:buffer'
import { KEY_BYTES_MAX } from '../../base/limits.ts'
import { VALUE_BYTES_MAX } from '../../client/input.ts'
import { jsonRow, LONE_SURROGATE } from './encoding.ts'
import { escapeField, unescapeField } from './escapes.ts'

export type RowFormat = 'tsv' | 'jsonl'

export interface ParsedRow {
  readonly key: Buffer
  readonly value: Buffer
}

/** A line for people to find and fix; never an exception, for one bad row may be skipped. */
export type ParseResult = ParsedRow | { readonly problem: string } | undefined

const TAB = 0x09

/** undefined for a blank line. */
export function parseRow(line: Buffer, format: RowFormat): ParseResult {
  if (isBlank(line)) return undefined
  const row = format === 'tsv' ? parseTsv(line) : parseJson(line)
  return 'problem' in row ? row : (checkSizes(row) ?? row)
}

export function formatRow(key: Buffer, value: Buffer, format: RowFormat): string {
  return format === 'tsv'
    ? `${escapeField(key)}\t${escapeField(value)}\n`
    : `${jsonRow(key, value, 'utf8')}\n`
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

function parseTsv(line: Buffer): ParsedRow | { problem: string } {
  const tab = line.indexOf(TAB)
  if (tab < 0) return problem('there is no TAB between key and value')
  if (line.indexOf(TAB, tab + 1) >= 0) {
    return problem('there is more than one TAB: inside a key or value it is written \\t')
  }
  const key = unescapeField(line.subarray(0, tab))
  const value = unescapeField(line.subarray(tab + 1))
  if (key === undefined || value === undefined) {
    return problem('a backslash begins no known escape (\\t \\n \\r \\\\ \\xNN)')
  }
  return { key, value }
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

/** The bytes, or what is wrong with the field. */
function jsonField(row: Record<string, unknown>, name: string): Buffer | string {
  const text = row[name]
  const base64 = row[`${name}Base64`]
  if ((text === undefined) === (base64 === undefined)) {
    return `the object needs either "${name}" or "${name}Base64"`
  }
  if (text !== undefined) {
    if (typeof text !== 'string') return `"${name}" is no string`
    return LONE_SURROGATE.test(text) ? `"${name}" is no valid Unicode` : Buffer.from(text, 'utf8')
  }
  if (typeof base64 !== 'string') return `"${name}Base64" is no string`
  const bytes = Buffer.from(base64, 'base64')
  const same = bytes.toString('base64').replace(/=+$/, '') === base64.replace(/=+$/, '')
  return same ? bytes : `"${name}Base64" is not base64`
}
