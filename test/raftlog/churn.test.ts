/** Space over many generations of segments, with regions that lag, on a disk in memory. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { RaftLog } from '../../src/raftlog/port.ts'
import { DIR, entry, HARD, type Opened, open, readAll } from './harness.ts'

const SEGMENT = 16 * 1024
const PURGE = 8 * SEGMENT
const ACTIVE = 10
const AT_REST = 190
const LARGE = [301, 302]
const KEPT = 20
/** What the log reckons an entry to cost besides its frame. */
const OVERHEAD = 64
const ROUNDS_TO_PURGE = 30
const AHEAD = 256 * 1024

function dataOf(region: number, index: number): Buffer {
  return Buffer.alloc(100 + ((region * 7 + index) % 150), (region * 31 + index) & 0xff)
}

/** What a store would do, and what it knows of its regions. */
class Churn {
  readonly disk = new MemoryFileSystem()
  readonly #random = seededRandom(7)
  readonly #firsts = new Map<number, number>()
  readonly #lives: number[] = []
  #pending: (() => void)[] = []
  #opened: Opened | undefined
  #ready = 0
  /** Disk use against what it may be. */
  spaceMax = 0
  segments = 0
  payloadBytes = 0
  asked = 0

  get log(): RaftLog {
    return this.#opened!.log
  }

  async start(): Promise<void> {
    this.#opened = await open({
      fs: this.disk,
      segmentBytes: SEGMENT,
      purgeBytes: PURGE,
      cacheBytes: 8 * 1024,
      scheduler: { schedule: (run) => void this.#pending.push(run) },
    })
  }

  async crash(): Promise<void> {
    this.disk.crash(this.#random)
    await this.start()
  }

  append(region: number): void {
    const { log } = this
    if (log.state(region) === undefined) {
      log.create(region, 0, 0, HARD)
      this.#firsts.set(region, 1)
    }
    const index = log.state(region)!.lastIndex + 1
    const one = entry(index, 1, dataOf(region, index))
    const hardState = { term: 1, vote: 1, commit: index - 1 }
    log.write({ regionId: region, readyNumber: ++this.#ready, entries: [one], hardState })
    this.payloadBytes += one.data.length
  }

  compact(region: number, index: number): void {
    this.log.compact(region, index)
    this.#firsts.set(region, index + 1)
  }

  async endRound(): Promise<void> {
    this.log.flush()
    for (const { regionId, index } of this.log.regionsToCompact()) {
      this.compact(regionId, index)
      this.asked++
    }
    const pending = this.#pending
    this.#pending = []
    for (const run of pending) run()
    // The answers of the reads above, which come as promises.
    for (let i = 0; i < 4; i++) await Promise.resolve()
    expect(this.#opened!.failures).toEqual([])
    const stats = this.log.stats()
    const live = stats.raftlog_live_bytes! + stats.raftlog_entries! * OVERHEAD
    // What a compaction sets free leaves the disk within the next few segments.
    this.#lives.push(live)
    if (this.#lives.length > ROUNDS_TO_PURGE) this.#lives.shift()
    const space = stats.raftlog_disk_bytes! / Math.max(PURGE, 2 * Math.max(...this.#lives))
    this.spaceMax = Math.max(this.spaceMax, space)
    this.segments = stats.raftlog_segments_purged!
  }

  /** Files as the disk lists them, those kept to be written over included. */
  fileBytes(): number {
    const names = this.disk.list(DIR)
    return names.reduce((sum, name) => sum + this.disk.bytes(join(DIR, name)).length, 0)
  }

  async check(): Promise<void> {
    const { raftlog_disk_bytes: known } = this.log.stats()
    // Files that are on their way out, written over later, or written ahead are not in the count.
    expect(this.fileBytes()).toBeLessThan(known! + 4 * SEGMENT + AHEAD)
    for (const [region, first] of this.#firsts) {
      const read = readAll(this.log, region)
      let done = false
      const found = read.finally(() => {
        done = true
      })
      while (!done) {
        for (const run of this.#pending.splice(0)) run()
        await Promise.resolve()
      }
      const entries = await found
      expect(this.log.state(region)!.firstIndex).toBe(first)
      expect(entries[0]?.index ?? first).toBe(first)
      for (const one of entries) {
        expect(dataOf(region, one.index).equals(one.data), `${region}/${one.index}`).toBe(true)
      }
    }
  }
}

describe('churn', () => {
  it('keeps to its space over 200 generations of segments though most regions lag', async () => {
    const churn = new Churn()
    await churn.start()
    for (let region = 11; region <= 10 + AT_REST; region++) churn.append(region)
    await churn.endRound()
    let round = 0
    let lives = 1
    let purged = 0
    let written = 0
    const endLife = (): void => {
      purged += churn.segments
      written += churn.log.stats().raftlog_written_bytes!
    }
    while (purged + churn.segments < 200) {
      round++
      for (let region = 1; region <= ACTIVE; region++) {
        churn.append(region)
        const last = churn.log.state(region)!.lastIndex
        if (last % KEPT === 0 && last > KEPT) churn.compact(region, last - KEPT)
      }
      // Those at rest get an entry now and then, and never compact; the large ones only grow.
      if (round % 10 === 0) churn.append(11 + (round % AT_REST))
      for (const region of LARGE) for (let i = 0; i < 3; i++) churn.append(region)
      await churn.endRound()
      if (round % 400 === 0) {
        await churn.check()
        endLife()
        await churn.crash()
        lives++
      }
    }
    endLife()
    await churn.check()
    expect(lives).toBeGreaterThan(1)
    expect(churn.asked).toBeGreaterThan(0)
    // Segments that are being written, being emptied, or on their way out come on top.
    expect(churn.spaceMax).toBeGreaterThan(0.9)
    expect(churn.spaceMax).toBeLessThan(1.25)
    expect(written / churn.payloadBytes).toBeLessThan(1.5)
  })
})
