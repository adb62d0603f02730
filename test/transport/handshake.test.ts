import fc from 'fast-check'
import { expect, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import {
  decodeAnswer,
  decodeHello,
  encodeAnswer,
  encodeHello,
  judgeHello,
  TRANSPORT_VERSION,
  Verdict,
} from '../../src/transport/handshake.ts'

const hello = { version: TRANSPORT_VERSION, clusterId: 2 ** 52, fromStoreId: 1, toStoreId: 2 }

test('hello and answer come out as they went in', () => {
  expect(decodeHello(encodeHello(hello))).toEqual(hello)
  const answer = { verdict: Verdict.WrongStore, reason: 'another one' }
  expect(decodeAnswer(encodeAnswer(answer))).toEqual(answer)
})

test.each([
  ['accepts its own', hello, Verdict.Accepted],
  ['another version', { ...hello, version: hello.version + 1 }, Verdict.WrongVersion],
  ['another cluster', { ...hello, clusterId: 3 }, Verdict.WrongCluster],
  ['a hello for another store', { ...hello, toStoreId: 3 }, Verdict.WrongStore],
  ['a hello from no store', { ...hello, fromStoreId: 0 }, Verdict.WrongStore],
  ['a hello from itself', { ...hello, fromStoreId: 2 }, Verdict.WrongStore],
])('judges %s', (_what, given, verdict) => {
  expect(judgeHello(given, 2 ** 52, 2).verdict).toBe(verdict)
})

test('a future version is told from garbage whatever follows it', () => {
  const future = encodeHello({ ...hello, version: 9 }).subarray(0, 8)
  expect(decodeHello(future).version).toBe(9)
})

test('arbitrary bytes are a hello or Corruption, nothing else', () => {
  const magic = encodeHello(hello).subarray(0, 6)
  const junk = fc.uint8Array({ maxLength: 60 })
  fc.assert(
    fc.property(junk, fc.boolean(), (bytes, withMagic) => {
      const payload = withMagic ? Buffer.concat([magic, bytes]) : Buffer.from(bytes)
      for (const decode of [decodeHello, decodeAnswer]) {
        try {
          decode(payload)
        } catch (error) {
          expect(error).toBeInstanceOf(PolyraftError)
        }
      }
    }),
  )
})
