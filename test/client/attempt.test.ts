import { expect, test } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { attemptMsMax, beginAttempt, silentMsMax } from '../../src/client/attempt.ts'
import { RawKind, RawRequest } from '../../src/protocol/raw.ts'

function leaving(expiresAtMs: number, unanswered: number, bytes: number): RawRequest {
  const request = new RawRequest(RawKind.Put, { respond: () => {} }, 0)
  request.expiresAtMs = expiresAtMs
  request.attemptMsMax = attemptMsMax(unanswered)
  beginAttempt(request, 1_000, bytes)
  return request
}

test('an attempt has a second from when it leaves, and twice as long after each unanswered one', () => {
  const times = [0, 1, 2, 3, 4, 5].map((unanswered) => leaving(60_000, unanswered, 0).durationMsMax)
  expect(times).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 16_000])
  expect(leaving(60_000, 0, 0)).toMatchObject({ sent: true, expiresAtMs: 2_000 })
})

test('bytes before it give it time', () => {
  expect(leaving(60_000, 0, 8 * MIB).durationMsMax).toBe(3_000)
  expect(silentMsMax(0)).toBe(1_000)
  expect(silentMsMax(8 * MIB)).toBe(3_000)
})

test('it ends with its call, at the latest, and is never without any time', () => {
  expect(leaving(1_500, 2, 8 * MIB)).toMatchObject({ expiresAtMs: 1_500, durationMsMax: 500 })
  expect(leaving(900, 0, 0)).toMatchObject({ expiresAtMs: 900, durationMsMax: 1 })
})

test('without a deadline it has no budget', () => {
  expect(leaving(0, 0, 0)).toMatchObject({ sent: true, expiresAtMs: 0, durationMsMax: 0 })
})
