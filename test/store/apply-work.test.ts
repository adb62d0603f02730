/** Building snapshots beside apply, on one thread: order, moments, and what ends a build. */
import { beforeEach, describe, expect, it } from 'vitest'
import type { ApplyResult, SnapshotResult } from '../../src/apply/port.ts'
import { RoundEncoder } from '../../src/apply/round-codec.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { dataKey } from '../../src/region/keys.ts'
import { INITIAL_APPLY_STATE } from '../../src/region/state.ts'
import { decodeMeta, type SnapshotMeta } from '../../src/snap/format.ts'
import { ApplyWork } from '../../src/store/apply-work.ts'
import { RateLimit } from '../../src/store/rate-limit.ts'
import { entry, region } from '../apply/support.ts'
import { carry, DIR, dump, install } from '../snap/support.ts'
import { settle, VirtualTime } from './snapshot-support.ts'

let time: VirtualTime
let engine: MemoryEngine
let disk: MemoryFileSystem
let fs: FaultyFileSystem
let results: ApplyResult[]
let built: SnapshotResult[]
let work: ApplyWork

beforeEach(() => {
  time = new VirtualTime()
  engine = openMemoryEngine()
  disk = new MemoryFileSystem()
  disk.makeDirectory(DIR)
  fs = new FaultyFileSystem(disk)
  results = []
  built = []
  work = open()
})

function open(buildBytesPerSec?: number): ApplyWork {
  return new ApplyWork({
    storeId: 1,
    engine,
    fs,
    snapshotDir: DIR,
    clock: time.clock,
    later: time.later,
    scheduler: { schedule: (run) => void setImmediate(run) },
    buildSizes: { blockBytes: 1000 },
    ...(buildBytesPerSec !== undefined && {
      buildRate: new RateLimit(buildBytesPerSec, time.clock, time.later, () => 0),
    }),
    onApplied: (round) => results.push(...round),
    onSnapshot: (result) => built.push(result),
  })
}

function round(fill: (round: RoundEncoder) => void): void {
  const encoder = new RoundEncoder()
  fill(encoder)
  work.onRound(encoder.take())
}

async function until(met: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !met(); i++) await settle()
  expect(met()).toBe(true)
}

/** Entries 6, 7, … that put these. */
const puts = (from: number, texts: readonly string[]) =>
  texts.map((text, i) => entry(from + i, text))

const metaOf = (result: SnapshotResult | undefined): SnapshotMeta => {
  if (result?.meta === undefined) throw new Error(result?.error ?? 'nothing was built')
  return decodeMeta(Buffer.from(result.meta))
}

/** What a store that installs it has then. */
function installed(meta: SnapshotMeta): Record<string, string> {
  const to = new MemoryFileSystem()
  to.makeDirectory(DIR)
  carry(disk, meta, { fs: to }).finish()
  const target = openMemoryEngine()
  install(target, to, meta)
  return dump(target)
}

function bulk(rows: number): void {
  const batch = engine.newBatch()
  for (let i = 0; i < rows; i++) {
    batch.put(ColumnFamily.Default, dataKey(Buffer.from(`bulk${i}`)), Buffer.alloc(200, 1))
  }
  engine.write(batch, { sync: false })
}

describe('a snapshot', () => {
  it('has all that its region was handed before, with index and term, and nothing after', async () => {
    round((to) => {
      to.register(region(1), INITIAL_APPLY_STATE)
      to.apply({ regionId: 1, entries: puts(6, ['a=1', 'b=1']) })
      to.snapshot(1, 40)
      to.apply({ regionId: 1, entries: puts(8, ['a=2', 'c=2']) })
    })
    await until(() => built.length === 1 && results.at(-1)?.appliedIndex === 9)
    const meta = metaOf(built[0])
    expect([built[0]!.id, meta.index, meta.term]).toEqual([40, 7, entry(7, 'b=1').term])
    expect(Object.values(installed(meta))).toEqual(['1\0', '1\0'])
  })

  it('does not see what is truncated or written while it is built', async () => {
    bulk(500)
    work = open(100_000)
    round((to) => {
      to.register(region(1), INITIAL_APPLY_STATE)
      to.snapshot(1, 1)
    })
    await until(() => time.waiting > 0)
    for (let i = 6; i < 60; i++) {
      round((to) => to.apply({ regionId: 1, entries: puts(i, [`bulk${i}=new`]) }))
      await settle()
    }
    expect([results.at(-1)!.appliedIndex, built.length]).toEqual([59, 0])
    await time.advance(5000)
    expect(metaOf(built[0]).index).toBe(5)
    expect(Object.values(installed(metaOf(built[0]))).filter((v) => v.includes('new'))).toEqual([])
  })

  it('of several regions are built one after another, each from a moment of its own', async () => {
    bulk(100)
    round((to) => {
      for (const id of [1, 2, 3]) {
        to.register(region(id), INITIAL_APPLY_STATE)
        to.snapshot(id, id)
      }
    })
    await settle()
    round((to) => to.apply({ regionId: 3, entries: puts(6, ['late=1']) }))
    await until(() => built.length === 3)
    expect(built.map(({ regionId }) => regionId)).toEqual([1, 2, 3])
    expect(built.map((each) => metaOf(each).index)).toEqual([5, 5, 6])
  })

  it('keeps to its rate, while apply does not wait for it', async () => {
    bulk(100)
    work = open(10_000)
    round((to) => {
      to.register(region(1), INITIAL_APPLY_STATE)
      to.snapshot(1, 1)
    })
    const startMs = time.nowMs
    await until(() => time.waiting > 0)
    round((to) => to.apply({ regionId: 1, entries: puts(6, ['a=1']) }))
    await until(() => results.at(-1)?.appliedIndex === 6)
    expect(built).toEqual([])
    while (built.length === 0) await time.advance(100)
    expect(time.nowMs - startMs).toBeGreaterThan(1900)
  })

  it('that is not wanted any more ends, built or waiting, and leaves nothing', async () => {
    bulk(1000)
    work = open(10_000)
    round((to) => {
      for (const id of [1, 2]) {
        to.register(region(id), INITIAL_APPLY_STATE)
        to.snapshot(id, id)
      }
    })
    await until(() => time.waiting > 0)
    expect(disk.list(DIR)).not.toEqual([])
    round((to) => {
      to.cancelSnapshot(2)
      to.cancelSnapshot(1)
    })
    await time.advance(1000)
    await until(() => built.length === 2)
    expect(built.map(({ meta, error }) => [meta, error])).toEqual([
      [undefined, 'it was cancelled'],
      [undefined, 'it was cancelled'],
    ])
    expect(disk.list(DIR)).toEqual([])
  })
})

it('a store that closes does not wait for the rate of what is built', async () => {
  bulk(100)
  work = open(1)
  round((to) => {
    to.register(region(1), INITIAL_APPLY_STATE)
    to.snapshot(1, 1)
  })
  await until(() => time.waiting > 0)
  await work.close()
  expect([time.waiting, built, disk.list(DIR)]).toEqual([0, [], []])
})

describe('a full disk', () => {
  it('at any operation of a build ends that one, leaves nothing, and apply goes on', async () => {
    bulk(30)
    round((to) => to.register(region(1), INITIAL_APPLY_STATE))
    let index = 6
    for (const operation of ['create', 'write', 'sync', 'rename', 'sync-directory'] as const) {
      for (let after = 0, wasHit = true; wasHit; after++) {
        fs.failOnce(operation, 'ENOSPC', after)
        built = []
        round((to) => {
          to.snapshot(1, after)
          to.apply({ regionId: 1, entries: puts(index, ['a=1']) })
        })
        await until(() => built.length === 1 && results.at(-1)?.appliedIndex === index)
        index++
        wasHit = built[0]!.meta === undefined
        if (wasHit) {
          expect(built[0]!.error).toContain('ENOSPC')
          expect(disk.list(DIR)).toEqual([])
        }
        expect(after).toBeLessThan(50)
      }
      fs.failOnce(operation, 'ENOSPC', Number.POSITIVE_INFINITY)
      for (const file of disk.list(DIR)) disk.remove(`${DIR}/${file}`)
    }
  })
})

describe('bug 39: only a region in the state Normal gives a snapshot', () => {
  it('not one that was destroyed, or is being replaced, before the order came to its turn', async () => {
    round((to) => {
      to.register(region(1), INITIAL_APPLY_STATE)
      to.apply({ regionId: 1, entries: puts(6, ['a=1']) })
      to.destroy(1)
      to.snapshot(1, 9)
    })
    await until(() => built.length === 1)
    expect(built[0]).toMatchObject({ id: 9, meta: undefined, error: 'region 1 is not here' })
    expect(disk.list(DIR)).toEqual([])
  })

  it('and one that came back gives what it came back with', async () => {
    round((to) => {
      to.register(region(1), INITIAL_APPLY_STATE)
      to.apply({ regionId: 1, entries: puts(6, ['a=1']) })
      to.destroy(1)
      to.register(region(1), { ...INITIAL_APPLY_STATE, appliedIndex: 50, appliedTerm: 9 })
      to.snapshot(1, 9)
    })
    await until(() => built.length === 1)
    expect(metaOf(built[0])).toMatchObject({ index: 50, term: 9 })
  })
})
