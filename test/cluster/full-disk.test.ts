/**
 * Real processes that run out of space, on a real small file system and against a limit on the size
 * of files. Whatever happens: nothing that was acknowledged is lost, and the store says what is wrong.
 */
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it, type TestContext } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { connect } from '../../src/client/connect.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { AcknowledgedWrites } from './acknowledged.ts'
import { Processes } from './processes.ts'
import { mountSmallDisk, type SmallDisk } from './small-disk.ts'

let processes: Processes | undefined
let kv: KvClient | undefined
let writes: AcknowledgedWrites | undefined
let disk: SmallDisk | undefined

afterEach(async () => {
  await writes?.stop()
  await kv?.close()
  await processes?.destroy()
  disk?.unmount()
  writes = undefined
  kv = undefined
  processes = undefined
  disk = undefined
})

/** Little of everything, so that a few mebibytes are a disk. */
const SETTINGS = `
[raft-engine]
target-file-size = "1MiB"
purge-threshold = "4MiB"
[raftstore]
raft-log-gc-tick-interval = "100ms"
raft-log-gc-count-limit = 200
[rocksdb.defaultcf]
write-buffer-size = "256KiB"
[storage]
reserve-space = "12MiB"
[storage.block-cache]
capacity = "1MiB"
`
/** A store that was away catches up by entries, not by files of its own. */
const LOGS_STAY = SETTINGS.replace('purge-threshold = "4MiB"\n', '').replace(
  'raft-log-gc-count-limit = 200\n',
  '',
)
/** Nor has RocksDB anything to compact: a start would remove what a killed compaction left behind. */
const CALM = LOGS_STAY.replace('"256KiB"', '"16MiB"')
const VALUE_BYTES = 8_000

/** One store on a file system of 64 MiB, whose directory it returns. */
async function startOnSmallDisk(
  context: TestContext,
  regions: number,
  settings: string,
): Promise<string> {
  disk = mountSmallDisk(64)
  if (disk === undefined) return context.skip()
  processes = await Processes.start(regions, settings, { stores: 1, storesDir: disk.dir })
  return disk.dir
}

async function load(): Promise<AcknowledgedWrites> {
  kv = await connect({ pd: [processes!.pd], timeoutMs: 2_000 })
  writes = new AcknowledgedWrites(kv, 'full', VALUE_BYTES)
  writes.start(16)
  return writes
}

async function mustHaveAll(): Promise<void> {
  await writes!.stop()
  await kv!.close()
  kv = await connect({ pd: [processes!.pd], timeoutMs: 20_000 })
  expect(await writes!.missing(kv)).toEqual([])
}

async function mustTakeWritesAndHaveAll(): Promise<void> {
  await kv!.put('more', 'room')
  await mustHaveAll()
  expect((await kv!.get('more'))?.toString()).toBe('room')
}

const diskState = async (): Promise<string | undefined> => (await processes!.status(1))?.disk?.state

const reserveBytes = (): Promise<number> => processes!.metric(1, 'disk_reserve_bytes')

/** Takes all the space that is left. */
function fillUp(path: string): void {
  const file = openSync(path, 'w')
  const chunk = Buffer.alloc(64 * 1024, 1)
  try {
    for (;;) writeSync(file, chunk)
  } catch (error) {
    expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC')
  } finally {
    closeSync(file)
  }
}

/** The one line for people, behind the log's. */
function lastWords(number: number): string[] {
  return processes!
    .output(number)
    .split('\n')
    .filter((line) => line.startsWith('polyraft: '))
}

describe('a small file system', () => {
  it('fills up under load: writes stop, and go on when there is room', async (context) => {
    const dir = await startOnSmallDisk(context, 2, SETTINGS)
    const ballast = join(dir, 'ballast')
    // It grows while there is room.
    await expect.poll(reserveBytes, { timeout: 20_000 }).toBe(12 * MIB)
    const loading = await load()
    await expect.poll(diskState, { timeout: 50_000, interval: 10 }).toMatch(/full/)
    await loading.stop()
    expect(loading.acknowledged.size).toBeGreaterThan(500)
    expect(await loading.missing(kv!)).toEqual([])
    // Somebody else takes the rest: a restart lives on the reserve.
    await processes!.kill(1)
    fillUp(ballast)
    await processes!.startStore(1)
    expect(await loading.missing(kv!)).toEqual([])
    rmSync(ballast)
    await mustTakeWritesAndHaveAll()
  }, 120_000)

  it('is taken by somebody else: writes and starts say so, and go on when there is room', async (context) => {
    // One region, which writes nothing by itself once it answered a write; and no reserve.
    const settings = CALM.replace('"100ms"', '"1h"').replace('"12MiB"', '0')
    const dir = await startOnSmallDisk(context, 1, settings)
    const loading = await load()
    // More in the write buffer than opening, which must write it, can find by removing what is of no use.
    await loading.more(700)
    await loading.stop()
    fillUp(join(dir, 'ballast'))
    await expect.poll(diskState, { timeout: 10_000, interval: 50 }).toBe('full')
    await expect(kv!.delete('more')).rejects.toMatchObject({ code: 'DiskFull' })
    expect(await loading.missing(kv!)).toEqual([])
    await processes!.kill(1)
    fillUp(join(dir, 'rest'))
    await expect(processes!.startStore(1)).rejects.toThrow('store 1 ended: 1')
    expect(lastWords(1)).toEqual([expect.stringMatching(/free space/)])
    for (const name of ['rest', 'ballast']) rmSync(join(dir, name))
    await processes!.startStore(1)
    await mustTakeWritesAndHaveAll()
  }, 120_000)

  it('is filled by somebody else in the middle of writes: nothing acknowledged is lost', async (context) => {
    const dir = await startOnSmallDisk(context, 2, SETTINGS)
    const loading = await load()
    await loading.more(500)
    const ended = processes!.exited(1)
    let code: number | string | undefined
    void ended.then((value) => {
      code = value
    })
    // The store survives if it sees the disk before it needs it; its next need finds none.
    for (let i = 0; code === undefined && i < 40; i++) {
      fillUp(join(dir, `ballast-${i}`))
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    for (let i = 0; i < 40; i++) rmSync(join(dir, `ballast-${i}`), { force: true })
    // It may still be about to end.
    const more = loading.more(50)
    await Promise.race([more, ended])
    if (code !== undefined) {
      expect(code).toBe(1)
      expect(lastWords(1)).toEqual([expect.stringMatching(/free space/)])
      await processes!.startStore(1)
    }
    await more
    await mustHaveAll()
  }, 120_000)
})

describe('a write that the disk refuses', () => {
  const cases = [
    // The raft log's files may not grow as large as they are to be; RocksDB's never get there.
    ['raft log', LOGS_STAY, 512, /^polyraft: raft log: .*then start the store again$/],
    // Its files stay far below, as it never missed much that would come at once.
    ['RocksDB', CALM, 6_000, /^polyraft: a write to RocksDB failed: .*start it again afterwards/],
  ] as const

  it.each(cases)(
    '%s: the store stops with one clear line, others take the lead',
    async (_what, settings, fileKib, line) => {
      processes = await Processes.start(6, settings, { fileKib })
      const loading = await load()
      expect(await processes.exited(1)).toBe(1)
      expect(lastWords(1)).toEqual([expect.stringMatching(line)])
      expect(processes.output(1)).not.toMatch(/\n\s+at /)
      expect(processes.output(1)).not.toMatch(/"stack"/)
      await loading.more(300)
      await processes.startStore(1)
      await loading.more(100)
      await mustHaveAll()
      expect(loading.longestGapMs).toBeLessThan(3_000)
    },
    120_000,
  )
})
