/** One setting's value: from TOML, from a flag, and back into TOML. Errors say what was expected. */

import { didYouMean } from '../base/suggest.ts'
import type { Setting, SettingKind, SettingValue } from './config-settings.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from './units.ts'

/** A value, or why it is none. */
export type Parsed = { readonly value: SettingValue } | { readonly problem: string }

const AUTO = 'auto'

const EXPECTED: { readonly [Kind in Exclude<SettingKind, 'choice'>]: string } = {
  text: 'a string',
  count: 'a whole number',
  size: 'a size such as "64MiB"',
  'size-or-auto': 'a size such as "64MiB", or "auto"',
  duration: 'a time with its unit, such as "10s" or "100ms"',
  list: 'a list of strings',
  labels: 'a table of strings, such as { zone = "a" }',
  switch: 'true or false',
}

export function parseTomlValue(setting: Setting, raw: unknown): Parsed {
  // A number is a time only to programs, which say in the name of a field what it counts.
  const isBareTime = setting.kind === 'duration' && typeof raw === 'number'
  const value = isBareTime ? undefined : fromToml(setting, raw)
  if (value !== undefined) return checkRange(setting, value)
  return {
    problem: `expected ${expected(setting)}, found ${describeValue(raw)}${hint(setting, raw)}`,
  }
}

function expected({ kind, choices }: Setting): string {
  return kind === 'choice' ? `one of ${choices.join(', ')}` : EXPECTED[kind]
}

/** From a program, which knows numbers and has no need of units. */
export function checkGivenValue(setting: Setting, given: unknown): Parsed {
  if (fromToml(setting, given) === given && given !== undefined) {
    return checkRange(setting, given as SettingValue)
  }
  return {
    problem: `expected ${expectedGiven(setting)}, found ${describeValue(given)}${hint(setting, given)}`,
  }
}

function expectedGiven(setting: Setting): string {
  if (setting.kind === 'duration') return 'a whole number of milliseconds'
  if (setting.kind === 'size') return 'a whole number of bytes'
  if (setting.kind === 'size-or-auto') return 'a whole number of bytes, or "auto"'
  return expected(setting)
}

/** Flags and environment carry strings: lists and labels are separated by commas. */
export function parseFlagValue(setting: Setting, text: string): Parsed {
  if (setting.kind === 'list') return parseTomlValue(setting, splitList(text))
  if (setting.kind === 'count' && /^\d+$/.test(text)) return parseTomlValue(setting, Number(text))
  if (setting.kind === 'switch' && /^(true|false)$/.test(text)) return { value: text === 'true' }
  if (setting.kind === 'labels') return parseLabels(text)
  return parseTomlValue(setting, text)
}

function splitList(text: string): string[] {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
}

function parseLabels(text: string): Parsed {
  const labels = new Map<string, string>()
  for (const pair of splitList(text)) {
    const match = /^([^=\s]+)=(.*)$/.exec(pair)
    if (match === null) return { problem: `expected k=v,…, found "${text}"` }
    const [, name, value] = match
    if (labels.has(name!)) return { problem: `"${name}" is there twice, found "${text}"` }
    labels.set(name!, value!)
  }
  return { value: Object.fromEntries(labels) }
}

function fromToml({ kind, choices }: Setting, raw: unknown): SettingValue | undefined {
  if (kind === 'text') return typeof raw === 'string' ? raw : undefined
  if (kind === 'count') return Number.isSafeInteger(raw) ? (raw as number) : undefined
  if (kind === 'size') return numberOr(raw, parseSize)
  if (kind === 'size-or-auto') return raw === AUTO ? AUTO : numberOr(raw, parseSize)
  if (kind === 'duration') return numberOr(raw, parseDuration)
  if (kind === 'switch') return typeof raw === 'boolean' ? raw : undefined
  if (kind === 'list') return isTexts(raw) ? raw : undefined
  if (kind === 'labels')
    return isTexts(tableValues(raw)) ? (raw as Record<string, string>) : undefined
  return choices.includes(raw as string) ? (raw as string) : undefined
}

function numberOr(raw: unknown, parse: (text: string) => number | undefined): number | undefined {
  if (typeof raw === 'string') return parse(raw)
  return Number.isSafeInteger(raw) ? (raw as number) : undefined
}

export function isTexts(raw: unknown): raw is string[] {
  return Array.isArray(raw) && raw.every((each) => typeof each === 'string')
}

function tableValues(raw: unknown): unknown {
  return isTable(raw) ? Object.values(raw) : undefined
}

export function isTable(raw: unknown): raw is Record<string, unknown> {
  return typeof raw === 'object' && raw !== null && !Array.isArray(raw) && !(raw instanceof Date)
}

function checkRange(setting: Setting, value: SettingValue): Parsed {
  if (typeof value !== 'number') return { value }
  if (value < setting.min)
    return { problem: `at least ${formatNumber(setting, setting.min)} is needed` }
  if (value > setting.max)
    return { problem: `at most ${formatNumber(setting, setting.max)} is allowed` }
  return { value }
}

/** A number with its unit. */
export function formatNumber(setting: Setting, value: number): string {
  if (setting.kind.startsWith('size')) return formatSize(value)
  return setting.kind === 'duration' ? formatDuration(value) : String(value)
}

/** What was found, where something else was expected. */
export function describeValue(raw: unknown): string {
  if (raw instanceof Date) return `the date ${raw.toISOString()}`
  if (isTable(raw)) return 'a table'
  if (Array.isArray(raw) && raw.some(isTable)) return 'a list of tables'
  return typeof raw === 'string' || Array.isArray(raw) ? JSON.stringify(raw) : String(raw)
}

function hint(setting: Setting, raw: unknown): string {
  return setting.kind === 'choice' && typeof raw === 'string'
    ? didYouMean(raw, setting.choices)
    : ''
}

/** As it stands in a TOML file. */
export function formatValue(setting: Setting, value: SettingValue): string {
  if (typeof value === 'number') {
    return setting.kind === 'count' ? String(value) : JSON.stringify(formatNumber(setting, value))
  }
  if (typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map((each) => JSON.stringify(each)).join(', ')}]`
  const pairs = Object.entries(value).map(
    ([key, text]) => `${JSON.stringify(key)} = ${JSON.stringify(text)}`,
  )
  return pairs.length === 0 ? '{}' : `{ ${pairs.join(', ')} }`
}
