import { expect, it } from 'vitest'
import { Standstill } from '../../src/peer/standstill.ts'

it('is found when the wall clock gained on the other one, and counts until then', () => {
  const standstill = new Standstill()
  expect(standstill.look(100, 1_000_000)).toBe(0)
  expect(standstill.look(200, 1_000_100)).toBe(0)
  expect(standstill.endedMs).toBe(Number.NEGATIVE_INFINITY)
  expect(standstill.gainedMs(201, 1_005_101)).toBe(5_000)
  expect(standstill.look(201, 1_005_101)).toBe(5_000)
  expect(standstill.endedMs).toBe(201)
  expect(standstill.look(301, 1_005_201)).toBe(0)
  expect(standstill.endedMs).toBe(201)
})

it('is not what clocks differ by when they are read', () => {
  const standstill = new Standstill()
  standstill.look(100.9, 1_000_000)
  expect(standstill.look(200.1, 1_000_110)).toBe(0)
  expect(standstill.look(5_000.5, 1_004_915)).toBe(0)
})

it('is not a wall clock that is set back, behind which one is found again', () => {
  const standstill = new Standstill()
  standstill.look(100, 1_000_000)
  expect(standstill.look(200, 900_000)).toBe(0)
  expect(standstill.look(300, 900_200)).toBe(100)
  expect(standstill.endedMs).toBe(300)
})
