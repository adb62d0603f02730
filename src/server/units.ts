/**
 * Sizes and times as people write them: "64MiB", "1.5GB", "10s", "1m30s". As in TiKV's files KB and
 * KiB are both 1024 bytes. A bare number is bytes; as a time it is refused, for 30 may be meant as
 * seconds or as minutes.
 */

const SIZE_UNITS: readonly (readonly [string, number])[] = [
  ['TiB', 2 ** 40],
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1],
]
const TIME_UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

/** Bytes; undefined when it is not a size. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*(?:([KMGT])i?)?B?$/i.exec(text.trim())
  if (match === null) return undefined
  const prefix = match[2]?.toUpperCase() ?? ''
  const unit = SIZE_UNITS.find(([name]) => name.replace(/i?B$/, '') === prefix)![1]
  return Math.round(Number(match[1]) * unit)
}

/** Milliseconds; undefined when it is not a time. */
export function parseDuration(text: string): number | undefined {
  const whole = text.trim()
  if (!/^(\d+(?:\.\d+)?(?:ms|d|h|m|s))+$/.test(whole)) return undefined
  let total = 0
  for (const [, count, unit] of whole.matchAll(/(\d+(?:\.\d+)?)(ms|d|h|m|s)/g)) {
    total += Number(count) * TIME_UNITS.find(([name]) => name === unit)![1]
  }
  return Math.round(total)
}

export function formatSize(bytes: number): string {
  const [name, unit] = SIZE_UNITS.find(([, size]) => bytes >= size && bytes % size === 0) ?? [
    'B',
    1,
  ]
  return `${bytes / unit}${name}`
}

export function formatDuration(ms: number): string {
  const [name, unit] = TIME_UNITS.find(([, size]) => ms >= size && ms % size === 0) ?? ['ms', 1]
  return `${ms / unit}${name}`
}

/** A size for people, to three digits: "79.1GiB". */
export function formatAbout(bytes: number): string {
  const [name, unit] = SIZE_UNITS.find(([, size]) => bytes >= size) ?? (['B', 1] as const)
  const count = bytes / unit
  return `${count >= 100 || unit === 1 ? Math.round(count) : count.toPrecision(3)}${name}`
}
