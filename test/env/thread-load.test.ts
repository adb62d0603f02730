import { expect, it } from 'vitest'
import { machineClock } from '../../src/base/node-clock.ts'
import { readThreadTimes, ThreadLoad, type ThreadTimes } from '../../src/env/thread-load.ts'

function open() {
  const state = { nowMs: 1000, times: { ranMs: 500, waitedMs: 80 } as ThreadTimes }
  const clock = { monotonicMs: () => state.nowMs, wallMs: () => state.nowMs }
  return { state, load: new ThreadLoad(clock, () => state.times) }
}

it('is the share between two looks', () => {
  const { state, load } = open()
  state.nowMs += 100
  state.times = { ranMs: 530, waitedMs: 130 }
  expect(load.look()).toEqual({ ran: 0.3, waited: 0.5 })
  state.nowMs += 50
  state.times = { ranMs: 580, waitedMs: 130 }
  expect(load.look()).toEqual({ ran: 1, waited: 0 })
})

it('keeps to shares when clocks differ a little, or no time has gone by', () => {
  const { state, load } = open()
  expect(load.look()).toEqual({ ran: 0, waited: 0 })
  state.nowMs += 100
  state.times = { ranMs: 601, waitedMs: 79 }
  expect(load.look()).toEqual({ ran: 1, waited: 0 })
})

it('reads this thread, which has run a while by now', () => {
  const before = readThreadTimes()
  expect(before.ranMs).toBeGreaterThan(0)
  const load = new ThreadLoad(machineClock)
  const endMs = performance.now() + 50
  while (performance.now() < endMs);
  const { ran, waited } = load.look()
  // Whoever else is on this machine: it ran, or it could have.
  expect(ran + waited).toBeGreaterThan(0.5)
})
