import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { machineLater } from '../../src/base/node-clock.ts'
import { RateLimit } from '../../src/store/rate-limit.ts'

beforeEach(() => {
  vi.useFakeTimers({ now: 0 })
})

afterEach(() => {
  vi.useRealTimers()
})

it('lets bytes through at the rate, in the order of their coming, and saves up nothing', async () => {
  const clock = { monotonicMs: () => Date.now(), wallMs: () => Date.now() }
  const rate = new RateLimit(1000, clock, machineLater)
  const done: [string, number][] = []
  const take = (name: string, bytes: number): void => {
    void rate.take(bytes).then(() => done.push([name, Date.now()]))
  }
  take('a', 100)
  take('b', 50)
  take('c', 100)
  await vi.advanceTimersByTimeAsync(1000)
  expect(done).toEqual([
    ['a', 0],
    ['b', 100],
    ['c', 150],
  ])
  take('d', 100)
  take('e', 100)
  await vi.advanceTimersByTimeAsync(1000)
  expect(done.slice(3)).toEqual([
    ['d', 1000],
    ['e', 1100],
  ])
})
