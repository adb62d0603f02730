/** The offline tools: what a scan finds, and that a cut leaves a log which opens with a true prefix. */
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { applyRepair, planCut, planTailCut } from '../../src/raftlog/repair.ts'
import { scanLog } from '../../src/raftlog/scan.ts'
import { InlineSink, type SinkEvents } from '../../src/raftlog/stream-sink.ts'
import type { StreamLocation } from '../../src/raftlog/stream-writer.ts'
import { DIR, entries, HARD, open, readAll, shown } from './harness.ts'

/** Two runs: one with two streams, one with three. Regions 1 to 3, entries of 300 bytes. */
async function twoRuns(): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem()
  let next = 1
  for (const writers of [2, 3]) {
    const { log } = await open({ fs: disk, segmentBytes: 4096, ...inlineStreams(disk, writers) })
    for (let id = 1; id <= 3; id++) if (log.state(id) === undefined) log.create(id, 0, 0, HARD)
    for (const end = next + 20; next < end; next++) {
      for (let id = 1; id <= 3; id++) {
        const hardState = { term: 1, vote: id, commit: next - 1 }
        const one = entries(next, next, 1, 300)
        log.write({ regionId: id, readyNumber: next, entries: one, hardState })
      }
      log.flush()
    }
    await log.close()
  }
  return disk
}

function inlineStreams(disk: MemoryFileSystem, writers: number) {
  return {
    writers,
    openSink: (at: StreamLocation, events: SinkEvents) => new InlineSink(disk, at, events),
  }
}

function flip(disk: MemoryFileSystem, name: string, at: number): MemoryFileSystem {
  const copy = disk.clone()
  const bytes = copy.bytes(join(DIR, name))
  bytes[at]! ^= 0x20
  copy.plant(join(DIR, name), bytes)
  return copy
}

async function contents(disk: MemoryFileSystem): Promise<Map<number, string>> {
  const { log } = await open({ fs: disk, segmentBytes: 4096 })
  const found = new Map<number, string>()
  for (const id of log.regions()) found.set(id, shown(await readAll(log, id)))
  await log.close()
  return found
}

function segments(disk: MemoryFileSystem): string[] {
  return disk.list(DIR).filter((name) => name.endsWith('.log'))
}

describe('a scan', () => {
  it('finds nothing in a whole log, and all that is in it', async () => {
    const disk = await twoRuns()
    let blocks = 0
    const scan = scanLog(disk, DIR, { onBlock: () => blocks++ })
    expect(scan).toMatchObject({ damages: [], tails: [], unborn: [], brokenRegions: [], blocks })
    expect(scan.segments.map((each) => basename(each.path))).toEqual(segments(disk))
    expect(scan.segments.every((each) => each.end === each.bytes)).toBe(true)
    expect([...scan.regions.keys()].sort()).toEqual([1, 2, 3])
    expect(scan.regions.get(2)).toMatchObject({ first: 1, last: 40 })
  })

  it('finds every damage and goes on behind it', async () => {
    const disk = await twoRuns()
    const [first, second] = segments(disk)
    const twice = flip(flip(disk, first!, 400), second!, 2000)
    const scan = scanLog(twice, DIR)
    expect(scan.damages.map((each) => basename(each.path))).toEqual([first, second])
    expect(scan.damages[0]!.offset).toBeLessThanOrEqual(400)
    const whole = scanLog(disk, DIR)
    expect(scan.blocks).toBe(whole.blocks - 2)
  })

  it('tells a segment that is missing, renamed, or without its header', async () => {
    const disk = await twoRuns()
    const [first, second, third] = segments(disk)
    const missing = disk.clone()
    missing.remove(join(DIR, second!))
    expect(scanLog(missing, DIR).damages[0]).toMatchObject({ path: join(DIR, third!), offset: 0 })
    const renamed = disk.clone()
    renamed.plant(join(DIR, second!), disk.bytes(join(DIR, first!)))
    expect(scanLog(renamed, DIR).damages[0]!.why).toContain('renamed')
    expect(scanLog(flip(disk, second!, 9), DIR).damages[0]!.why).toContain('header is damaged')
  })

  it('changes nothing', async () => {
    const disk = flip(await twoRuns(), '000-000000000001.log', 500)
    const before = disk.list(DIR).map((name) => disk.bytes(join(DIR, name)).toString('hex'))
    scanLog(disk, DIR)
    expect(disk.list(DIR).map((name) => disk.bytes(join(DIR, name)).toString('hex'))).toEqual(
      before,
    )
  })
})

describe('a cut', () => {
  it('of a torn tail loses nothing', async () => {
    const disk = await twoRuns()
    const all = await contents(disk.clone())
    const newest = segments(disk).at(-1)!
    const bytes = disk.bytes(join(DIR, newest))
    disk.plant(join(DIR, newest), Buffer.concat([bytes, Buffer.alloc(100, 7)]))
    const scan = scanLog(disk, DIR)
    expect(scan).toMatchObject({ damages: [], tails: [{ offset: bytes.length, torn: 100 }] })
    const backup = applyRepair(disk, DIR, planTailCut(scan))
    expect(disk.bytes(join(DIR, newest))).toEqual(bytes)
    expect(disk.bytes(join(backup, newest))).toHaveLength(bytes.length + 100)
    expect(await contents(disk)).toEqual(all)
  })

  it('anywhere leaves a log that opens with a prefix of every region, and a copy', async () => {
    const disk = await twoRuns()
    const all = await contents(disk.clone())
    for (const name of segments(disk)) {
      const original = disk.bytes(join(DIR, name))
      for (let at = 3; at < original.length; at += 97) {
        const damaged = flip(disk, name, at)
        const scan = scanLog(damaged, DIR)
        if (scan.damages.length === 0) continue
        const plan = planCut(damaged, DIR, scan, scan.damages[0]!)
        const backup = applyRepair(damaged, DIR, plan)
        expect(damaged.list(backup)).toEqual(plan.cuts.map(({ path }) => basename(path)).sort())
        if (plan.blocksLost > 0) expect(plan.losses).not.toEqual([])
        const left = await contents(damaged)
        for (const [id, text] of all) {
          const now = left.get(id) ?? ''
          expect(`${text} `.startsWith(now === '' ? '' : `${now} `)).toBe(true)
        }
      }
    }
  })

  it('is refused where the log would not hold a region any more', async () => {
    const disk = new MemoryFileSystem()
    const { log } = await open({ fs: disk, segmentBytes: 4096 })
    log.create(1, 0, 0, HARD)
    for (let index = 1; index <= 60; index++) {
      const one = entries(index, index, 1, 300)
      log.write({ regionId: 1, readyNumber: index, entries: one, hardState: undefined })
      if (index % 10 === 0 && index > 20) log.compact(1, index - 20)
      log.flush()
    }
    await log.close()
    const [oldest] = segments(disk)
    let refused = 0
    const { length } = disk.bytes(join(DIR, oldest!))
    for (let at = 60; at < length; at += 300) {
      const damaged = flip(disk, oldest!, at)
      const scan = scanLog(damaged, DIR)
      try {
        applyRepair(damaged, DIR, planCut(damaged, DIR, scan, scan.damages[0]!))
        await contents(damaged)
      } catch (error) {
        expect((error as Error).message).toMatch(/would no longer hold all of region 1/)
        refused++
      }
    }
    expect(refused).toBeGreaterThan(2)
  })

  it('is refused where there is damage before it', async () => {
    const disk = await twoRuns()
    const [first, second] = segments(disk)
    const scan = scanLog(flip(flip(disk, first!, 400), second!, 2000), DIR)
    const twice = flip(flip(disk, first!, 400), second!, 2000)
    expect(() => planCut(twice, DIR, scan, scan.damages[1]!)).toThrow(/cut there/)
  })
})
