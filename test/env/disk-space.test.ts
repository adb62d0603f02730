import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { GIB, MIB } from '../../src/base/limits.ts'
import {
  type DiskLimits,
  DiskSpace,
  defaultReserveBytes,
  limitsFor,
} from '../../src/env/disk-space.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { nodeDiskProbe, nodeFileSystem } from '../../src/env/node-fs.ts'
import { RESERVE_FILE, SpaceReserve } from '../../src/env/space-reserve.ts'

const LIMITS: DiskLimits = { almostFullBytes: 200, fullBytes: 100, marginBytes: 20 }
const TOTAL = 1000

function states(limits: DiskLimits, frees: readonly number[]): string[] {
  const disk = new DiskSpace(limits)
  return frees.map((freeBytes) => {
    const told = disk.observe({ totalBytes: TOTAL, freeBytes })
    return told === undefined ? '.' : told
  })
}

describe('disk space', () => {
  it('gets worse at once and better past a margin', () => {
    const frees = [500, 199, 200, 219, 220, 99, 100, 119, 120, 99, 500]
    expect(states(LIMITS, frees)).toEqual([
      '.',
      'almost-full',
      '.',
      '.',
      'normal',
      'full',
      '.',
      '.',
      'almost-full',
      'full',
      'normal',
    ])
  })

  it('does not swing on a disk at the edge', () => {
    const edge = Array.from({ length: 100 }, (_, i) => 100 + (i % 2 === 0 ? -1 : 15))
    expect(states(LIMITS, edge).filter((state) => state !== '.')).toEqual(['full'])
  })

  it('always is at least as bad as free space says, and no worse than a margin explains', () => {
    const rank = { normal: 0, 'almost-full': 1, full: 2 }
    const plain = (free: number) => (free < 100 ? 2 : free < 200 ? 1 : 0)
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 60 }), (frees) => {
        const disk = new DiskSpace(LIMITS)
        for (const freeBytes of frees) {
          const before = disk.state
          const told = disk.observe({ totalBytes: TOTAL, freeBytes })
          expect(told === undefined).toBe(disk.state === before)
          expect(rank[disk.state]).toBeGreaterThanOrEqual(plain(freeBytes))
          expect(rank[disk.state]).toBeLessThanOrEqual(Math.max(plain(freeBytes - 20), 0))
        }
      }),
    )
  })

  it('ignores figures that make no sense', () => {
    const disk = new DiskSpace(LIMITS)
    for (const freeBytes of [Number.NaN, -1, TOTAL + 1]) {
      expect(disk.observe({ totalBytes: TOTAL, freeBytes })).toBeUndefined()
    }
    expect(disk).toMatchObject({ state: 'normal', freeBytes: undefined })
  })

  it('has limits for every disk, in order', () => {
    expect(defaultReserveBytes(10 * 1024 * GIB)).toBe(256 * MIB)
    expect(defaultReserveBytes(10 * GIB)).toBe(Math.floor(0.2 * GIB))
    for (const reserve of [0, 10 * MIB, GIB, 5 * GIB]) {
      const limits = limitsFor(reserve, 100 * GIB)
      expect(limits.almostFullBytes).toBeGreaterThan(limits.fullBytes + limits.marginBytes)
      expect(limits.fullBytes).toBeGreaterThanOrEqual(256 * MIB)
    }
    // Most of a small disk can be used.
    expect(limitsFor(MIB, 64 * MIB)).toEqual({
      almostFullBytes: 8 * MIB,
      fullBytes: 4 * MIB,
      marginBytes: MIB,
    })
  })
})

describe('space reserve', () => {
  const DIR = '/store'
  const probe = (freeBytes: number) => ({ measure: () => ({ totalBytes: 1e12, freeBytes }) })

  function memory(freeBytes: number) {
    const fs = new MemoryFileSystem()
    fs.makeDirectory(DIR)
    return { fs, reserve: new SpaceReserve(fs, probe(freeBytes), DIR) }
  }

  it('holds, shrinks, grows and gives back', () => {
    const { fs, reserve } = memory(1e11)
    expect(reserve.heldBytes()).toBe(0)
    expect(reserve.release()).toBe(0)
    expect(reserve.hold(3 * MIB + 5, 0)).toBe(3 * MIB + 5)
    expect(reserve.hold(MIB, 0)).toBe(MIB)
    expect(reserve.hold(2 * MIB, 0)).toBe(2 * MIB)
    expect(reserve.heldBytes()).toBe(2 * MIB)
    expect(reserve.release()).toBe(2 * MIB)
    expect(fs.list(DIR)).toEqual([])
  })

  it('grows in steps, makes up for what a crash took, and wants no empty file', () => {
    const { fs, reserve } = memory(1e11)
    const sizes = [1, 2, 3, 4].map(() => reserve.hold(3 * MIB, 0, MIB))
    expect(sizes).toEqual([MIB, 2 * MIB, 3 * MIB, 3 * MIB])
    fs.syncDirectory(DIR)
    fs.crash()
    expect(reserve.heldBytes()).toBe(0)
    expect(reserve.hold(2 * MIB, 0)).toBe(2 * MIB)
    expect(reserve.hold(0, 0)).toBe(0)
    expect(fs.list(DIR)).toEqual([])
  })

  it('does not take the last space', () => {
    expect(memory(10 * MIB).reserve.hold(5 * MIB, 9 * MIB)).toBe(5 * MIB)
    expect(memory(10 * MIB).reserve.hold(5 * MIB, 10 * MIB)).toBe(0)
  })

  it('stops where the disk is full, and reports other errors', () => {
    const inner = new MemoryFileSystem()
    inner.makeDirectory(DIR)
    const fs = new FaultyFileSystem(inner)
    fs.freeBytes = 2.5 * MIB
    expect(new SpaceReserve(fs, probe(1e11), DIR).hold(8 * MIB, 0)).toBe(2 * MIB)
    fs.freeBytes = 1e9
    fs.failOnce('write', 'EIO')
    expect(() => new SpaceReserve(fs, probe(1e11), DIR).hold(8 * MIB, 0)).toThrow('EIO')
  })

  it('really takes space on the machine’s own disk', () => {
    const dir = mkdtempSync(join(tmpdir(), 'polyraft-reserve-'))
    try {
      const { totalBytes, freeBytes } = nodeDiskProbe.measure(dir)
      expect(freeBytes).toBeGreaterThan(0)
      expect(freeBytes).toBeLessThanOrEqual(totalBytes)
      const reserve = new SpaceReserve(nodeFileSystem, nodeDiskProbe, dir)
      expect(reserve.hold(4 * MIB, 0)).toBe(4 * MIB)
      const { blocks, size } = statSync(join(dir, RESERVE_FILE))
      expect(blocks * 512).toBeGreaterThanOrEqual(size)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  })
})
