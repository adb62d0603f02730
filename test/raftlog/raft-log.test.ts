import { describe, expect, it } from 'vitest'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { Entry } from '../../src/raft/types.ts'
import { DIR, entries, entry, fetch, HARD, open, readAll, shown } from './harness.ts'

describe('raft log', () => {
  it('keeps entries and state over a restart', async () => {
    const first = await open()
    first.log.create(7, 5, 5, HARD)
    first.log.write({
      regionId: 7,
      readyNumber: 1,
      entries: entries(6, 8, 6),
      hardState: { term: 6, vote: 3, commit: 6 },
    })
    first.log.write({
      regionId: 7,
      readyNumber: 2,
      entries: entries(9, 9, 7),
      hardState: undefined,
    })
    first.log.flush()
    expect(first.persisted).toEqual([[7, 2]])
    await first.log.close()

    const { log } = await open({ fs: first.fs })
    expect(log.regions()).toEqual([7])
    expect(log.state(7)).toEqual({
      hardState: { term: 6, vote: 3, commit: 6 },
      firstIndex: 6,
      lastIndex: 9,
    })
    expect(log.term(7, 5)).toBe(5)
    expect(log.term(7, 8)).toBe(6)
    expect(log.term(7, 9)).toBe(7)
    expect(shown(await readAll(log, 7))).toBe('6@6 7@6 8@6 9@7')
    await log.close()
  })

  it('answers terms and ranges only where it has them', async () => {
    const { log } = await open()
    log.create(1, 5, 5, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(6, 9, 5), hardState: undefined })
    log.compact(1, 7)
    expect([6, 7, 8, 9, 10].map((index) => log.term(1, index))).toEqual([
      'compacted',
      5,
      5,
      5,
      'unavailable',
    ])
    expect(log.term(2, 1)).toBe('unavailable')
    expect(log.entries(1, 7, 9, 100)).toBe('compacted')
    expect(log.entries(1, 8, 11, 100)).toBe('unavailable')
    expect(shown(log.entries(1, 8, 10, 100))).toBe('8@5 9@5')
    expect(log.entries(1, 8, 8, 100)).toEqual([])
    await log.close()
  })

  it('cuts a range to its size, but never to nothing', async () => {
    const { log } = await open()
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 5, 1, 100), hardState: undefined })
    expect(shown(log.entries(1, 1, 6, 299))).toBe('1@1 2@1')
    expect(shown(log.entries(1, 1, 6, 300))).toBe('1@1 2@1 3@1')
    expect(shown(log.entries(1, 2, 6, 0))).toBe('2@1')
    await log.close()
  })

  it('never brings an overwritten tail back', async () => {
    const first = await open()
    first.log.create(1, 0, 0, HARD)
    const write = (readyNumber: number, from: number, to: number, term: number) =>
      first.log.write({
        regionId: 1,
        readyNumber,
        entries: entries(from, to, term),
        hardState: undefined,
      })
    write(1, 1, 10, 1)
    first.log.flush()
    write(2, 4, 6, 2)
    expect(first.log.state(1)!.lastIndex).toBe(6)
    expect(first.log.term(1, 7)).toBe('unavailable')
    expect(shown(first.log.entries(1, 1, 7, 1e6))).toBe('1@1 2@1 3@1 4@2 5@2 6@2')
    write(3, 7, 7, 3)
    first.log.flush()
    await first.log.close()
    const { log } = await open({ fs: first.fs })
    expect(shown(await readAll(log, 1))).toBe('1@1 2@1 3@1 4@2 5@2 6@2 7@3')
    await log.close()
  })

  it('replaces a region as a whole with the first write of its new life', async () => {
    const first = await open()
    const { log } = first
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 9, 1), hardState: undefined })
    log.flush()
    log.create(1, 100, 8, { term: 8, vote: 2, commit: 100 })
    log.flush()
    const before = await open({ fs: (first.fs as MemoryFileSystem).clone() })
    expect(before.log.state(1)).toMatchObject({ firstIndex: 1, lastIndex: 9 })
    log.write({ regionId: 1, readyNumber: 2, entries: entries(101, 102, 8), hardState: undefined })
    log.flush()
    const after = await open({ fs: (first.fs as MemoryFileSystem).clone() })
    expect(after.log.state(1)).toEqual({
      hardState: { term: 8, vote: 2, commit: 100 },
      firstIndex: 101,
      lastIndex: 102,
    })
    expect(after.log.term(1, 100)).toBe(8)
    for (const one of [first, before, after]) await one.log.close()
  })

  it('forgets a removed region, also after a restart', async () => {
    const first = await open()
    first.log.create(1, 0, 0, HARD)
    first.log.create(2, 0, 0, HARD)
    for (const regionId of [1, 2]) {
      first.log.write({ regionId, readyNumber: 1, entries: entries(1, 3, 1), hardState: HARD })
    }
    first.log.flush()
    first.log.remove(1)
    expect(first.log.regions()).toEqual([2])
    first.log.flush()
    await first.log.close()
    const { log } = await open({ fs: first.fs })
    expect(log.regions()).toEqual([2])
    expect(log.state(1)).toBeUndefined()
    await log.close()
  })

  it('does not tell a new life about the old one’s readies', async () => {
    const { log, persisted } = await open()
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 500, entries: entries(1, 3, 1), hardState: HARD })
    log.remove(1)
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 1, 2), hardState: HARD })
    log.flush()
    expect(persisted).toEqual([[1, 1]])
    expect(shown(await readAll(log, 1))).toBe('1@2')
    await log.close()
  })

  it('refuses what would break the log', async () => {
    const { log } = await open()
    log.create(1, 5, 1, HARD)
    const write = (from: number, to: number, readyNumber = 1) =>
      log.write({ regionId: 1, readyNumber, entries: entries(from, to, 1), hardState: undefined })
    expect(() => write(7, 7)).toThrow(/follow the log/)
    expect(() => write(5, 6)).toThrow(/follow the log/)
    write(6, 6)
    expect(() => write(7, 7, 1)).toThrow(/ready numbers/)
    expect(() => log.compact(1, 9)).toThrow(/exist/)
    await log.close()
  })
})

describe('entry cache', () => {
  it('fetches what was evicted, once for each fetch', async () => {
    const { log } = await open()
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 9, 1), hardState: undefined })
    log.flush()
    log.evict(1, 6)
    expect(shown(log.entries(1, 7, 10, 1e6))).toBe('7@1 8@1 9@1')
    expect(log.entries(1, 2, 10, 1e6)).toBe('temporarily-unavailable')
    await fetch(log, 1, 2, 10)
    expect(shown(log.entries(1, 2, 10, 1e6))).toBe('2@1 3@1 4@1 5@1 6@1 7@1 8@1 9@1')
    expect(log.entries(1, 2, 10, 1e6)).toBe('temporarily-unavailable')
    await log.close()
  })

  it('never drops what is not persisted', async () => {
    const { log } = await open({ cacheBytes: 0 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 9, 1, 500), hardState: undefined })
    log.evict(1, 9)
    expect(log.stats().raftlog_cache_entries).toBe(9)
    expect(shown(log.entries(1, 1, 10, 1e6))).toMatch(/^1@1 .* 9@1$/)
    log.flush()
    expect(log.stats().raftlog_cache_entries).toBe(0)
    expect(log.stats().raftlog_cache_bytes).toBe(0)
    await log.close()
  })

  it('drops the oldest of all regions first', async () => {
    const { log } = await open({ cacheBytes: 8 * (1000 + 160) })
    for (let region = 1; region <= 4; region++) log.create(region, 0, 0, HARD)
    for (let index = 1; index <= 4; index++) {
      for (let regionId = 1; regionId <= 4; regionId++) {
        const write = { regionId, readyNumber: index, hardState: undefined }
        log.write({ ...write, entries: entries(index, index, 1, 1000) })
      }
      log.flush()
    }
    for (let region = 1; region <= 4; region++) {
      expect(log.entries(region, 2, 5, 1e6)).toBe('temporarily-unavailable')
      expect(shown(log.entries(region, 3, 5, 1e6))).toBe('3@1 4@1')
    }
    await log.close()
  })

  it('copies a small view of a large buffer', async () => {
    const { log } = await open()
    const frame = Buffer.alloc(1 << 20, 'x')
    log.create(1, 0, 0, HARD)
    const data = frame.subarray(5, 105)
    log.write({ regionId: 1, readyNumber: 1, entries: [entry(1, 1, data)], hardState: undefined })
    const kept = (log.entries(1, 1, 2, 1e6) as Entry[])[0]!
    expect(kept.data.buffer).not.toBe(frame.buffer)
    expect(Buffer.compare(kept.data, data)).toBe(0)
    await log.close()
  })

  it('keeps few fetched answers that nobody takes, the newest for certain', async () => {
    const { log } = await open({ cacheBytes: 0 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 99, 1), hardState: undefined })
    log.flush()
    for (let low = 1; low <= 99; low++) await fetch(log, 1, low, low + 1)
    let kept = 0
    for (let low = 99; low >= 1; low--) {
      if (log.entries(1, low, low + 1, 1e6) === 'temporarily-unavailable') continue
      kept++
      expect(low).toBeGreaterThan(99 - 64)
    }
    expect(kept).toBe(64)
    await log.close()
  })

  it('drops a fetched answer when its entries are replaced', async () => {
    const { log } = await open({ cacheBytes: 0 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 9, 1), hardState: undefined })
    log.flush()
    await fetch(log, 1, 2, 10)
    log.write({ regionId: 1, readyNumber: 2, entries: entries(5, 9, 2), hardState: undefined })
    log.flush()
    expect(log.entries(1, 2, 10, 1e6)).toBe('temporarily-unavailable')
    await fetch(log, 1, 2, 10)
    expect(shown(log.entries(1, 2, 10, 1e6))).toBe('2@1 3@1 4@1 5@2 6@2 7@2 8@2 9@2')
    await log.close()
  })
})

describe('segments', () => {
  it('are used again when they are dead, and never show what they held before', async () => {
    const disk = new MemoryFileSystem()
    const { log } = await open({ fs: disk, segmentBytes: 8192 })
    log.create(1, 0, 0, HARD)
    for (let index = 1; index <= 200; index++) {
      const write = { regionId: 1, readyNumber: index, hardState: undefined }
      log.write({ ...write, entries: entries(index, index, 1, 400) })
      if (index > 5) log.compact(1, index - 5)
      log.flush()
      const copy = disk.clone()
      copy.crash()
      const again = await open({ fs: copy, segmentBytes: 8192 })
      expect(again.log.state(1)).toEqual(log.state(1))
      expect(again.log.stats().raftlog_entries).toBe(log.stats().raftlog_entries)
      await again.log.close()
    }
    expect(log.stats().raftlog_segments_purged).toBeGreaterThan(8)
    expect(disk.list(DIR).length).toBeLessThanOrEqual(4)
    await log.close()
  })

  it('are not held back by a region that was created anew and never written', async () => {
    const { log } = await open({ segmentBytes: 4096 })
    const write = (regionId: number, index: number) => {
      const made = entries(index, index, 1, 300)
      log.write({ regionId, readyNumber: index, entries: made, hardState: undefined })
      log.flush()
    }
    log.create(1, 0, 0, HARD)
    log.create(2, 0, 0, HARD)
    write(2, 1)
    log.compact(2, 1)
    log.create(2, 50, 1, HARD)
    log.create(2, 60, 1, HARD)
    for (let index = 1; index <= 60; index++) {
      write(1, index)
      if (index > 3) log.compact(1, index - 3)
    }
    log.flush()
    expect(log.stats().raftlog_segments).toBeLessThanOrEqual(3)
    await log.close()
  })
})
