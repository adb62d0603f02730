import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { escapeField, unescapeField } from '../../../src/server/cli/escapes.ts'
import { LineSplitter } from '../../../src/server/cli/line-splitter.ts'
import { formatRow, parseRow } from '../../../src/server/cli/row-format.ts'

const bytes = fc
  .oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: 'binary', maxLength: 20 }).map((text) => Buffer.from(text)),
    fc
      .string({ unit: fc.constantFrom('\\', '\t', '\n', '\r', 'x', 't', 'n', '0', '\0', 'é') })
      .map(Buffer.from),
  )
  .map((each) => Buffer.from(each))

describe('escapes', () => {
  test('any bytes come back', () => {
    fc.assert(
      fc.property(bytes, (field) => {
        const escaped = escapeField(field)
        expect(escaped).not.toMatch(/[\t\n\r\0]/)
        expect(unescapeField(Buffer.from(escaped))).toEqual(field)
      }),
      { numRuns: 1000 },
    )
  })

  test.each([
    ['a\tb\nc\rd\\e', 'a\\tb\\nc\\rd\\\\e'],
    ['\0\x7f', '\\x00\\x7f'],
    ['grün', 'grün'],
  ])('%j', (text, escaped) => {
    expect(escapeField(Buffer.from(text))).toBe(escaped)
  })

  test('bytes that are not UTF-8', () => {
    expect(escapeField(Buffer.from([0x61, 0xff, 0xc3]))).toBe('a\\xff\\xc3')
  })

  test.each(['\\', 'a\\', '\\q', '\\x', '\\x4', '\\xzz', '\\X41'])('%j is malformed', (text) => {
    expect(unescapeField(Buffer.from(text))).toBeUndefined()
  })
})

const FORMATS = ['tsv', 'jsonl'] as const
const ENCODINGS = ['utf8', 'hex', 'base64'] as const

describe.each(
  FORMATS.flatMap((format) => ENCODINGS.map((encoding) => [format, encoding] as const)),
)('rows as %s, %s', (format, encoding) => {
  test('any row comes back', () => {
    fc.assert(
      fc.property(bytes, bytes, (key, value) => {
        fc.pre(key.length > 0)
        const line = formatRow(key, value, format, encoding)
        expect(line.indexOf('\n')).toBe(line.length - 1)
        expect(parseRow(Buffer.from(line.slice(0, -1)), format, encoding)).toEqual({ key, value })
      }),
      { numRuns: 500 },
    )
  })

  test('blank lines are no rows', () => {
    for (const line of ['', '  ', '\r']) {
      expect(parseRow(Buffer.from(line), format, encoding)).toBeUndefined()
    }
  })
})

test.each([
  ['tsv', 'key', /no TAB/],
  ['tsv', 'a\tb\tc', /more than one TAB/],
  ['tsv', '\tvalue', /key is empty/],
  ['tsv', 'key\t\\q', /escape/],
  ['tsv', `${'k'.repeat(9000)}\tv`, /9000 bytes/],
  ['jsonl', '{', /not JSON/],
  ['jsonl', '7', /no JSON object/],
  ['jsonl', '{"key":"a"}', /"value"/],
  ['jsonl', '{"value":"a"}', /"key"/],
  ['jsonl', '{"key":"a","keyBase64":"YQ==","value":"v"}', /either/],
  ['jsonl', '{"key":1,"value":"v"}', /no string/],
  ['jsonl', '{"keyBase64":"%%","value":"v"}', /base64/],
  ['jsonl', '{"keyHex":"6","value":"v"}', /"keyHex" is not hex/],
  ['jsonl', '{"key":"\\ud800","value":"v"}', /Unicode/],
] as const)('malformed %s: %j', (format, line, problem) => {
  expect(parseRow(Buffer.from(line), format, 'utf8')).toEqual({
    problem: expect.stringMatching(problem),
  })
})

test.each([
  ['hex', '6b\t0', /value is not hex/],
  ['hex', '6\t00', /key is not hex/],
  ['base64', 'aw==\t%', /value is not base64/],
] as const)('malformed columns as %s: %j', (encoding, line, problem) => {
  expect(parseRow(Buffer.from(line), 'tsv', encoding)).toEqual({
    problem: expect.stringMatching(problem),
  })
})

test('the names in a JSON object tell how it is encoded, whatever was asked for', () => {
  const line = Buffer.from('{"keyHex":"6b","valueBase64":"dg=="}')
  const row = { key: Buffer.from('k'), value: Buffer.from('v') }
  for (const encoding of ENCODINGS) expect(parseRow(line, 'jsonl', encoding)).toEqual(row)
})

function split(chunks: readonly Buffer[], lineBytesMax: number): (string | null)[] {
  const splitter = new LineSplitter(lineBytesMax)
  const lines: (string | null)[] = []
  for (const chunk of chunks) {
    splitter.feed(chunk)
    for (let line = splitter.next(); line !== undefined; line = splitter.next()) {
      lines.push(line === null ? null : line.toString())
    }
  }
  const last = splitter.end()
  if (last !== undefined) lines.push(last === null ? null : last.toString())
  expect(splitter.number).toBe(lines.length)
  return lines
}

describe('lines', () => {
  test('are the same however the text is cut into chunks', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'b', '\n', '\r'), maxLength: 60 })
    fc.assert(
      fc.property(text, fc.array(fc.nat(60)), (whole, cuts) => {
        const points = [0, ...cuts.filter((cut) => cut < whole.length), whole.length]
        points.sort((a, b) => a - b)
        const chunks = points.slice(1).map((point, i) => Buffer.from(whole.slice(points[i], point)))
        const expected = whole.split('\n').map((line) => line.replace(/\r$/, ''))
        if (whole === '' || whole.endsWith('\n')) expected.pop()
        expect(split(chunks, 1000)).toEqual(expected)
      }),
    )
  })

  test('one that is too long is given as null, and the rest goes on', () => {
    const chunks = ['ab\nabc', 'def', 'ghi\nxy\nabcdefg\nz'].map((text) => Buffer.from(text))
    expect(split(chunks, 5)).toEqual(['ab', null, 'xy', null, 'z'])
  })
})
