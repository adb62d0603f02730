import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  formatAbout,
  formatDuration,
  formatSize,
  parseDuration,
  parseSize,
} from '../../src/server/units.ts'

test.each([
  ['0', 0],
  ['17', 17],
  ['17B', 17],
  ['1KiB', 1024],
  ['1kb', 1024],
  ['1.5 MiB', 1572864],
  ['2G', 2 ** 31],
  ['1TiB', 2 ** 40],
])('size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})

test.each([
  ['100ms', 100],
  ['10s', 10_000],
  ['1.5s', 1500],
  ['1h30m', 5_400_000],
  ['1d', 86_400_000],
])('time %s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test.each(['', 'x', '-1', '1 2', 'MiB', '1.MiB', '1XB'])('%j is no size', (text) => {
  expect(parseSize(text)).toBeUndefined()
})

test.each(['', 'x', '0', '250', '-1s', '1 s', 's', '1s2', '1y'])('%j is no time', (text) => {
  expect(parseDuration(text)).toBeUndefined()
})

test('what is formatted parses back', () => {
  fc.assert(
    fc.property(fc.nat({ max: 2 ** 45 }), (value) => {
      expect(parseSize(formatSize(value))).toBe(value)
      expect(parseDuration(formatDuration(value))).toBe(value)
    }),
  )
})

test.each([
  [0, '0B'],
  [1023, '1023B'],
  [1536, '1.50KiB'],
  [84_900_000_000, '79.1GiB'],
  [252 * 2 ** 30, '252GiB'],
])('%d bytes are about %s', (bytes, text) => {
  expect(formatAbout(bytes)).toBe(text)
})
