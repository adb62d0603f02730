/** A store that was away for longer than logs remember catches up by snapshots. */
import { closeSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { dataKey } from '../../src/region/keys.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { dataOf, FORGETFUL, keyOf, StoreHarness } from './harness.ts'
import { receivedSet } from './received-set.ts'

let harness: StoreHarness | undefined

afterEach(async () => {
  await harness?.close()
  harness = undefined
})

/** No running store's log goes back to where the other one's ended. */
async function compactedPast(lasts: ReadonlyMap<number, number>): Promise<void> {
  await expect.poll(() => harness!.reaching(lasts), { timeout: 20_000 }).toEqual([])
}

async function caughtUp(number: number): Promise<void> {
  await expect.poll(() => harness!.behind(number), { timeout: 40_000, interval: 100 }).toEqual([])
}

const metric = (number: number, name: string): number =>
  harness!.stores.get(number)!.metrics()[name]!

/** What the engine of a stopped store holds: all that was written with values of this size. */
async function mustHold(number: number, keys: number): Promise<void> {
  await mustHoldFrom(number, 0, keys, 100)
}

async function mustHoldFrom(
  number: number,
  from: number,
  to: number,
  valueBytes = VALUE_BYTES,
): Promise<void> {
  const engine = await openRocksDb({
    dir: join(harness!.storeDir(number), 'kv'),
    logger: silentLogger,
  })
  try {
    const missing: string[] = []
    for (let i = from; i < to; i++) {
      const value = engine.get(ColumnFamily.Default, dataKey(Buffer.from(keyOf(i))))
      if (value?.subarray(0, -1).toString() !== dataOf(i, valueBytes)) missing.push(keyOf(i))
    }
    expect(missing).toEqual([])
  } finally {
    await engine.close()
  }
}

describe('a store that comes back', () => {
  it('catches up by a snapshot, and goes on from there', async () => {
    harness = await StoreHarness.start({ config: FORGETFUL })
    await harness.write(0, 200)
    const lasts = await harness.stopStore(3)
    await harness.write(200, 1500)
    await compactedPast(lasts)
    await harness.startStore(3)
    await caughtUp(3)
    expect(metric(3, 'snapshots_installed')).toBe(1)
    await harness.write(1500, 1600)
    await caughtUp(3)
    expect(harness.failures).toEqual([])
    // Nothing is left of the transfer.
    for (const number of [1, 2, 3]) {
      const dir = join(harness.storeDir(number), 'snap')
      await expect.poll(() => readdirSync(dir), { timeout: 10_000 }).toEqual([])
    }
    await harness.stopStore(3)
    await mustHold(3, 1600)
  })

  it('does so in every region while writes go on, with few at a time', async () => {
    const regions = 24
    const config = { ...FORGETFUL, concurrentSendSnapLimit: 2, concurrentRecvSnapLimit: 3 }
    harness = await StoreHarness.start({ regions, config })
    await harness.write(0, 500)
    const lasts = await harness.stopStore(3)
    await harness.write(500, 4000)
    await compactedPast(lasts)
    const writing = harness.write(4000, 8000)
    await harness.startStore(3)
    await writing
    await caughtUp(3)
    expect(metric(3, 'snapshots_installed')).toBeGreaterThanOrEqual(regions)
    expect(harness.failures).toEqual([])
    await harness.stopStore(3)
    await mustHold(3, 8000)
  })
})

/**
 * Brings store 3 into the middle of an installation, as a crash leaves it: its log ends far below
 * the snapshot, which is made from what store 1 holds.
 */
async function interrupt(
  at: (installer: SnapshotInstaller, files: string[]) => void,
): Promise<void> {
  harness = await StoreHarness.start({ config: FORGETFUL })
  await harness.write(0, 100)
  const lasts = await harness.stopStore(3)
  await harness.write(100, KEYS, VALUE_BYTES)
  await compactedPast(lasts)
  await harness.stopStore(1)
  const dir = join(harness.storeDir(3), 'snap')
  const made = await receivedSet(harness!.storeDir(1), dir)
  const engine = await openRocksDb({ dir: join(harness.storeDir(3), 'kv') })
  try {
    const installer = new SnapshotInstaller(engine, nodeFileSystem, dir, made)
    installer.record({ term: made.term, vote: 0, index: made.index, indexTerm: made.term })
    at(
      installer,
      readdirSync(dir).map((name) => join(dir, name)),
    )
    installer.close()
  } finally {
    await engine.close()
  }
  await harness.startStore(1)
  await harness.startStore(3)
}

const KEYS = 3000
const VALUE_BYTES = 1000

describe('a crash during an installation', () => {
  const phases: [string, (installer: SnapshotInstaller, files: string[]) => void][] = [
    ['once it is recorded', () => {}],
    ['once the old data is gone', (installer) => installer.clear()],
    [
      'in the middle of the rows',
      (installer) => {
        installer.clear()
        for (let i = 0; i < 5; i++) installer.step()
      },
    ],
    [
      'before it is finished',
      (installer) => {
        installer.clear()
        while (!installer.step()) {}
      },
    ],
  ]

  it.each(phases)('%s is made good by the next start', async (_when, at) => {
    await interrupt(at)
    await expect.poll(() => metric(3, 'snapshots_installed'), { timeout: 20_000 }).toBe(1)
    await caughtUp(3)
    expect(metric(3, 'snapshots_received')).toBeLessThan(2)
    await harness!.write(KEYS, KEYS + 50, VALUE_BYTES)
    await caughtUp(3)
    expect(harness!.failures).toEqual([])
    await harness!.stopStore(3)
    await mustHoldFrom(3, 100, KEYS + 50)
  })

  const damages: [string, (installer: SnapshotInstaller, files: string[]) => void][] = [
    [
      'a damaged file',
      (_installer, files) => {
        const fd = openSync(files.find((file) => file.endsWith('.rows'))!, 'r+')
        writeSync(fd, Buffer.from('damage'), 0, 6, 400_000)
        closeSync(fd)
      },
    ],
    [
      'a missing file',
      (_installer, files) => rmSync(files.find((file) => file.endsWith('.rows'))!),
    ],
    [
      'files that lost their meta',
      (_installer, files) => rmSync(files.find((file) => file.endsWith('.meta'))!),
    ],
  ]

  it.each(damages)('that leaves %s ends with another snapshot', async (_what, at) => {
    await interrupt(at)
    // The leader's own term has to be in the log before a snapshot can be asked for.
    await harness!.write(KEYS, KEYS + 50, VALUE_BYTES)
    await expect.poll(() => metric(3, 'snapshots_installed'), { timeout: 30_000 }).toBe(1)
    await caughtUp(3)
    expect(metric(3, 'snapshots_received')).toBe(1)
    expect(harness!.failures).toEqual([])
    await harness!.stopStore(3)
    await mustHoldFrom(3, 100, KEYS + 50)
  })
})
