/**
 * One history of the log, cut at every operation on the disk: before each write, sync, rename, removal
 * and truncation the machine stops, and what was not synced is lost wholly, in part, or not at all.
 * Whatever is left must open and hold everything that was acknowledged, and nothing never written.
 */
import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { DIR, entry, type Opened, open } from './harness.ts'
import { lastIndex, Model, observed, shownRegion } from './model.ts'

const SEGMENT = 4096
const REGIONS = [1, 2, 3, 4, 5, 6]
/** Everything lost, everything kept, and parts of it. */
const POLICIES = ['lost', 'kept', 1, 2] as const

class History {
  readonly model = new Model()
  readonly disk = new MemoryFileSystem()
  readonly fs: FaultyFileSystem
  opened: Opened | undefined
  rewrittenBytes = 0
  #ready = 0
  #told = 0

  constructor(stopAfter: number, freeBytes = Number.POSITIVE_INFINITY) {
    this.fs = new FaultyFileSystem(this.disk)
    this.fs.stopAfter = stopAfter
    this.fs.freeBytes = freeBytes
  }

  /** Rotation, recycling, overwriting, compaction, removal, re-creation, rewriting, a second run. */
  async run(): Promise<void> {
    await this.#open()
    for (let round = 1; round <= 28; round++) await this.#round(round)
    if (!this.#isDown()) await this.#reopen()
    for (let round = 29; round <= 44; round++) await this.#round(round)
    await this.opened!.log.close()
  }

  async #open(): Promise<void> {
    this.#told = 0
    this.opened = await open({
      fs: this.fs,
      segmentBytes: SEGMENT,
      purgeBytes: 2 * SEGMENT,
      scheduler: { schedule: (run) => run() },
    })
  }

  async #reopen(): Promise<void> {
    await this.opened!.log.close()
    await this.#open()
    for (const id of REGIONS) {
      const found = await observed(this.opened!.log, id)
      this.model.recovered(id, found === undefined ? 'absent' : shownRegion(found))
      if (found !== undefined) this.model.regions.set(id, { ...found, ready: 0 })
    }
  }

  #isDown(): boolean {
    return this.opened!.failures.length > 0
  }

  async #round(round: number): Promise<void> {
    if (this.#isDown()) return
    const { log } = this.opened!
    for (const id of [1, 2, 3]) this.#append(id, round, 1 + (round % 2), 300)
    // Regions 4 and 5 lag: a few entries early on, so that their segments must be emptied.
    if (round === 1 || round === 3) for (const id of [4, 5]) this.#append(id, round, 2, 200)
    if (round % 7 === 0) this.#append(2, round, 2, 100, 2)
    if (round % 3 === 0) for (const id of [1, 2, 3]) this.#compact(id, 2)
    if (round === 12) this.#append(6, round, 3, 500)
    if (round === 16) {
      log.remove(6)
      this.model.remove(6)
    }
    if (round === 20 || round === 36) this.#create(6, 40 + round)
    if (round === 20 || round === 37) this.#append(6, round, 1, 50)
    log.flush()
    this.model.flush()
    const { persisted } = this.opened!
    for (; this.#told < persisted.length; this.#told++) {
      this.model.persisted(...persisted[this.#told]!)
    }
    this.rewrittenBytes = log.stats().raftlog_rewritten_bytes!
    // Entries that are read to be written again come as promises.
    for (let i = 0; i < 4; i++) await Promise.resolve()
  }

  #create(id: number, index: number): void {
    const hardState = { term: 1, vote: 1, commit: index }
    this.opened!.log.create(id, index, 1, hardState)
    this.model.create(id, index, 1, hardState)
  }

  #append(id: number, round: number, count: number, size: number, back = 0): void {
    if (!this.model.regions.has(id)) this.#create(id, 5)
    const known = this.model.regions.get(id)!
    const first = Math.max(known.truncatedIndex + 1, lastIndex(known) + 1 - back)
    const made = Array.from({ length: count }, (_, i) =>
      entry(first + i, round, Buffer.alloc(size, round + i)),
    )
    const hardState = { term: round, vote: 1, commit: known.truncatedIndex }
    const readyNumber = ++this.#ready
    this.opened!.log.write({ regionId: id, readyNumber, entries: made, hardState })
    this.model.write(id, readyNumber, made, hardState)
  }

  #compact(id: number, keep: number): void {
    const known = this.model.regions.get(id)!
    const index = lastIndex(known) - keep
    if (index <= known.truncatedIndex) return
    this.opened!.log.compact(id, index)
    this.model.compact(id, index)
  }
}

/** The history up to the operation before which the machine stops. */
async function runUntil(stopAfter: number): Promise<History> {
  const history = new History(stopAfter)
  await history.run().catch((error) => {
    expect(history.fs.stopped, String(error)).toBe(true)
  })
  return history
}

function loseMemory(disk: MemoryFileSystem, policy: (typeof POLICIES)[number], at: number): void {
  if (policy === 'lost') disk.crash()
  else if (policy !== 'kept') disk.crash(seededRandom(policy * 1_000_003 + at))
}

describe('a power loss at every operation on the disk', () => {
  it('loses nothing that was acknowledged', async () => {
    const whole = await runUntil(Number.POSITIVE_INFINITY)
    const { counts, operations } = whole.fs
    expect(whole.rewrittenBytes).toBeGreaterThan(0)
    expect(counts.remove).toBeGreaterThan(2)
    expect(counts.rename).toBeGreaterThan(4)
    expect(counts.truncate).toBeGreaterThan(5)
    expect(operations).toBeGreaterThan(150)
    for (let at = 0; at < operations; at++) {
      for (const policy of POLICIES) await checkCrash(at, policy)
    }
  })
})

/** Bytes between two sizes of the disk that are tried: prime, so that all kinds of places are met. */
const QUOTA_STEP = 10_007

describe('a disk that is full at any byte', () => {
  it('loses nothing that was acknowledged, whether the power goes too or not', async () => {
    const codes = new Set<string>()
    let quota = 0
    for (; ; quota += QUOTA_STEP) {
      const history = new History(Number.POSITIVE_INFINITY, quota)
      // The end of a run cannot write either: close, or the opening of the second run, throws.
      const ended = await history.run().catch((error: unknown) => error)
      const failure = history.opened?.failures[0] ?? ended
      if (failure === undefined) break
      codes.add((failure as { code: string }).code)
      const policy = POLICIES[(quota / QUOTA_STEP) % POLICIES.length]!
      loseMemory(history.disk, policy, quota)
      await checkWhatIsLeft(history, `full after ${quota} bytes, ${policy}`)
    }
    expect(quota).toBeGreaterThan(40 * QUOTA_STEP)
    expect([...codes]).toEqual(expect.arrayContaining(['DiskFull']))
  })
})

async function checkCrash(at: number, policy: (typeof POLICIES)[number]): Promise<void> {
  const history = await runUntil(at)
  expect(history.fs.stopped).toBe(true)
  loseMemory(history.disk, policy, at)
  await checkWhatIsLeft(history, `stopped before operation ${at}, ${policy}`)
}

async function checkWhatIsLeft({ model, disk }: History, where: string): Promise<void> {
  // Read from a copy: the old life's locks and handles are gone with the machine.
  const left = disk.afterProcess()
  const first = await open({ fs: left, segmentBytes: SEGMENT }).catch((error: Error) => {
    throw new Error(`${where}: ${error.message}; files ${left.list(DIR).join(' ')}`)
  })
  for (const id of REGIONS) {
    const found = await observed(first.log, id)
    try {
      model.recovered(id, found === undefined ? 'absent' : shownRegion(found))
    } catch (error) {
      throw new Error(`${where}: ${(error as Error).message}`)
    }
  }
  // It may have been told to others by now: losing the power does not take it back.
  left.crash()
  const second = await open({ fs: left, segmentBytes: SEGMENT })
  for (const id of REGIONS) {
    const found = await observed(second.log, id)
    model.recovered(id, found === undefined ? 'absent' : shownRegion(found))
  }
  await second.log.close()
}
