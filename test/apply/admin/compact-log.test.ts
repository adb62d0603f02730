import { beforeEach, describe, expect, it } from 'vitest'
import type { ApplyResult } from '../../../src/apply/port.ts'
import { AdminKind, encodeAdminCommand } from '../../../src/command/admin.ts'
import { INITIAL_APPLY_STATE } from '../../../src/region/state.ts'
import { InlineApplyClient } from '../inline-client.ts'
import { entry, FakeEngine, ManualClock, region } from '../support.ts'

let engine: FakeEngine
let client: InlineApplyClient
let results: ApplyResult[]
let failures: Error[]

beforeEach(() => {
  engine = new FakeEngine()
  results = []
  failures = []
  client = new InlineApplyClient({
    storeId: 1,
    engine,
    clock: new ManualClock(),
    events: {
      onApplied: (round) => results.push(...round),
      onSnapshot: () => {},
      onFailed: (error) => failures.push(error),
    },
  })
  client.register(region(1), INITIAL_APPLY_STATE)
})

function compact(index: number, term = 6): Buffer {
  return encodeAdminCommand({ kind: AdminKind.CompactLog, index, term })
}

describe('CompactLog', () => {
  it('moves the truncated state with the applied one, and tells it behind a barrier', () => {
    client.apply({ regionId: 1, entries: [entry(6, 'a=1'), entry(7, 'b=2'), entry(8, compact(6))] })
    client.flush()
    expect(engine.applyState(1)).toEqual({
      appliedIndex: 8,
      appliedTerm: 6,
      truncatedIndex: 6,
      truncatedTerm: 6,
    })
    expect(results.map((r) => [r.appliedIndex, r.truncatedIndex])).toEqual([
      [8, undefined],
      [8, 6],
    ])
    expect(engine.syncedBatches).toBe(1)
  })

  it('is nothing when an earlier one went as far', () => {
    client.apply({ regionId: 1, entries: [entry(6), entry(7), entry(8, compact(7))] })
    client.apply({ regionId: 1, entries: [entry(9, compact(6)), entry(10, compact(7))] })
    client.flush()
    client.apply({ regionId: 1, entries: [entry(11, compact(7))] })
    client.flush()
    // The last one alone is no reason to write the state.
    expect(engine.applyState(1)).toMatchObject({ appliedIndex: 10, truncatedIndex: 7 })
    expect(results.at(-1)!.appliedIndex).toBe(11)
    expect(results.filter((r) => r.truncatedIndex !== undefined)).toHaveLength(1)
  })

  it('serves all regions of a round with one barrier', () => {
    let syncs = 0
    engine.sync = () => {
      syncs++
    }
    client.register(region(2), INITIAL_APPLY_STATE)
    for (const regionId of [1, 2]) {
      client.apply({ regionId, entries: [entry(6), entry(7), entry(8, compact(6))] })
    }
    client.flush()
    expect(results.filter((r) => r.truncatedIndex === 6)).toHaveLength(2)
    expect(syncs).toBe(1)
  })

  it('is not told of a region that was destroyed before the barrier: another may be there by now', () => {
    client.apply({ regionId: 1, entries: [entry(6), entry(7), entry(8, compact(6))] })
    client.destroy(1)
    client.flush()
    expect(results.map((r) => [r.appliedIndex, r.truncatedIndex])).toEqual([[8, undefined]])
  })

  it('fails the store when it names what was not applied, or no term', () => {
    client.apply({ regionId: 1, entries: [entry(6), entry(7, compact(7))] })
    client.flush()
    expect(failures).toHaveLength(1)
    expect(failures[0]!.message).toMatch(/truncated at 7/)
  })
})
