import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { KIB, MIB } from '../../src/base/limits.ts'
import { machineLater } from '../../src/base/node-clock.ts'
import { RateLimit, restRatio } from '../../src/store/rate-limit.ts'

const clock = { monotonicMs: () => Date.now(), wallMs: () => Date.now() }

beforeEach(() => {
  vi.useFakeTimers({ now: 0 })
})

afterEach(() => {
  vi.useRealTimers()
})

it('lets bytes through at the rate, in the order of their coming, and saves up nothing', async () => {
  const rate = new RateLimit(1000, clock, machineLater, () => 0)
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

it('lets all go at once when it stops, and leaves no timer', async () => {
  const rate = new RateLimit(1, clock, machineLater, () => 0)
  const waits = [100, 100, 100].map((bytes) => rate.take(bytes))
  expect(vi.getTimerCount()).toBe(2)
  rate.stop()
  expect(vi.getTimerCount()).toBe(0)
  await Promise.all([...waits, rate.take(100)])
})

/** When the second of two pieces may be moved, if the first took so long. */
async function restAfter(workMs: number, bytes: number): Promise<number> {
  const rate = new RateLimit(1e9, clock, machineLater, () => 4)
  const grantedAt = async (): Promise<number> => {
    const granted = rate.take(bytes).then(() => Date.now())
    await vi.advanceTimersByTimeAsync(1000)
    return granted
  }
  const first = await grantedAt()
  vi.setSystemTime(first + workMs)
  return (await grantedAt()) - (first + workMs)
}

it('rests after a piece, by the time that it took', async () => {
  expect(await restAfter(3, MIB)).toBe(12)
})

it('rests no longer than 12 MiB a second bear, however slow the machine is', async () => {
  expect(await restAfter(20, 128 * KIB)).toBe(Math.floor((1000 * 128) / (12 * 1024)))
})

it('does not take idle time for work', async () => {
  const rate = new RateLimit(1e9, clock, machineLater, () => 4)
  await rate.take(1)
  vi.setSystemTime(Date.now() + 60_000)
  await rate.take(1)
  expect(vi.getTimerCount()).toBe(0)
})

it('needs no rest with idle processors, and the more the fewer are idle', () => {
  expect(restRatio(1)).toBe(0)
  expect(restRatio(0.6)).toBe(0)
  expect(restRatio(0.45)).toBeCloseTo(4)
  expect(restRatio(0.3)).toBe(8)
  expect(restRatio(0)).toBe(8)
})
