import { expect, test } from 'vitest'
import { mustBeText } from '../../../src/server/cli/arguments.ts'
import { decodeText } from '../../../src/server/cli/encoding.ts'

const line = (...parts: (string | Buffer)[]) =>
  Buffer.concat(parts.flatMap((part) => [Buffer.from(part), Buffer.alloc(1)]))
const BYTES = Buffer.from([0x6b, 0xff, 0xfe])

test('U+FFFD as it was typed is text, also beside empty arguments', () => {
  mustBeText(['put', '\ufffd', ''], () => line('node', '--flag', 'main.js', 'put', '\ufffd', ''))
})

test('bytes that are not UTF-8 are refused', () => {
  const args = ['put', '\ufffd', BYTES.toString()]
  expect(() => mustBeText(args, () => line('node', 'main.js', 'put', '\ufffd', BYTES))).toThrow(
    /argument 3 has bytes that are not UTF-8: .*--hex/,
  )
})

test.each([
  ['unknown', undefined],
  ['of something else', line('polyraft')],
  ['cut off', line('node', 'main.js', 'put', '\ufffd').subarray(0, -1)],
])('where the bytes are %s, U+FFFD is refused', (_name, bytes) => {
  expect(() => mustBeText(['put', '\ufffd'], () => bytes)).toThrow(/argument 2 has U\+FFFD.*--hex/)
  mustBeText(['put', 'grün'], () => bytes)
})

test('half a character is no text', () => {
  expect(() => decodeText('a\ud800', 'utf8')).toThrow(/no valid Unicode: .*--hex/)
  expect(decodeText('\u{1f600}', 'utf8')).toEqual(Buffer.from('\u{1f600}'))
})
