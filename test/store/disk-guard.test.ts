/** When a store is short of space, whom it tells, and what becomes of its reserve. */
import { beforeEach, describe, expect, it } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import type { Logger } from '../../src/base/logger.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { DiskGuard } from '../../src/store/disk-guard.ts'

const DIR = '/store'
const RESERVE = 2 * MIB
/** So small that a store is full below 4 MiB, almost full below 8, and the margin is 1. */
const TOTAL = 64 * MIB

let fs: MemoryFileSystem
let nowMs: number
/** Free as if the reserve took nothing. */
let free: number
let told: number[]
let moved: number
let logged: string[]

beforeEach(() => {
  fs = new MemoryFileSystem()
  fs.makeDirectory(DIR)
  nowMs = 1_000_000
  free = 50 * MIB
  told = []
  moved = 0
  logged = []
})

function held(): number {
  return fs.exists(`${DIR}/reserve`) ? fs.bytes(`${DIR}/reserve`).length : 0
}

function open(reserveBytes: number | 'auto' = RESERVE): DiskGuard {
  const line = (_: object, message: string): void => void logged.push(message)
  const guard = new DiskGuard({
    dir: DIR,
    fs,
    probe: { measure: () => ({ totalBytes: TOTAL, freeBytes: free - held() }) },
    clock: { monotonicMs: () => nowMs, wallMs: () => 0 },
    logger: { ...silentLogger, info: line, warn: line } as Logger,
    reserveBytes,
  })
  guard.start({ tell: (state) => told.push(state), moveLeaders: () => moved++ })
  return guard
}

/** A guard whose reserve is whole. */
function openWhole(): DiskGuard {
  const guard = open()
  while (held() < RESERVE) guard.check()
  return guard
}

describe('the reserve', () => {
  it('grows by small steps, and its growing is no change of state', () => {
    free = 10 * MIB
    const guard = open()
    expect(held()).toBe(0)
    for (let i = 1; i <= 4; i++) {
      guard.check()
      expect(held()).toBe((i * MIB) / 4)
    }
    // 10 less the reserve leaves 8, which is not past the margin: the reserve does not get there.
    for (let i = 0; i < 20; i++) guard.check()
    expect(held()).toBe(MIB)
    expect(guard.own).toBe('normal')
    expect(logged).toEqual([])
  })

  it('is given up when the disk is full, which is no recovery', () => {
    const guard = openWhole()
    free = RESERVE + 3 * MIB
    guard.check()
    expect(guard.own).toBe('full')
    expect(held()).toBe(0)
    for (let i = 0; i < 10; i++) guard.check()
    expect(guard.own).toBe('full')
    expect(held()).toBe(0)
    free = RESERVE + 30 * MIB
    guard.check()
    expect(guard.own).toBe('normal')
    for (let i = 0; i < 10; i++) guard.check()
    expect(held()).toBe(RESERVE)
    expect(logged.map((line) => line.split(':')[0])).toEqual([
      'the disk is full',
      'the disk has room again',
    ])
  })

  it('is given up before anything is opened on a full disk', () => {
    openWhole()
    free = RESERVE + MIB
    const guard = open()
    expect(guard.own).toBe('full')
    expect(held()).toBe(0)
    expect(told).toEqual([2])
  })

  it('is not kept where it is not wanted', () => {
    openWhole()
    const guard = open(0)
    guard.check()
    expect(fs.exists(`${DIR}/reserve`)).toBe(false)
    expect(guard.stats().disk_reserve_bytes).toBe(0)
  })

  it('follows the size of the disk unless it was named, and is taken once a store has run', () => {
    const guard = open('auto')
    expect(guard.roomBytes).toBe(Math.ceil(free - 0.02 * TOTAL - 8 * MIB))
    guard.check()
    expect(held()).toBe(0)
    nowMs += 60_000
    guard.check()
    expect(held()).toBe(MIB / 4)
  })
})

describe('a store short of space', () => {
  it('tells at once and then again, moves leaders, and tells when it is over', () => {
    const guard = openWhole()
    expect(guard.tight).toBe(false)
    free = RESERVE + 6 * MIB
    guard.check()
    expect({ told, moved, tight: guard.tight, own: guard.own }).toEqual({
      told: [1],
      moved: 1,
      tight: true,
      own: 'almost-full',
    })
    for (let i = 0; i < 40; i++) {
      nowMs += 250
      guard.check()
    }
    expect(told).toEqual([1, 1, 1, 1])
    expect(moved).toBe(11)
    free = RESERVE + 8.5 * MIB
    guard.check()
    expect(guard.own).toBe('almost-full')
    free = RESERVE + 9 * MIB
    guard.check()
    expect(guard.own).toBe('normal')
    expect(told.at(-1)).toBe(0)
    expect(guard.tight).toBe(false)
  })

  it('goes on with what it knew when the disk does not answer', () => {
    const guard = open()
    fs.exists = () => {
      throw Object.assign(new Error('EIO: bad'), { code: 'EIO' })
    }
    guard.check()
    guard.check()
    expect(guard.own).toBe('normal')
    expect(logged).toEqual(['cannot look at the disk, or keep its reserve'])
  })
})

describe('other stores', () => {
  it('are as they said, until they say otherwise or are silent for long', () => {
    const guard = open()
    guard.onTold(2, 1)
    guard.onTold(3, 2)
    guard.onTold(4, 9)
    expect([guard.of(2), guard.of(3), guard.of(4)]).toEqual(['almost-full', 'full', 'normal'])
    expect(guard.tight).toBe(true)
    guard.onTold(3, 0)
    expect(guard.of(3)).toBe('normal')
    expect(guard.tight).toBe(true)
    nowMs += 12_001
    guard.check()
    expect(guard.of(2)).toBe('normal')
    expect(guard.tight).toBe(false)
    expect(told).toEqual([])
  })
})
