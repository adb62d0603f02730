import { expect, test } from 'vitest'
import { ServerClock } from '../../src/client/server-clock.ts'

test('is unknown until it is told', () => {
  const clock = new ServerClock()
  expect(clock.known).toBe(false)
  clock.told(500, 10)
  expect(clock.known).toBe(true)
  expect(clock.atLeast(10)).toBe(500)
})

test('goes on a little slower than time, so that it is never ahead', () => {
  const clock = new ServerClock()
  clock.told(500, 0)
  expect(clock.atLeast(1_000)).toBe(1_499)
  // A machine whose clock is as slow as that.
  expect(clock.atLeast(3_600_000)).toBeLessThanOrEqual(500 + 3_600_000 * 0.999)
})

test('an answer that was long under way does not set it back', () => {
  const clock = new ServerClock()
  clock.told(500, 0)
  clock.told(600, 3_000)
  expect(clock.atLeast(3_000)).toBe(3_497)
  clock.told(3_498, 3_001)
  expect(clock.atLeast(3_001)).toBe(3_498)
})
