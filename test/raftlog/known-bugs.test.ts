/**
 * Bugs that other systems had in or around their logs, as far as a log can have them. Raft's own
 * part of etcd#10166 (a commit index above the last entry) and all of tikv#11396 (applying ahead of
 * a persisted commit) belong to raft and the store.
 */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import {
  DIR,
  entries,
  HARD,
  ManualSink,
  type OpenOptions,
  open,
  readAll,
  shown,
} from './harness.ts'

const MAX = 64 << 20

/** A log whose moments of writing and syncing the test decides. */
async function manual(options: OpenOptions = {}) {
  const disk = new MemoryFileSystem()
  let sink: ManualSink | undefined
  const opened = await open({
    fs: disk,
    ...options,
    openSink: (at, events) => {
      sink = new ManualSink(disk, at, events)
      return sink
    },
  })
  return { ...opened, disk, sink: sink! }
}

describe('known bugs', () => {
  it('16 etcd#14370: nothing is acknowledged before it is durable', async () => {
    const { log, sink, disk, persisted } = await manual()
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 3, 1), hardState: undefined })
    expect(persisted).toEqual([])
    log.flush()
    sink.write()
    expect(persisted).toEqual([])
    sink.commit()
    expect(persisted).toEqual([[1, 1]])
    disk.crash()
    const { log: again } = await open({ fs: disk })
    expect(shown(await readAll(again, 1))).toBe('1@1 2@1 3@1')
  })

  it('17 etcd#10166: a lost tail never leaves a commit index above the last entry', async () => {
    const { log, sink, disk } = await manual()
    log.create(1, 0, 0, HARD)
    for (let index = 1; index <= 5; index++) {
      const hardState = { term: 1, vote: 1, commit: index }
      log.write({ regionId: 1, readyNumber: index, entries: entries(index, index, 1), hardState })
      log.flush()
      sink.write()
    }
    const [name] = disk.list(DIR)
    const bytes = disk.bytes(join(DIR, name!))
    for (let end = 0; end <= log.stats().raftlog_disk_bytes!; end++) {
      const cut = new MemoryFileSystem()
      cut.plant(join(DIR, name!), bytes.subarray(0, end))
      const { log: again } = await open({ fs: cut })
      const state = again.state(1)
      if (state !== undefined) expect(state.hardState.commit).toBe(state.lastIndex)
      await again.close()
    }
  })

  it('18 etcd#22442: replay does not bring truncated entries back', async () => {
    const disk = new MemoryFileSystem()
    const options = { fs: disk, segmentBytes: 4096, purgeBytes: 4096 }
    const first = await open(options)
    first.log.create(1, 0, 0, HARD)
    first.log.create(2, 0, 0, HARD)
    let readyNumber = 0
    const write = (regionId: number, from: number, to: number, term: number) => {
      const made = entries(from, to, term, 100)
      first.log.write({ regionId, readyNumber: ++readyNumber, entries: made, hardState: undefined })
      first.log.flush()
    }
    write(1, 1, 10, 1)
    write(1, 5, 6, 2)
    // Fills segments, so that region 1 is written again and its first place goes.
    for (let index = 1; index <= 100; index++) {
      write(2, index, index, 2)
      if (index > 2) first.log.compact(2, index - 1)
    }
    expect(first.log.stats().raftlog_rewritten_bytes).toBeGreaterThan(0)
    expect(first.log.stats().raftlog_segments_purged).toBeGreaterThan(0)
    await first.log.close()
    const { log } = await open(options)
    expect(shown(await readAll(log, 1))).toBe('1@1 2@1 3@1 4@1 5@2 6@2')
  })

  it('19 cockroach#63302: entries larger than the cache replace those in it', async () => {
    const { log } = await open({ cacheBytes: 2000 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 8, 1), hardState: undefined })
    log.flush()
    const large = entries(3, 6, 2, 5000)
    log.write({ regionId: 1, readyNumber: 2, entries: large, hardState: undefined })
    log.flush()
    expect(log.entries(1, 7, 9, MAX)).toBe('unavailable')
    const found = await readAll(log, 1)
    expect(shown(found)).toBe('1@1 2@1 3@2 4@2 5@2 6@2')
    expect(found.slice(2).every(({ data }) => data.length === 5000)).toBe(true)
  })

  it('20 tikv#19697: terms are told only of entries that the log has', async () => {
    const { log } = await open()
    log.create(1, 5, 3, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(6, 15, 4), hardState: undefined })
    log.write({ regionId: 1, readyNumber: 2, entries: entries(11, 12, 5), hardState: undefined })
    log.compact(1, 8)
    const terms = [7, 8, 9, 10, 11, 12, 13, 15].map((index) => log.term(1, index))
    expect(terms).toEqual(['compacted', 4, 4, 4, 5, 5, 'unavailable', 'unavailable'])
    log.flush()
    await log.close()
  })

  it('21 tikv#17868: what a demoted leader had in memory gives way to what replaces it', async () => {
    const { log, sink, persisted } = await manual({ cacheBytes: 0 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 9, 1), hardState: undefined })
    log.flush()
    sink.write()
    log.write({ regionId: 1, readyNumber: 2, entries: entries(4, 5, 2), hardState: undefined })
    expect(shown(log.entries(1, 1, 6, MAX) as never)).toBe('1@1 2@1 3@1 4@2 5@2')
    expect(log.entries(1, 4, 8, MAX)).toBe('unavailable')
    // The old entries become durable: that says nothing about those that replaced them.
    sink.commit()
    expect(persisted).toEqual([[1, 1]])
    log.evict(1, 9)
    expect(shown(log.entries(1, 4, 6, MAX) as never)).toBe('4@2 5@2')
    log.flush()
    sink.commit()
    expect(shown(await readAll(log, 1))).toBe('1@1 2@1 3@1 4@2 5@2')
  })
})

describe('a large log that lags', () => {
  it('is asked to be compacted, exactly as far as old segments go', async () => {
    const { log } = await open({ segmentBytes: 64 * 1024, purgeBytes: 256 * 1024 })
    log.create(1, 0, 0, HARD)
    for (let index = 1; index <= 350; index++) {
      const one = entries(index, index, 1, 1000)
      log.write({ regionId: 1, readyNumber: index, entries: one, hardState: undefined })
      log.flush()
      if (index === 200) expect(log.regionsToCompact()).toEqual([])
    }
    const [wish] = log.regionsToCompact()
    expect(wish).toMatchObject({ regionId: 1 })
    expect(wish!.index).toBeGreaterThan(50)
    expect(wish!.index).toBeLessThan(150)
    expect(log.stats().raftlog_rewritten_bytes).toBe(0)
    log.compact(1, wish!.index)
    expect(log.regionsToCompact()).toEqual([])
    log.flush()
    expect(log.stats().raftlog_segments_purged).toBeGreaterThan(0)
    expect(log.stats().raftlog_disk_bytes).toBeLessThan(256 * 1024 + 64 * 1024)
    await log.close()
  })
})

describe('a fetch', () => {
  it('from before its entries were moved asks again instead of failing', async () => {
    const disk = new MemoryFileSystem()
    const waiting: (() => void)[] = []
    const { log, failures } = await open({
      fs: disk,
      segmentBytes: 4096,
      purgeBytes: 4096,
      cacheBytes: 0,
      scheduler: { schedule: (run) => void waiting.push(run) },
    })
    for (const id of [1, 2]) log.create(id, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 4, 1), hardState: undefined })
    log.flush()
    const answers: (Error | undefined)[] = []
    log.fetch(1, 1, 5, MAX, (error) => answers.push(error))
    const [slow] = waiting.splice(0)
    for (let index = 1; index <= 100; index++) {
      const one = entries(index, index, 1, 200)
      log.write({ regionId: 2, readyNumber: index, entries: one, hardState: undefined })
      if (index > 2) log.compact(2, index - 1)
      log.flush()
      for (const run of waiting.splice(0)) run()
      for (let i = 0; i < 4; i++) await Promise.resolve()
    }
    expect(log.stats().raftlog_segments_purged).toBeGreaterThan(1)
    slow!()
    for (let i = 0; i < 4; i++) await Promise.resolve()
    expect(answers).toEqual([undefined])
    expect(log.entries(1, 1, 5, MAX)).toBe('temporarily-unavailable')
    expect(failures).toEqual([])
  })
})
