/** What a store says and does about a data directory that lost something, was cut, or swapped. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { dataOf, keyOf, StoreHarness } from './harness.ts'

let harness: StoreHarness
const KEYS = 300
const dir = (...names: string[]): string => join(harness.storeDir(1), ...names)

/** RocksDB's write-ahead logs, with their sizes. */
function walFiles(): { path: string; bytes: number }[] {
  return readdirSync(dir('kv'))
    .filter((name) => name.endsWith('.log'))
    .map((name) => ({ path: dir('kv', name), bytes: readFileSync(dir('kv', name)).length }))
}

function segments(): string[] {
  if (!existsSync(dir('raft'))) return []
  return readdirSync(dir('raft')).filter((name) => name.endsWith('.log'))
}

async function mustHoldAll(): Promise<void> {
  for (let i = 0; i < KEYS; i++) {
    expect((await harness.kv.get(keyOf(i)))?.toString()).toBe(dataOf(i, 100))
  }
}

/** The start is refused; it names what is wrong and what to do, and leaves the files as they are. */
async function isRefused(what: RegExp): Promise<void> {
  const before = segments()
  const error = await harness.startStore(1).then(
    () => undefined,
    (thrown: unknown) => thrown as Error,
  )
  expect(error).toMatchObject({ code: 'Corruption', message: expect.stringMatching(what) })
  expect(error!.message).toMatch(/store delete ID --physically-destroyed|delete that file/)
  expect(segments()).toEqual(before)
  // It gave everything back: the same is found again.
  await expect(harness.startStore(1)).rejects.toThrow(what)
}

afterEach(() => harness.close())

describe('kv/ behind the raft log', () => {
  /** Nothing is compacted, so the log has it all. */
  beforeEach(async () => {
    harness = await StoreHarness.start({
      stores: 1,
      config: { raftLogGcTickIntervalMs: 3_600_000 },
    })
    await harness.write(0, KEYS)
    await harness.stopStore(1)
  })

  it('by any part of its write-ahead log: the raft log brings it again', async () => {
    const [wal] = walFiles()
    expect(wal!.bytes).toBeGreaterThan(10_000)
    // The beginning holds the identity and the regions, which were fsynced.
    for (const share of [0.9, 0.6, 0.3]) {
      cpSync(harness.storeDir(1), `${harness.storeDir(1)}-whole`, { recursive: true })
      truncateSync(wal!.path, Math.floor(wal!.bytes * share))
      await harness.startStore(1)
      await mustHoldAll()
      await harness.stopStore(1)
      rmSync(harness.storeDir(1), { recursive: true })
      renameSync(`${harness.storeDir(1)}-whole`, harness.storeDir(1))
    }
  })

  it('by rotten bytes in the middle of its write-ahead log: the raft log brings it again', async () => {
    const [wal] = walFiles()
    const bytes = readFileSync(wal!.path)
    const middle = Math.floor(bytes.length / 2)
    bytes.fill(0x55, middle, middle + 16)
    writeFileSync(wal!.path, bytes)
    await harness.startStore(1)
    await mustHoldAll()
  })

  it('to before its beginning: refused, it would start as new', async () => {
    for (const { path } of walFiles()) truncateSync(path, 0)
    await isRefused(/kv\/ beside it is empty: it was lost/)
  })

  it('altogether: refused', async () => {
    rmSync(dir('kv'), { recursive: true })
    await isRefused(/kv\/ beside it is empty: it was lost/)
  })

  it('by a missing file: refused', async () => {
    const manifest = readdirSync(dir('kv')).find((name) => name.startsWith('MANIFEST'))!
    rmSync(dir('kv', manifest))
    await expect(harness.startStore(1)).rejects.toMatchObject({
      message: expect.stringContaining(dir('kv')),
    })
  })
})

it('kv/ behind a raft log that was compacted: refused', async () => {
  const config = { raftLogGcTickIntervalMs: 50, raftLogGcThreshold: 5, raftLogReserveMaxTicks: 1 }
  harness = await StoreHarness.start({ stores: 1, config })
  await harness.write(0, 50)
  const early = walFiles().map(({ path, bytes }) => ({ path, bytes }))
  const compacted = (): number => harness.stores.get(1)!.metrics().compacted_entries!
  for (let i = 50; i < 150; i++) await harness.write(i, i + 1)
  await expect.poll(compacted, { timeout: 20_000 }).toBeGreaterThan(50)
  await harness.stopStore(1)
  for (const { path, bytes } of early) if (existsSync(path)) truncateSync(path, bytes)
  await isRefused(/one of raft\/ and kv\/ lost data/)
})

describe('the raft log', () => {
  beforeEach(async () => {
    // Small segments, of which there are several.
    const config = { raftLogSegmentBytes: 16_384, raftLogGcTickIntervalMs: 3_600_000 }
    harness = await StoreHarness.start({ stores: 1, config })
    await harness.write(0, KEYS)
    await harness.stopStore(1)
    expect(segments().length).toBeGreaterThan(2)
  })

  it('without its newest segment, or any other, is refused', async () => {
    for (const at of [-1, 1, 0]) {
      const path = dir('raft', segments().at(at)!)
      renameSync(path, `${path}.away`)
      await isRefused(/missing|in no segment/)
      renameSync(`${path}.away`, path)
    }
    await harness.startStore(1)
    await mustHoldAll()
  })

  it('cut short behind what kv/ applied is refused', async () => {
    const path = dir('raft', segments().at(-1)!)
    truncateSync(path, 100)
    await isRefused(/one of raft\/ and kv\/ lost data/)
  })

  it('lost altogether is refused', async () => {
    rmSync(dir('raft'), { recursive: true })
    await isRefused(/raft\/ was lost/)
  })

  it('whose owner cannot be read is refused, and taken without that file', async () => {
    writeFileSync(dir('raft', 'OWNER'), 'store')
    await isRefused(/OWNER is damaged/)
    rmSync(dir('raft', 'OWNER'))
    await harness.startStore(1)
    await mustHoldAll()
    expect(readFileSync(dir('raft', 'OWNER'), 'utf8')).toMatch(/^store \d+ of cluster \d+\n$/)
  })
})

it('directories swapped between two stores of a cluster are refused', async () => {
  harness = await StoreHarness.start({ stores: 3 })
  await harness.write(0, 50)
  await harness.stopStore(1)
  await harness.stopStore(2)
  renameSync(dir('kv'), dir('kv-away'))
  cpSync(join(harness.storeDir(2), 'kv'), dir('kv'), { recursive: true })
  await isRefused(/was swapped; put it back/)
})

it('LOCK is only a note: its content and its absence decide nothing', async () => {
  harness = await StoreHarness.start({ stores: 1 })
  await harness.write(0, KEYS)
  for (const content of ['not a pid', undefined]) {
    await harness.stopStore(1)
    if (content === undefined) rmSync(dir('LOCK'))
    else writeFileSync(dir('LOCK'), content)
    await harness.startStore(1)
    await mustHoldAll()
  }
  writeFileSync(dir('LOCK'), '1')
  const two = harness.stores.get(1)!
  await expect(harness.startStore(1)).rejects.toMatchObject({ code: 'DataDirLocked' })
  harness.stores.set(1, two)
})
