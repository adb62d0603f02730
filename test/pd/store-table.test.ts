import { describe, expect, test } from 'vitest'
import type { StoreMeta } from '../../src/pd/port.ts'
import { decodeHeard, decodeStore, heardWrite, storeWrite } from '../../src/pd/records.ts'
import { mustBeLeft, storeCondition } from '../../src/pd/store-condition.ts'
import { StoreTable } from '../../src/pd/store-table.ts'
import { storeMeta, storeStats } from './fixtures.ts'

const OFFLINE: Partial<StoreMeta> = { state: 1 }
const DESTROYED: Partial<StoreMeta> = { state: 1, physicallyDestroyed: true }
const TOMBSTONE: Partial<StoreMeta> = { state: 2 }

test.each([
  [{}, 0, 'up', false],
  [{}, 20_000, 'up', false],
  [{}, 20_001, 'disconnected', false],
  [{}, 60_000, 'disconnected', false],
  [{}, 60_001, 'down', true],
  [OFFLINE, 0, 'offline', true],
  [OFFLINE, 90_000, 'offline', true],
  [DESTROYED, 0, 'destroyed', true],
  [TOMBSTONE, 90_000, 'tombstone', true],
] as const)('%j, silent for %i ms: %s', (changes, silentMs, condition, leave) => {
  expect(storeCondition(storeMeta(1, changes), silentMs, 60_000)).toBe(condition)
  expect(mustBeLeft(condition)).toBe(leave)
})

function tableOf(...metas: StoreMeta[]): StoreTable {
  const table = new StoreTable()
  for (const meta of metas) table.load(meta)
  table.resume(undefined, 1000)
  return table
}

describe('a registration', () => {
  test('cannot change its own state', () => {
    const table = tableOf(storeMeta(1, OFFLINE))
    expect(table.admit(storeMeta(1)).state).toBe(1)
    expect(table.admit(storeMeta(2, { ...DESTROYED }))).toMatchObject({
      state: 0,
      physicallyDestroyed: false,
    })
  })

  test.each([
    ['up', {}, /address of store 1.*ctl store delete 1 --physically-destroyed/],
    ['being removed', OFFLINE, /address of store 1/],
    ['physically destroyed', DESTROYED, undefined],
    ['tombstone', TOMBSTONE, undefined],
  ] as const)('under the address of a store that is %s', (_name, changes, refused) => {
    const old = storeMeta(1, changes)
    const table = tableOf(old)
    const next = storeMeta(2, { address: old.address })
    if (refused === undefined) expect(table.admit(next).address).toBe(old.address)
    else expect(() => table.admit(next)).toThrow(refused)
  })

  test.each([[DESTROYED], [TOMBSTONE]])('under an id that is gone: %j', (changes) => {
    const table = tableOf(storeMeta(1, changes))
    const gone = /removed from the cluster for good: delete its data directory and join as a new/
    expect(() => table.admit(storeMeta(1))).toThrow(gone)
    expect(() => table.heartbeat(storeStats(1), 1, 1)).toThrow(gone)
  })
})

test('a removal: offline first, destroyed at any time, nothing twice', () => {
  const table = tableOf(storeMeta(1), storeMeta(2, TOMBSTONE))
  const offline = table.removal(1, false)!
  expect(offline).toMatchObject({ state: 1, physicallyDestroyed: false })
  table.change(offline)
  expect(table.removal(1, false)).toBeUndefined()
  const destroyed = table.removal(1, true)!
  expect(destroyed).toMatchObject(DESTROYED)
  table.change(destroyed)
  expect(table.removal(1, true)).toBeUndefined()
  expect(table.removal(1, false), 'what is lost stays lost').toBeUndefined()
  expect(() => table.removal(2, true)).toThrow(/removed already/)
  expect(() => table.removal(3, false)).toThrow(/invalid store ID 3/)
})

describe('across a restart', () => {
  test('silence goes on where it was noted, without the time that PD was away', () => {
    const before = tableOf(storeMeta(1), storeMeta(2), storeMeta(3, TOMBSTONE))
    before.heartbeat(storeStats(1), 100_000, 5000)
    before.heartbeat(storeStats(2), 140_000, 45_000)
    const { value } = heardWrite(before.heard(150_000))
    const after = new StoreTable()
    for (const id of [1, 2, 4]) after.load(storeMeta(id))
    after.resume(decodeHeard(value!), 7_000_000)
    const silent = (id: number): number => 7_000_000 - after.get(id)!.heardAtMs
    expect([silent(1), silent(2), silent(4)]).toEqual([50_000, 10_000, 0])
    expect(after.get(1)!.meta.lastHeartbeatMs, 'for people: the true time').toBe(100_000)
    expect(after.get(1)!.stats).toBeUndefined()
  })

  test('every state of a store is stored', () => {
    for (const changes of [{}, OFFLINE, DESTROYED, TOMBSTONE]) {
      const meta = storeMeta(1, changes)
      const { key, value } = storeWrite(meta)
      expect(decodeStore(key, value!)).toEqual(meta)
    }
  })
})
