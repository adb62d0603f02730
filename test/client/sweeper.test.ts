import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { backoffMs, ELECTION_BACKOFF } from '../../src/client/backoff.ts'
import { Sweeper } from '../../src/client/sweeper.ts'

beforeEach(() => {
  vi.useFakeTimers()
})

afterEach(() => {
  vi.useRealTimers()
})

function now(): number {
  return performance.now()
}

test('runs when it is due, again when it is told to, and then stops', () => {
  const began = now()
  const sweeps: number[] = []
  const sweeper = new Sweeper(() => {
    sweeps.push(now() - began)
    return sweeps.length < 3 ? now() + 50 : undefined
  }, now)
  sweeper.wake(began + 50, began)
  vi.advanceTimersByTime(1000)
  expect(sweeps).toEqual([50, 100, 150])
  expect(sweeper.running).toBe(false)
  expect(vi.getTimerCount()).toBe(0)
})

test('an earlier wake-up moves it, a later one does not; there is one timer', () => {
  const began = now()
  const sweeps: number[] = []
  const sweeper = new Sweeper(() => {
    sweeps.push(now() - began)
    return undefined
  }, now)
  sweeper.wake(began + 50, began)
  sweeper.wake(began + 20, began)
  sweeper.wake(began + 40, began)
  expect(vi.getTimerCount()).toBe(1)
  vi.advanceTimersByTime(1000)
  expect(sweeps).toEqual([20])
})

test('back-off grows to its limit, with jitter', () => {
  const random = seededRandom(7)
  for (let failures = 0; failures < 100; failures++) {
    const full = Math.min(ELECTION_BACKOFF.maxMs, ELECTION_BACKOFF.baseMs * 2 ** failures)
    const wait = backoffMs(ELECTION_BACKOFF, failures, random)
    expect(wait).toBeGreaterThanOrEqual(full / 2)
    expect(wait).toBeLessThanOrEqual(full + 1)
  }
})
