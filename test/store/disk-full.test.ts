/** Stores whose disks fill up and empty again: what clients are told, who leads, what is kept. */
import { afterEach, describe, expect, it } from 'vitest'
import { GIB, MIB } from '../../src/base/limits.ts'
import { dataOf, keyOf, StoreHarness } from './harness.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

const TOTAL = 10 * GIB
/** What follows from a reserve of nothing on such a disk: full below 256 MiB, almost full below 512. */
const FREE = { normal: GIB, 'almost-full': 400 * MIB, full: 100 * MIB } as const
const CONFIG = { reserveSpaceBytes: 0 }

function setDisk(number: number, state: keyof typeof FREE): void {
  const figures = { totalBytes: TOTAL, freeBytes: FREE[state] }
  harness!.probes.set(number, { measure: () => figures })
}

const stateOf = (number: number) => harness!.stores.get(number)!.status().disk?.state
const leadersOf = (number: number) => harness!.stores.get(number)!.status().leaderCount
const metric = (number: number, name: string): number =>
  harness!.stores.get(number)!.metrics()[name]!

async function becomes(number: number, state: keyof typeof FREE): Promise<void> {
  setDisk(number, state)
  await expect.poll(() => stateOf(number), { timeout: 10_000 }).toBe(state)
}

/** Every other store has heard how many are short of space. */
async function heard(count: number, ...numbers: number[]): Promise<void> {
  for (const number of numbers) {
    await expect.poll(() => metric(number, 'disk_short_stores'), { timeout: 10_000 }).toBe(count)
  }
}

const refused = { code: 'DiskFull', retryable: true }

describe('the only store', () => {
  it('refuses writes and takes deletes when almost full, goes on by itself with space', async () => {
    harness = await StoreHarness.start({ stores: 1, config: CONFIG, timeoutMs: 1_000 })
    await harness.write(0, 200)
    await becomes(1, 'almost-full')
    await expect(harness.kv.put('a', '1')).rejects.toMatchObject(refused)
    await expect(harness.kv.batchPut([['a', '1']])).rejects.toMatchObject(refused)
    await harness.kv.delete(keyOf(0))
    await harness.kv.batchDelete([keyOf(1), keyOf(2)])
    expect(await harness.kv.get(keyOf(1))).toBeUndefined()
    expect((await harness.kv.get(keyOf(3)))?.toString()).toBe(dataOf(3, 100))

    await becomes(1, 'full')
    await expect(harness.kv.delete(keyOf(3))).rejects.toMatchObject(refused)
    expect((await harness.kv.get(keyOf(3)))?.toString()).toBe(dataOf(3, 100))
    expect(metric(1, 'disk_state')).toBe(2)
    expect(metric(1, 'disk_available_bytes')).toBe(FREE.full)

    // A client that waits longer never hears of it.
    const patient = harness.kv.put('b', '2')
    await becomes(1, 'normal')
    await patient
    expect(await harness.kv.get('a')).toBeUndefined()
    expect(harness.failures).toEqual([])
  })
})

describe('one of three', () => {
  it('gives its leaders away when it is almost full, and writes go on', async () => {
    harness = await StoreHarness.start({ regions: 6, config: CONFIG })
    await harness.write(0, 100)
    // Chance decides who leads, and may leave a store without.
    const [short, ...others] = [1, 2, 3].sort((a, b) => leadersOf(b) - leadersOf(a))
    expect(leadersOf(short!)).toBeGreaterThan(0)
    await becomes(short!, 'almost-full')
    await harness.write(100, 300)
    await expect.poll(() => leadersOf(short!), { timeout: 20_000 }).toBe(0)
    await harness.write(300, 400)
    await heard(1, ...others)
    // As a follower it still takes what others write.
    await expect.poll(() => harness!.behind(short!), { timeout: 20_000 }).toEqual([])
  })

  it('holds nobody up when it is full, loses nothing, and catches up', async () => {
    harness = await StoreHarness.start({ regions: 6, config: CONFIG })
    await harness.write(0, 100)
    await becomes(1, 'full')
    await harness.write(100, 300)
    await expect.poll(() => leadersOf(1), { timeout: 20_000 }).toBe(0)
    await harness.write(300, 600)
    expect(harness.behind(1).length).toBeGreaterThan(0)
    expect(metric(1, 'raft_messages_dropped_disk_full')).toBeGreaterThan(0)

    // A restart finds the disk as it was.
    await harness.stopStore(1)
    await harness.startStore(1)
    expect(stateOf(1)).toBe('full')
    await harness.write(600, 700)
    await becomes(1, 'normal')
    await expect.poll(() => harness!.behind(1), { timeout: 40_000 }).toEqual([])
    for (let i = 0; i < 700; i++) {
      expect((await harness.kv.get(keyOf(i)))?.toString()).toBe(dataOf(i, 100))
    }
    expect(harness.failures).toEqual([])
  })
})

it('a quorum of full disks is refused at once, by name, and no write is left in between', async () => {
  // The client waits as long to be refused, but longer than the first election takes.
  harness = await StoreHarness.start({ config: CONFIG, timeoutMs: 4_000 })
  await harness.write(0, 50)
  await becomes(2, 'full')
  await becomes(3, 'full')
  await heard(2, 1)
  const before = metric(1, 'proposed_commands')
  const error = await harness.kv.put('a', '1').then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toMatchObject(refused)
  expect((error as Error).message).toMatch(/the disks of stores \d+, \d+ are full/)
  await expect(harness.kv.delete('a')).rejects.toMatchObject(refused)
  expect(metric(1, 'proposed_commands')).toBe(before)
  expect((await harness.kv.get(keyOf(7)))?.toString()).toBe(dataOf(7, 100))
  await becomes(2, 'normal')
  await heard(1, 1)
  await harness.kv.put('a', '2')
  expect((await harness.kv.get('a'))?.toString()).toBe('2')
})

it('a replica that needs a snapshot waits for the room to take it', async () => {
  const config = {
    ...CONFIG,
    raftLogGcTickIntervalMs: 50,
    raftLogGcThreshold: 5,
    raftLogGcCountLimit: 20,
    raftLogReserveMaxTicks: 2,
  }
  harness = await StoreHarness.start({ config })
  await harness.write(0, 100)
  const lasts = await harness.stopStore(3)
  // One entry each, so that the log forgets where store 3 ended.
  for (let i = 100; i < 250; i++) await harness.write(i, i + 1)
  await expect.poll(() => harness!.reaching(lasts), { timeout: 20_000 }).toEqual([])
  setDisk(3, 'almost-full')
  await harness.startStore(3)
  const refusals = () => metric(3, 'snapshots_refused_disk_full')
  await expect.poll(refusals, { timeout: 20_000 }).toBeGreaterThan(0)
  expect(metric(3, 'snapshots_received')).toBe(0)
  expect(harness.behind(3).length).toBeGreaterThan(0)
  await becomes(3, 'normal')
  await expect.poll(() => harness!.behind(3), { timeout: 40_000, interval: 100 }).toEqual([])
  expect(metric(3, 'snapshots_installed')).toBeGreaterThan(0)
  expect(harness.failures).toEqual([])
})
