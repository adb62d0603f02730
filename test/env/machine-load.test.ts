import { expect, it } from 'vitest'
import { machineClock } from '../../src/base/node-clock.ts'
import { MachineLoad, type ProcessorTimes } from '../../src/env/machine-load.ts'

function open() {
  const state = { nowMs: 1000, times: { idleMs: 0, totalMs: 0 } as ProcessorTimes, reads: 0 }
  const clock = { monotonicMs: () => state.nowMs, wallMs: () => state.nowMs }
  const load = new MachineLoad(clock, () => {
    state.reads++
    return state.times
  })
  return { state, load }
}

it('is the share between two samples', () => {
  const { state, load } = open()
  state.times = { idleMs: 300, totalMs: 400 }
  expect(load.idleShare()).toBe(0.75)
  state.nowMs += 250
  state.times = { idleMs: 400, totalMs: 800 }
  expect(load.idleShare()).toBe(0.25)
})

it('asks the system seldom', () => {
  const { state, load } = open()
  for (let i = 0; i < 1000; i++) {
    state.nowMs++
    load.idleShare()
  }
  expect(state.reads).toBe(1 + 4)
})

it('keeps what it knew when the count stands still or goes back', () => {
  const { state, load } = open()
  state.times = { idleMs: 300, totalMs: 400 }
  expect(load.idleShare()).toBe(0.75)
  state.nowMs += 250
  expect(load.idleShare()).toBe(0.75)
  state.nowMs += 250
  state.times = { idleMs: 500, totalMs: 500 }
  expect(load.idleShare()).toBe(1)
})

it('reads this machine', () => {
  const share = new MachineLoad(machineClock).idleShare()
  expect(share).toBeGreaterThanOrEqual(0)
  expect(share).toBeLessThanOrEqual(1)
})
