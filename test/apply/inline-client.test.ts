import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { type ApplyLimits, DEFAULT_APPLY_LIMITS } from '../../src/apply/limits.ts'
import type { ApplyResult } from '../../src/apply/port.ts'
import type { Entry } from '../../src/raft/types.ts'
import { INITIAL_APPLY_STATE } from '../../src/region/state.ts'
import { InlineApplyClient } from './inline-client.ts'
import { bulk, command, entry, FakeEngine, ManualClock, region } from './support.ts'

let engine: FakeEngine
let clock: ManualClock
let results: ApplyResult[][]
let failures: Error[]

beforeEach(() => {
  engine = new FakeEngine()
  clock = new ManualClock()
  results = []
  failures = []
})

/** The apply state is written with every batch, unless a test asks for its lag. */
function open(limits: Partial<ApplyLimits> = {}, pumped = false): InlineApplyClient {
  return new InlineApplyClient({
    storeId: 1,
    engine,
    clock,
    limits: { ...DEFAULT_APPLY_LIMITS, stateLagOpsMax: 1, ...limits },
    pumped,
    events: {
      onApplied: (round) => results.push(round),
      onSnapshot: () => {},
      onFailed: (error) => failures.push(error),
    },
  })
}

function applyAll(client: InlineApplyClient, regionId: number, ...entries: Entry[]): void {
  client.apply({ regionId, entries })
  client.flush()
}

describe('applying', () => {
  it('writes data and apply state in one batch and tells the result', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6), entry(7, 'a=1 b=2'), entry(8, 'c=3 -a'))
    expect(engine.data()).toEqual({ b: '2', c: '3' })
    expect(engine.batches).toHaveLength(1)
    expect(engine.applyState(1)).toEqual({
      appliedIndex: 8,
      appliedTerm: 6,
      truncatedIndex: 5,
      truncatedTerm: 5,
    })
    expect(results).toEqual([
      [
        {
          regionId: 1,
          appliedIndex: 8,
          appliedTerm: 6,
          rejections: [],
          writtenKeys: 4,
          writtenBytes: 14,
        },
      ],
    ])
  })

  it('advances over entries that write nothing', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6), entry(7), entry(8, Buffer.alloc(0), { term: 9 }))
    expect(engine.applyState(1)).toMatchObject({ appliedIndex: 8, appliedTerm: 9 })
    expect(results).toMatchObject([[{ appliedIndex: 8, appliedTerm: 9, writtenKeys: 0 }]])
  })

  it('serves all regions of a round with one write', () => {
    const client = open()
    for (const id of [1, 2, 3]) {
      client.register(region(id), INITIAL_APPLY_STATE)
      client.apply({ regionId: id, entries: [entry(6, `k${id}=v`)] })
      client.apply({ regionId: id, entries: [entry(7, `l${id}=v`)] })
    }
    client.flush()
    expect(engine.batches).toHaveLength(1)
    expect(engine.batches[0]!.length).toBe(9)
    expect(results).toHaveLength(1)
    expect(results[0]!.map((r) => [r.regionId, r.appliedIndex])).toEqual([
      [1, 7],
      [2, 7],
      [3, 7],
    ])
  })

  it('does nothing before flush, and tells nothing twice', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [entry(6, 'a=1')] })
    expect(engine.batches).toEqual([])
    client.flush()
    client.flush()
    expect(engine.batches).toHaveLength(1)
    expect(results).toHaveLength(1)
  })

  it('may be called again from within its results', () => {
    const client = new InlineApplyClient({
      storeId: 1,
      engine,
      clock,
      events: {
        onApplied: (round) => {
          results.push(round)
          if (round[0]!.appliedIndex < 9) {
            applyAll(client, 1, entry(round[0]!.appliedIndex + 1, 'again=1'))
          }
        },
        onSnapshot: () => {},
        onFailed: (error) => failures.push(error),
      },
    })
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6, 'a=1'))
    expect(results.map((round) => round[0]!.appliedIndex)).toEqual([6, 7, 8, 9])
    expect(failures).toEqual([])
  })
})

describe('rejection', () => {
  it('refuses a command of another epoch as data, and goes on', () => {
    const client = open()
    client.register(region(1, 3), INITIAL_APPLY_STATE)
    applyAll(
      client,
      1,
      entry(6, command('old=1', 2)),
      entry(7, command('now=1', 3)),
      entry(8, command('new=1', 4)),
    )
    expect(engine.data()).toEqual({ now: '1' })
    expect(results[0]![0]).toMatchObject({
      appliedIndex: 8,
      rejections: [
        { index: 6, code: 'EpochNotMatch' },
        { index: 8, code: 'EpochNotMatch' },
      ],
      writtenKeys: 1,
    })
    applyAll(client, 1, entry(9, command('next=1', 3)))
    expect(results[1]![0]!.rejections).toEqual([])
    expect(failures).toEqual([])
  })
})

describe('what is not deterministic is fatal', () => {
  const open1 = (): InlineApplyClient => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    return client
  }

  it.each([
    ['a gap', [entry(7, 'a=1')], 'with a gap'],
    ['a gap behind an entry', [entry(6, 'a=1'), entry(8, 'b=1')], 'with a gap'],
    ['a term that falls', [entry(6, 'a=1', { term: 4 })], 'behind term 5'],
    ['bytes that are no command', [entry(6, 'a=1'), entry(7, Buffer.from('x'))], 'cut short'],
    ['a command cut short', [entry(6, command('a=1 b=2').subarray(0, -1))], 'a value of'],
  ])('%s', (_, entries, message) => {
    const client = open1()
    applyAll(client, 1, ...entries)
    expect(failures).toHaveLength(1)
    expect(failures[0]!.message).toContain(message)
    expect(engine.batches).toEqual([])
    expect(results).toEqual([])
  })

  it('work for a region that nobody registered', () => {
    const client = open()
    applyAll(client, 9, entry(6, 'a=1'))
    expect(failures[0]!.message).toContain('region 9 is registered')
  })

  it('a write that fails: told once, and nothing is applied after it', () => {
    const client = open1()
    engine.onWrite = () => {
      throw new Error('disk')
    }
    applyAll(client, 1, entry(6, 'a=1'))
    engine.onWrite = () => {}
    applyAll(client, 1, entry(7, 'b=1'))
    expect(failures.map((error) => error.message)).toEqual(['disk'])
    expect(engine.batches).toEqual([])
    expect(results).toEqual([])
  })
})

describe('restart', () => {
  it('skips what the engine holds already', () => {
    const before = open()
    before.register(region(1), INITIAL_APPLY_STATE)
    applyAll(before, 1, entry(6, 'a=1'), entry(7, 'a=2'))
    const after = open()
    after.register(region(1), engine.applyState(1))
    // Applying entry 6 a second time alone would bring a=1 back.
    applyAll(after, 1, entry(6, 'a=1'))
    expect(engine.data()).toEqual({ a: '2' })
    expect(results[1]).toMatchObject([{ appliedIndex: 7, writtenKeys: 0 }])
    expect(engine.batches).toHaveLength(1)
    applyAll(after, 1, entry(7, 'a=2'), entry(8, 'b=3'))
    expect(engine.data()).toEqual({ a: '2', b: '3' })
    expect(engine.applyState(1).appliedIndex).toBe(8)
    applyAll(after, 1, entry(8, 'b=3'))
    expect(engine.batches).toHaveLength(2)
  })

  it('ends at the same data, wherever it crashes and however far it replays', () => {
    const key = fc.constantFrom('a', 'b', 'c', 'd')
    const op = fc.oneof(
      fc.tuple(key, fc.integer({ min: 0, max: 99 })).map(([k, v]) => `${k}=${v}`),
      key.map((k) => `-${k}`),
    )
    const commands = fc.array(fc.array(op, { minLength: 1, maxLength: 5 }), {
      minLength: 1,
      maxLength: 30,
    })
    fc.assert(
      fc.property(
        commands,
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1, max: 8 }),
        fc.constantFrom(1, 3, 10, 64),
        (all, crash, replay, batchOpsMax, stateLagOpsMax) => {
          const entries = all.map((ops, i) => entry(6 + i, ops.join(' ')))
          engine = new FakeEngine()
          const straight = open()
          straight.register(region(1), INITIAL_APPLY_STATE)
          applyAll(straight, 1, ...entries)
          const wanted = engine.data()

          engine = new FakeEngine()
          const writesLeft = crash % (entries.length + 1)
          engine.onWrite = () => {
            if (engine.batches.length === writesLeft) throw new Error('crash')
          }
          const crashing = open({ batchOpsMax, stateLagOpsMax })
          crashing.register(region(1), INITIAL_APPLY_STATE)
          applyAll(crashing, 1, ...entries)
          engine.onWrite = () => {}

          const again = open({ batchOpsMax, stateLagOpsMax })
          const state = engine.applyState(1)
          again.register(region(1), state)
          const from = replay % (state.appliedIndex - 5 + 1)
          if (from < entries.length) applyAll(again, 1, ...entries.slice(from))
          expect(engine.data()).toEqual(wanted)
          void again.close()
          expect(engine.applyState(1).appliedIndex).toBe(5 + entries.length)
        },
      ),
      { numRuns: 300 },
    )
  })
})

describe('limits', () => {
  it('writes early above the operations of a batch, between entries only', () => {
    const client = open({ batchOpsMax: 5, yieldBytes: 1e9, yieldMs: 1e9 })
    client.register(region(1), INITIAL_APPLY_STATE)
    const entries = Array.from({ length: 4 }, (_, i) => entry(6 + i, bulk(`k${i}-`, 4, 1)))
    applyAll(client, 1, ...entries)
    // Each batch: two entries of four operations, and the apply state that counts exactly them.
    expect(engine.batches.map((batch) => batch.length)).toEqual([9, 9])
    expect(results.map((round) => round[0]!.appliedIndex)).toEqual([7, 9])
  })

  it('writes early above the bytes of a batch', () => {
    const client = open({ batchBytesMax: 1000, yieldBytes: 1e9, yieldMs: 1e9 })
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, ...[6, 7, 8].map((i) => entry(i, bulk(`k${i}-`, 1, 2000))))
    expect(engine.batches).toHaveLength(3)
  })

  it.each([1, 4, 64])('leaves an apply state less than %i operations behind', (stateLagOpsMax) => {
    const client = open({ batchOpsMax: 3, yieldBytes: 1, stateLagOpsMax })
    for (const id of [1, 2]) {
      client.register(region(id), INITIAL_APPLY_STATE)
      const entries = Array.from({ length: 7 }, (_, i) => entry(6 + i, bulk(`r${id}-${i}-`, 2, 1)))
      client.apply({ regionId: id, entries })
    }
    client.flush()
    const replay = new FakeEngine()
    for (const batch of engine.batches) {
      replay.write(batch, { sync: batch.synced })
      const keys = Object.keys(replay.data())
      for (const id of [1, 2]) {
        const opsHeld = keys.filter((key) => key.startsWith(`r${id}-`)).length
        const lag = opsHeld - (replay.applyState(id).appliedIndex - 5) * 2
        expect(lag).toBeGreaterThanOrEqual(0)
        expect(lag).toBeLessThan(stateLagOpsMax)
      }
    }
    expect(engine.batches.length).toBeGreaterThan(4)
    expect(Object.keys(engine.data())).toHaveLength(28)
  })

  it('lets a busy region give way after an early write', () => {
    const client = open({ batchOpsMax: 10, yieldBytes: 1000, yieldMs: 1e9 })
    for (const id of [1, 2]) client.register(region(id), INITIAL_APPLY_STATE)
    const busy = Array.from({ length: 6 }, (_, i) => entry(6 + i, bulk(`busy${i}-`, 11, 100)))
    client.apply({ regionId: 1, entries: busy })
    client.apply({ regionId: 2, entries: [entry(6, 'quick=1')] })
    client.flush()
    const order = results.flat().map((r) => [r.regionId, r.appliedIndex])
    expect(order[0]).toEqual([1, 6])
    expect(order[1]).toEqual([2, 6])
    expect(order.at(-1)).toEqual([1, 11])
  })

  it('counts only the turn of a region when it decides whether that gives way', () => {
    const client = open({ batchOpsMax: 3, yieldBytes: 1000, yieldMs: 1e9 })
    for (const id of [1, 2, 3]) client.register(region(id), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [entry(6, bulk('large', 1, 2000))] })
    client.apply({ regionId: 2, entries: [entry(6, 'a=1 b=1'), entry(7, 'c=1'), entry(8, 'd=1')] })
    client.apply({ regionId: 3, entries: [entry(6, 'e=1')] })
    client.flush()
    expect(results.map((round) => round.map((r) => `${r.regionId}:${r.appliedIndex}`))).toEqual([
      ['1:6', '2:7'],
      ['2:8', '3:6'],
    ])
  })

  it('gives way by time as well, even where little was written', () => {
    const client = open({ batchOpsMax: 1, yieldBytes: 1e9, yieldMs: 500 })
    engine.onWrite = () => {
      clock.nowMs += 300
    }
    for (const id of [1, 2]) client.register(region(id), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [6, 7, 8, 9].map((i) => entry(i, 'a=1 b=1')) })
    client.apply({ regionId: 2, entries: [entry(6, 'quick=1 x=1')] })
    client.flush()
    expect(results.flat().map((r) => `${r.regionId}:${r.appliedIndex}`)).toEqual([
      '1:6',
      '1:7',
      '2:6',
      '1:8',
      '1:9',
    ])
  })

  it('gives way between tasks, too', () => {
    const client = open({ batchOpsMax: 10, yieldBytes: 1000 })
    for (const id of [1, 2]) client.register(region(id), INITIAL_APPLY_STATE)
    for (const i of [6, 7]) client.apply({ regionId: 1, entries: [entry(i, bulk('k', 11, 100))] })
    client.apply({ regionId: 2, entries: [entry(6, 'quick=1')] })
    client.flush()
    expect(results.flat().map((r) => `${r.regionId}:${r.appliedIndex}`)).toEqual([
      '1:6',
      '2:6',
      '1:7',
    ])
  })
})

describe('life of a region', () => {
  it('is over when it is destroyed, behind its earlier tasks', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [entry(6, 'a=1')] })
    client.destroy(1)
    client.flush()
    expect(results).toMatchObject([[{ regionId: 1, appliedIndex: 6 }]])
    applyAll(client, 1, entry(7, 'b=1'))
    expect(failures[0]!.message).toContain('is registered')
  })

  it('can begin anew in the same round, from the state it is given', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [entry(6, 'a=1')] })
    client.destroy(1)
    client.register(region(1, 2), {
      appliedIndex: 100,
      appliedTerm: 8,
      truncatedIndex: 90,
      truncatedTerm: 8,
    })
    client.apply({ regionId: 1, entries: [entry(101, command('b=1', 2), { term: 8 })] })
    client.flush()
    expect(results.flat().map((r) => r.appliedIndex)).toEqual([6, 101])
    expect(engine.applyState(1)).toMatchObject({ appliedIndex: 101, truncatedIndex: 90 })
    applyAll(client, 1, entry(102, command('c=1', 2), { term: 8 }))
    expect(engine.applyState(1).appliedIndex).toBe(102)
    expect(failures).toEqual([])
  })

  it('is registered once', () => {
    const client = open()
    client.register(region(1), INITIAL_APPLY_STATE)
    client.register(region(1), INITIAL_APPLY_STATE)
    client.flush()
    expect(failures[0]!.message).toContain('registered once')
  })
})

describe('an apply state that is behind', () => {
  it('is written once it would be too many operations behind, empty entries counted', () => {
    const client = open({ stateLagOpsMax: 4 })
    client.register(region(1), INITIAL_APPLY_STATE)
    const written: number[] = []
    for (const data of ['a=1', '', 'b=1', 'c=1', 'd=1 e=1 f=1', 'g=1']) {
      applyAll(client, 1, entry(6 + written.length, data === '' ? Buffer.alloc(0) : data))
      written.push(engine.applyState(1).appliedIndex)
    }
    expect(written).toEqual([5, 5, 5, 9, 9, 11])
    expect(results.map((round) => round[0]!.appliedIndex)).toEqual([6, 7, 8, 9, 10, 11])
  })

  it('is written once it would be too many bytes behind', () => {
    const client = open({ stateLagOpsMax: 64, stateLagBytesMax: 3000 })
    client.register(region(1), INITIAL_APPLY_STATE)
    const written = [6, 7, 8].map((index) => {
      applyAll(client, 1, entry(index, bulk(`k${index}-`, 1, 1400)))
      return engine.applyState(1).appliedIndex
    })
    expect(written).toEqual([5, 5, 8])
  })

  it('is brought up to the data at the end', async () => {
    const client = open({ stateLagOpsMax: 64 })
    for (const id of [1, 2]) client.register(region(id), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6, 'a=1'))
    applyAll(client, 2, entry(6, 'b=1'), entry(7, 'b=2'))
    expect([1, 2].map((id) => engine.applyState(id).appliedIndex)).toEqual([5, 5])
    await client.close()
    expect([1, 2].map((id) => engine.applyState(id).appliedIndex)).toEqual([6, 7])
    expect(engine.batches).toHaveLength(3)
  })

  it('is not written any more once its region was destroyed', async () => {
    const client = open({ stateLagOpsMax: 64 })
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6, 'a=1'))
    client.destroy(1)
    client.register(region(1), { ...INITIAL_APPLY_STATE, appliedIndex: 100, appliedTerm: 8 })
    client.flush()
    await client.close()
    expect(engine.batches).toHaveLength(1)
    expect(engine.applyState(1).appliedIndex).toBe(5)
  })
})

describe('pumped', () => {
  it('runs a round with each pump', async () => {
    const client = open({ batchOpsMax: 1, yieldBytes: 1 }, true)
    client.register(region(1), INITIAL_APPLY_STATE)
    applyAll(client, 1, entry(6, 'a=1 b=1'), entry(7, 'c=1 d=1'))
    expect(results).toEqual([])
    expect(client.pump()).toBe(true)
    expect(results.flat().map((r) => r.appliedIndex)).toEqual([6])
    expect(client.pump()).toBe(false)
    expect(results.flat().map((r) => r.appliedIndex)).toEqual([6, 7])
  })

  it('does all work before it closes, and takes none afterwards', async () => {
    const client = open({}, true)
    client.register(region(1), INITIAL_APPLY_STATE)
    client.apply({ regionId: 1, entries: [entry(6, 'a=1')] })
    await client.close()
    expect(engine.data()).toEqual({ a: '1' })
    expect(results).toHaveLength(1)
    expect(() => client.destroy(1)).toThrow('closed')
    await client.close()
  })
})
