/** The log on the machine's disk, with writer and fetch threads. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { entries, fetch, HARD, open, readAll, shown } from './harness.ts'

let dir: string

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'polyraft-raftlog-'))
})

afterEach(() => {
  rmSync(dir, { recursive: true, force: true })
})

it('writes on several threads and comes back with another number of them', async () => {
  const fs = nodeFileSystem
  let last = 0
  for (const writers of [3, 1, 0, 2]) {
    const { log, untilPersisted, failures } = await open({ dir, fs, writers, segmentBytes: 32768 })
    for (let region = 1; region <= 7; region++) {
      if (log.state(region) === undefined) log.create(region, 0, 0, HARD)
      expect(log.state(region)!.lastIndex).toBe(last)
    }
    for (let ready = 1; ready <= 30; ready++) {
      for (let regionId = 1; regionId <= 7; regionId++) {
        const made = entries(last + ready, last + ready, writers + 1, 300)
        log.write({ regionId, readyNumber: ready, entries: made, hardState: undefined })
      }
      log.flush()
    }
    last += 30
    for (let region = 1; region <= 7; region++) await untilPersisted(region, 30)
    await log.close()
    expect(failures).toEqual([])
  }
  const { log } = await open({ dir, fs })
  for (let region = 1; region <= 7; region++) {
    const found = await readAll(log, region)
    expect(found.map((one) => one.index)).toEqual(Array.from({ length: 120 }, (_, i) => i + 1))
    expect([0, 30, 60, 90].map((at) => found[at]!.term)).toEqual([4, 2, 1, 3])
  }
  await log.close()
})

it('answers several rounds that waited with one acknowledgement', async () => {
  const { log, persisted, untilPersisted } = await open({ dir, fs: nodeFileSystem, writers: 1 })
  log.create(1, 0, 0, HARD)
  for (let ready = 1; ready <= 50; ready++) {
    const made = entries(ready, ready, 1)
    log.write({ regionId: 1, readyNumber: ready, entries: made, hardState: undefined })
    log.flush()
  }
  await untilPersisted(1, 50)
  expect(persisted.length).toBeLessThan(10)
  expect(log.stats().raftlog_rounds).toBe(50)
  await log.close()
})

it('fetches evicted entries on a thread, while new ones are written', async () => {
  const { log, untilPersisted } = await open({
    dir,
    fs: nodeFileSystem,
    writers: 1,
    cacheBytes: 0,
    segmentBytes: 16384,
  })
  log.create(1, 0, 0, HARD)
  for (let ready = 1; ready <= 100; ready++) {
    const made = entries(ready, ready, 1, 500)
    log.write({ regionId: 1, readyNumber: ready, entries: made, hardState: undefined })
    log.flush()
  }
  await untilPersisted(1, 100)
  expect(log.entries(1, 10, 101, 1e6)).toBe('temporarily-unavailable')
  const fetched = fetch(log, 1, 10, 101, 20_000)
  log.write({ regionId: 1, readyNumber: 101, entries: entries(101, 101, 1), hardState: undefined })
  log.flush()
  await fetched
  const found = log.entries(1, 10, 101, 20_000)
  expect(shown(found).split(' ')).toHaveLength(40)
  expect(shown(found)).toMatch(/^10@1 11@1 .* 49@1$/)
  await log.close()
})

it('deletes segments that compaction emptied, though idle regions have their state there', async () => {
  const { log, untilPersisted } = await open({
    dir,
    fs: nodeFileSystem,
    writers: 2,
    segmentBytes: 16384,
  })
  for (let region = 1; region <= 20; region++) {
    log.create(region, 5, 5, HARD)
    const hardState = { term: 9, vote: region, commit: 5 }
    log.write({ regionId: region, readyNumber: 1, entries: [], hardState })
  }
  for (let ready = 2; ready <= 300; ready++) {
    for (const regionId of [1, 2]) {
      const made = entries(ready + 4, ready + 4, 9, 400)
      log.write({ regionId, readyNumber: ready, entries: made, hardState: undefined })
      if (ready > 10) log.compact(regionId, ready - 5)
    }
    log.flush()
    if (ready % 50 === 0) await untilPersisted(1, ready)
  }
  await log.close()
  const left = readdirSync(dir).filter((name) => name.endsWith('.log'))
  expect(left.length).toBeLessThan(8)
  const second = await open({ dir, fs: nodeFileSystem })
  expect(second.log.regions()).toHaveLength(20)
  for (let region = 3; region <= 20; region++) {
    expect(second.log.state(region)!.hardState.vote).toBe(region)
  }
  await second.log.close()
})

it('fails once when its directory goes away', async () => {
  const { log, failures, persisted } = await open({
    dir,
    fs: nodeFileSystem,
    writers: 1,
    segmentBytes: 4096,
  })
  rmSync(dir, { recursive: true })
  log.create(1, 0, 0, HARD)
  log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 1, 1), hardState: undefined })
  log.flush()
  await log.close()
  expect(failures).toMatchObject([{ code: 'DiskError' }])
  expect(persisted).toEqual([])
})
