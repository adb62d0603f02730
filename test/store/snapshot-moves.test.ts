/** Snapshots whose sender, receiver or subject changes on the way. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, it } from 'vitest'
import { GIB, KIB, MIB } from '../../src/base/limits.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { dataKey } from '../../src/region/keys.ts'
import { dataOf, keyOf, StoreHarness } from './harness.ts'

const KEYS = 600
const VALUE_BYTES = 1000

/** Logs end soon, and a snapshot of the only region takes some seconds to send. */
const SLOW = {
  raftLogGcTickIntervalMs: 50,
  raftLogGcThreshold: 5,
  raftLogGcCountLimit: 10,
  raftLogReserveMaxTicks: 1,
  snapIoMaxBytesPerSec: 512 * KIB,
}

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

const metric = (number: number, name: string): number =>
  harness!.stores.get(number)?.metrics()[name] ?? 0

async function poll(met: () => boolean): Promise<void> {
  await expect.poll(met, { timeout: 30_000, interval: 10 }).toBe(true)
}

/** The store whose peer leads the only region. */
function leader(): number {
  for (const [number, store] of harness!.stores) if (store.status().leaderCount > 0) return number
  return 0
}

/** Store 3 is away for longer than the log remembers. */
async function away(config: Partial<typeof SLOW> = {}): Promise<void> {
  harness = await StoreHarness.start({ config: { ...SLOW, ...config } })
  await harness.write(0, 200, VALUE_BYTES)
  await poll(() => harness!.behind(3).length === 0)
  const lasts = await harness.stopStore(3)
  await harness.write(200, KEYS, VALUE_BYTES)
  // One by one, so that they are as many entries.
  const reaches = () => harness!.reaching(lasts).length > 0
  for (let i = 200; i < KEYS && reaches(); i++) await harness.write(i, i + 1, VALUE_BYTES)
  await poll(() => !reaches())
}

/** Store 3 has everything, all of it current, and no files are left anywhere. */
async function mustBeWhole(keys = KEYS): Promise<void> {
  await harness!.write(keys, keys + 20, VALUE_BYTES)
  await expect.poll(() => harness!.behind(3), { timeout: 30_000, interval: 20 }).toEqual([])
  for (const number of harness!.stores.keys()) {
    const dir = join(harness!.storeDir(number), 'snap')
    await expect.poll(() => readdirSync(dir), { timeout: 10_000 }).toEqual([])
  }
  expect(harness!.failures).toEqual([])
  await harness!.stopStore(3)
  const engine = await openRocksDb({ dir: join(harness!.storeDir(3), 'kv') })
  try {
    const values = Array.from({ length: keys + 20 }, (_, i) =>
      engine
        .get(ColumnFamily.Default, dataKey(Buffer.from(keyOf(i))))
        ?.subarray(0, -1)
        .toString(),
    )
    expect(values.filter((value, i) => value !== dataOf(i, VALUE_BYTES))).toEqual([])
  } finally {
    await engine.close()
  }
}

it('a leader that stops while it sends: the next one sends its own', async () => {
  await away()
  await harness!.startStore(3)
  await poll(() => metric(3, 'snapshots_received_bytes') > 0)
  const old = leader()
  expect(metric(old, 'snapshots_sending')).toBe(1)
  await harness!.stopStore(old)
  // Nothing of the broken transfer stays.
  await poll(() => metric(3, 'snapshots_receive_failures') === 1)
  await poll(() => metric(3, 'snapshots_installed') === 1)
  await harness!.startStore(old)
  await mustBeWhole()
})

it('a receiver that starts again while it receives: the transfer begins anew', async () => {
  await away()
  await harness!.startStore(3)
  await poll(() => metric(3, 'snapshots_received_bytes') > 0)
  const views = harness!.stores.get(leader())!.regionStatus(harness!.stores.get(3)!.regions()[0]!)
  const { bytesTotal, ...progress } = views!.snapshot!.progress[0]!
  expect(progress).toMatchObject({ phase: 'send' })
  expect(bytesTotal).toBeGreaterThan(KEYS * VALUE_BYTES)
  await harness!.stopStore(3)
  const left = readdirSync(join(harness!.storeDir(3), 'snap'))
  expect(left.filter((name) => name.endsWith('.meta'))).toEqual([])
  await harness!.startStore(3)
  await poll(() => metric(3, 'snapshots_installed') === 1)
  await mustBeWhole()
})

it('data that is gone meanwhile is gone after it, too; entries behind it follow', async () => {
  await away({ snapIoMaxBytesPerSec: 1_000_000_000 })
  for (let i = 0; i < 100; i++) await harness!.kv.delete(keyOf(i))
  await harness!.startStore(3)
  const writing = harness!.write(0, 100, VALUE_BYTES)
  await poll(() => metric(3, 'snapshots_installed') >= 1)
  await writing
  for (let i = 0; i < 100; i += 2) await harness!.kv.delete(keyOf(i))
  await expect.poll(() => harness!.behind(3), { timeout: 30_000, interval: 20 }).toEqual([])
  await harness!.stopStore(3)
  const engine = await openRocksDb({ dir: join(harness!.storeDir(3), 'kv') })
  try {
    const found = Array.from({ length: 100 }, (_, i) => {
      return engine.get(ColumnFamily.Default, dataKey(Buffer.from(keyOf(i)))) !== undefined
    })
    expect(found).toEqual(Array.from({ length: 100 }, (_, i) => i % 2 === 1))
  } finally {
    await engine.close()
  }
})

it('a log that outgrows its limits while the snapshot is made: it waits longer for the next', async () => {
  await away({ snapIoMaxBytesPerSec: 1024 * KIB })
  let writing = true
  const load = (async () => {
    // Too many for the limit, however fast the machine is, but not for what it is raised to.
    for (let i = 0; writing; i = (i + 1) % 200) {
      await harness!.write(i, i + 1, VALUE_BYTES)
      await sleep(10)
    }
  })()
  await harness!.startStore(3)
  await poll(() => metric(3, 'snapshots_installed') >= 1)
  writing = false
  await load
  await mustBeWhole()
})

it('a receiver without room: its leader asks again now and then, until there is some', async () => {
  await away({ snapIoMaxBytesPerSec: 1_000_000_000 })
  const disk = { totalBytes: 10 * GIB, freeBytes: 128 * MIB + KIB }
  harness!.probes.set(3, { measure: () => disk })
  const startMs = performance.now()
  await harness!.startStore(3, { reserveSpaceBytes: 0 })
  await poll(() => metric(3, 'snapshots_offers_refused') >= 3)
  // The first at once, the others after 0.5 s, 1 s, …
  expect(performance.now() - startMs).toBeGreaterThan(1500)
  expect(metric(3, 'snapshots_receive_failures')).toBe(0)
  expect(readdirSync(join(harness!.storeDir(3), 'snap'))).toEqual([])
  disk.freeBytes = GIB
  await poll(() => metric(3, 'snapshots_installed') === 1)
  await mustBeWhole()
})
