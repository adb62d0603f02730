import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { ApplyResult, SnapshotResult } from '../../src/apply/port.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { ColumnFamily, type SharedKvEngine } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { applyStateKey, dataKey } from '../../src/region/keys.ts'
import { decodeApplyState, INITIAL_APPLY_STATE } from '../../src/region/state.ts'
import { decodeMeta, filePath, snapshotName } from '../../src/snap/format.ts'
import { ApplyPool, workerOfRegion } from '../../src/store/apply-pool.ts'
import { bulk, command, entry, region } from '../apply/support.ts'

let dir: string
let engine: SharedKvEngine
let pool: ApplyPool
let results: ApplyResult[]
let failures: Error[]
let snapshots: SnapshotResult[]
let onEvent: () => void

beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-apply-'))
  engine = await openRocksDb({ dir })
  results = []
  failures = []
  snapshots = []
  onEvent = () => {}
})

afterEach(async () => {
  await pool.close()
  await engine.close()
  rmSync(dir, { recursive: true })
})

function open(workers: number): ApplyPool {
  pool = new ApplyPool({
    storeId: 1,
    workers,
    engineHandle: engine.handle,
    snapshotDir: join(dir, 'snap'),
    logger: silentLogger,
    events: {
      onApplied(round) {
        results.push(...round)
        onEvent()
      },
      onSnapshot(result) {
        snapshots.push(result)
        onEvent()
      },
      onFailed(error) {
        failures.push(error)
        onEvent()
      },
    },
  })
  return pool
}

function until(done: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    onEvent = () => {
      if (done()) resolve()
    }
    onEvent()
  })
}

const applied = (id: number): number =>
  results.filter((r) => r.regionId === id).reduce((max, r) => Math.max(max, r.appliedIndex), 0)

function value(key: string): string | undefined {
  return engine.get(ColumnFamily.Default, dataKey(Buffer.from(key)))?.toString()
}

describe('ApplyPool', () => {
  it('applies in the engine that the main thread reads', async () => {
    open(1).register(region(1), INITIAL_APPLY_STATE)
    pool.apply({ regionId: 1, entries: [entry(6), entry(7, 'a=1 b=2'), entry(8, '-a')] })
    pool.flush()
    await until(() => applied(1) === 8)
    expect(value('a')).toBeUndefined()
    expect(value('b')).toBe('2\0')
    await pool.close()
    const state = engine.get(ColumnFamily.Raft, applyStateKey(1))!
    expect(decodeApplyState(state)).toMatchObject({ appliedIndex: 8, appliedTerm: 6 })
    expect(results.reduce((sum, r) => sum + r.writtenKeys, 0)).toBe(3)
  })

  it('leaves the memory of the entries with the caller', async () => {
    open(1).register(region(1), INITIAL_APPLY_STATE)
    const kept = entry(6, 'a=1')
    const before = Buffer.from(kept.data)
    pool.apply({ regionId: 1, entries: [kept] })
    pool.flush()
    await until(() => applied(1) === 6)
    expect(Buffer.from(kept.data)).toEqual(before)
  })

  it('keeps the order of each region over many rounds and workers', async () => {
    open(2)
    const ids = [4, 8, 12, 16, 20]
    for (const id of ids) pool.register(region(id), INITIAL_APPLY_STATE)
    for (let index = 6; index < 106; index++) {
      for (const id of ids) pool.apply({ regionId: id, entries: [entry(index, `k${id}=${index}`)] })
      if (index % 3 === 0) pool.flush()
    }
    pool.flush()
    await until(() => ids.every((id) => applied(id) === 105))
    for (const id of ids) {
      expect(value(`k${id}`)).toBe('105\0')
      const order = results.filter((r) => r.regionId === id).map((r) => r.appliedIndex)
      expect(order).toEqual([...order].sort((a, b) => a - b))
      const written = results.filter((r) => r.regionId === id).map((r) => r.writtenKeys)
      expect(written.reduce((a, b) => a + b, 0)).toBe(100)
    }
  })

  describe('entries that nobody waits for', () => {
    let rounds: number[][]

    beforeEach(() => {
      rounds = []
      open(1)
      for (const id of [1, 2]) pool.register(region(id), INITIAL_APPLY_STATE)
      pool.flush()
    })

    /** Each flush is a round of the poller; results come in one piece for each round of the worker. */
    function follow(from: number, to: number): void {
      for (let index = from; index <= to; index++) {
        pool.applyLater({ regionId: 1, entries: [entry(index, `a=${index}`)] })
        pool.flush()
      }
    }

    async function settled(one: number, two: number): Promise<void> {
      let seen = 0
      await until(() => {
        if (results.length > seen) rounds.push(results.slice(seen).map((r) => r.regionId))
        seen = results.length
        return applied(1) === one && applied(2) === two
      })
    }

    it('go along with what is awaited, in order', async () => {
      follow(6, 25)
      pool.apply({ regionId: 2, entries: [entry(6, 'b=1')] })
      pool.flush()
      await settled(25, 6)
      expect(rounds).toEqual([[1, 2]])
      expect([value('a'), value('b')]).toEqual(['25\0', '1\0'])
    })

    it('go at once when somebody begins to wait', async () => {
      follow(6, 25)
      pool.hurry(1)
      pool.flush()
      await settled(25, 0)
      expect(rounds).toEqual([[1]])
    })

    it('go by themselves after a while', async () => {
      follow(6, 25)
      await settled(25, 0)
      expect(rounds).toEqual([[1]])
      follow(26, 30)
      await settled(30, 0)
    })

    it('are bounded in bytes', async () => {
      const task = (index: number) => ({
        regionId: 1,
        entries: [entry(index, bulk(`r${index}-`, 64, 1024))],
      })
      for (let index = 6; index < 70; index++) {
        pool.applyLater(task(index))
        pool.flush()
      }
      await settled(69, 0)
      // 4 MiB do not fit what is held back, which is a quarter of one.
      expect(rounds.length).toBeGreaterThan(1)
    })

    it('are done before close resolves', async () => {
      follow(6, 25)
      await pool.close()
      expect(applied(1)).toBe(25)
    })
  })

  it('tells rejections', async () => {
    open(1).register(region(1, 2), INITIAL_APPLY_STATE)
    pool.apply({ regionId: 1, entries: [entry(6, command('a=1', 1)), entry(7, command('b=1', 2))] })
    pool.flush()
    await until(() => applied(1) === 7)
    expect(results.flatMap((r) => r.rejections)).toEqual([{ index: 6, code: 'EpochNotMatch' }])
    expect([value('a'), value('b')]).toEqual([undefined, '1\0'])
  })

  it('does all that it was handed before close resolves, flushed or not', async () => {
    open(2)
    for (const id of [1, 2, 3]) pool.register(region(id), INITIAL_APPLY_STATE)
    for (let index = 6; index < 46; index++) {
      for (const id of [1, 2, 3]) {
        pool.apply({ regionId: id, entries: [entry(index, bulk(`r${id}-${index}-`, 64, 256))] })
      }
      if (index < 40) pool.flush()
    }
    await Promise.all([pool.close(), pool.close()])
    expect([applied(1), applied(2), applied(3)]).toEqual([45, 45, 45])
    expect(results.reduce((sum, r) => sum + r.writtenKeys, 0)).toBe(3 * 40 * 64)
    expect(failures).toEqual([])
    expect(() => pool.apply({ regionId: 1, entries: [entry(46, 'x=1')] })).toThrow('closed')
    // The workers are gone: the owner can close, open again, and finds everything.
    await engine.close()
    engine = await openRocksDb({ dir })
    expect(value('r3-45-63')).toBe(`${'v'.repeat(256)}\0`)
  })

  it('builds a snapshot of what was applied before, while later entries are applied', async () => {
    mkdirSync(join(dir, 'snap'))
    open(1).register(region(1), INITIAL_APPLY_STATE)
    pool.apply({
      regionId: 1,
      entries: [entry(6, bulk('old-', 500, 1000)), entry(7, 'key=before')],
    })
    pool.snapshot(1, 41)
    pool.apply({ regionId: 1, entries: [entry(8, 'key=after'), entry(9, 'new=1')] })
    pool.snapshot(2, 42)
    pool.flush()
    await until(() => snapshots.length === 2 && applied(1) === 9)
    const [made, missing] = [41, 42].map((id) => snapshots.find((each) => each.id === id)!)
    expect(missing).toMatchObject({
      regionId: 2,
      meta: undefined,
      error: expect.stringContaining('not here'),
    })
    const meta = decodeMeta(Buffer.from(made!.meta!))
    expect(meta).toMatchObject({ index: 7, term: 6, region: { id: 1 } })
    expect(meta.files.map(({ cf, rows }) => [cf, rows])).toEqual([[0, 501]])
    expect(value('key')).toBe('after\0')
    const file = filePath(join(dir, 'snap'), snapshotName('gen', meta), meta.files[0]!)
    const bytes = readFileSync(file)
    expect(bytes.includes('before')).toBe(true)
    expect(bytes.includes('after')).toBe(false)
  })

  it('gives up a snapshot that is cancelled, or when it closes', async () => {
    mkdirSync(join(dir, 'snap'))
    open(1).register(region(1), INITIAL_APPLY_STATE)
    for (let i = 6; i < 26; i++) {
      pool.apply({ regionId: 1, entries: [entry(i, bulk(`k${i}-`, 250, 4000))] })
    }
    pool.snapshot(1, 1)
    pool.snapshot(1, 2)
    pool.cancelSnapshot(1)
    pool.flush()
    await until(() => snapshots.length === 2)
    expect(snapshots.map(({ meta, error }) => [meta, error])).toEqual([
      [undefined, 'it was cancelled'],
      [undefined, 'it was cancelled'],
    ])
    pool.snapshot(1, 3)
    await pool.close()
    expect(snapshots).toHaveLength(2)
    expect(failures).toEqual([])
    expect(readdirSync(join(dir, 'snap')).filter((name) => name.endsWith('.meta'))).toEqual([])
  })

  it('closes at once when it never had work', async () => {
    await open(3).close()
    expect(failures).toEqual([])
  })

  it('tells a failure once, keeps other workers going, and still closes', async () => {
    open(2)
    const [bad, good] = twoRegionsApart()
    for (const id of [bad, good]) pool.register(region(id), INITIAL_APPLY_STATE)
    pool.apply({ regionId: good, entries: [entry(6, 'good=1')] })
    pool.apply({ regionId: bad, entries: [entry(9, 'gap=1')] })
    pool.flush()
    await until(() => failures.length > 0 && applied(good) === 6)
    expect(failures[0]!.message).toContain('with a gap')
    pool.apply({ regionId: good, entries: [entry(7, 'unsent=1')] })
    pool.flush()
    await pool.close()
    expect(failures).toHaveLength(1)
    expect([value('good'), value('gap'), value('unsent')]).toEqual(['1\0', undefined, undefined])
  })

  it('gives operating errors of a worker back with their code', async () => {
    open(1).register(region(1), INITIAL_APPLY_STATE)
    pool.apply({ regionId: 1, entries: [entry(6, Buffer.from('no command'))] })
    pool.flush()
    await until(() => failures.length > 0)
    expect(failures[0]).toBeInstanceOf(PolyraftError)
    expect(failures[0]).toMatchObject({
      code: 'Corruption',
      message: expect.stringContaining('header cut short'),
    })
  })

  it('fails when a worker cannot start', async () => {
    pool = new ApplyPool({
      storeId: 1,
      workers: 1,
      engineHandle: 0n,
      snapshotDir: dir,
      logger: silentLogger,
      events: {
        onApplied: () => {},
        onSnapshot: () => {},
        onFailed(error) {
          failures.push(error)
          onEvent()
        },
      },
    })
    await until(() => failures.length > 0)
    expect(failures[0]!.message).toContain('a handle comes from an open engine')
  })
})

describe('workerOfRegion', () => {
  it('spreads ids of any regular step evenly', () => {
    for (const step of [1, 2, 3, 4, 5, 8, 16, 1000]) {
      for (const workers of [1, 2, 3, 4, 8]) {
        const load = new Array<number>(workers).fill(0)
        for (let i = 0; i < 4096; i++) load[workerOfRegion(2 + i * step, workers)]!++
        expect(Math.max(...load)).toBeLessThan((4096 / workers) * 1.25)
      }
    }
  })
})

function twoRegionsApart(): [number, number] {
  let other = 2
  while (workerOfRegion(other, 2) === workerOfRegion(1, 2)) other++
  return [1, other]
}
