/** Recovery modes, and what a long recovery says. */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { MIB } from '../../src/base/limits.ts'
import type { Logger } from '../../src/base/logger.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import type { RecoveryMode } from '../../src/raftlog/recovery.ts'
import { RecoveryProgress } from '../../src/raftlog/recovery-progress.ts'
import { scanLog } from '../../src/raftlog/scan.ts'
import { DIR, entries, HARD, ManualSink, open, readAll, shown } from './harness.ts'

/** A log that lost its power in the middle: its newest block is torn at `tear` of its bytes. */
async function torn(recoveryMode: RecoveryMode, tear: number): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem()
  const { log } = await open({ fs: disk, segmentBytes: 4096, recoveryMode })
  log.create(1, 0, 0, HARD)
  for (let index = 1; index <= 41; index++) {
    const one = entries(index, index, 1, 300)
    log.write({ regionId: 1, readyNumber: index, entries: one, hardState: undefined })
    if (index % 8 === 0) log.compact(1, index - 4)
    log.flush()
  }
  const { end } = scanLog(disk, DIR).segments.at(-1)!
  const name = disk.list(DIR).findLast((each) => /^\d/.test(each))!
  const bytes = disk.bytes(join(DIR, name))
  for (let at = end - tear; at < end; at++) bytes[at]! ^= 0xff
  const crashed = new MemoryFileSystem()
  for (const each of disk.list(DIR)) crashed.plant(join(DIR, each), disk.bytes(join(DIR, each)))
  crashed.plant(join(DIR, name), bytes)
  return crashed
}

describe('recovery mode', () => {
  it('tolerate-tail cuts an unfinished write', async () => {
    const { log } = await open({ fs: await torn('tolerate-tail', 30) })
    expect(shown(await readAll(log, 1)).endsWith('40@1')).toBe(true)
  })

  it('absolute refuses it, says how to go on, and changes nothing', async () => {
    const disk = await torn('absolute', 30)
    const before = disk.list(DIR).map((name) => disk.bytes(join(DIR, name)).toString('hex'))
    const refused = open({ fs: disk, recoveryMode: 'absolute' })
    await expect(refused).rejects.toMatchObject({
      code: 'Corruption',
      message: expect.stringContaining('"tolerate-tail" would cut it off'),
    })
    const after = disk.list(DIR).map((name) => disk.bytes(join(DIR, name)).toString('hex'))
    expect(after).toEqual(before)
  })

  it('absolute accepts what a kill leaves: zeros ahead, and no recycled file', async () => {
    const disk = await torn('absolute', 0)
    expect(disk.list(DIR).some((name) => name.startsWith('spare'))).toBe(false)
    const { log } = await open({ fs: disk, recoveryMode: 'absolute' })
    expect(shown(await readAll(log, 1)).endsWith('41@1')).toBe(true)
  })

  it('absolute drops the spares of an earlier mode', async () => {
    const disk = await torn('tolerate-tail', 0)
    expect(disk.list(DIR).some((name) => name.startsWith('spare'))).toBe(true)
    const first = await open({ fs: disk })
    await first.log.close()
    const { log } = await open({ fs: disk, recoveryMode: 'absolute' })
    expect(disk.list(DIR).some((name) => name.startsWith('spare'))).toBe(false)
    await log.close()
  })

  it('is refused when there is none of that name', async () => {
    const wrong = open({ recoveryMode: 'abslute' as RecoveryMode })
    await expect(wrong).rejects.toBeInstanceOf(PolyraftError)
    await expect(wrong).rejects.toMatchObject({ code: 'ConfigInvalid' })
  })
})

/** One block fsynced, a second one written only; then the process is killed. */
async function killedBeforeFsync(bytes: number): Promise<MemoryFileSystem> {
  const disk = new MemoryFileSystem()
  let sink: ManualSink | undefined
  const { log, persisted } = await open({
    fs: disk,
    openSink: (at, events) => {
      sink = new ManualSink(disk, at, events)
      return sink
    },
  })
  log.create(1, 0, 0, HARD)
  const first = { entries: entries(1, 1, 1, bytes), hardState: { term: 1, vote: 0, commit: 0 } }
  log.write({ regionId: 1, readyNumber: 1, ...first })
  log.flush()
  sink!.commit()
  const second = { entries: entries(2, 3, 2, bytes), hardState: { term: 2, vote: 3, commit: 1 } }
  log.write({ regionId: 1, readyNumber: 2, ...second })
  log.flush()
  sink!.write()
  expect(persisted).toEqual([[1, 1]])
  return disk.afterProcess()
}

describe('what a start finds is durable once it may be relied on', () => {
  // Behind the larger ones nothing stands that would have to be cut off.
  it.each([
    { bytes: 100, fsync: 'not begun' },
    { bytes: 20_000, fsync: 'not begun' },
    { bytes: 100, fsync: 'failed' },
    { bytes: 20_000, fsync: 'failed' },
  ])('entries of $bytes bytes, whose fsync had $fsync', async ({ bytes, fsync }) => {
    const disk = await killedBeforeFsync(bytes)
    if (fsync === 'failed') disk.forgetUnsynced()
    const { log, persisted } = await open({ fs: disk })
    const found = { shown: shown(await readAll(log, 1)), state: log.state(1) }
    expect(found.shown).toBe('1@1 2@2 3@2')
    // Something newer, of another region, is acknowledged.
    log.create(2, 0, 0, HARD)
    log.write({ regionId: 2, readyNumber: 1, entries: entries(1, 1, 1), hardState: HARD })
    log.flush()
    expect(persisted).toEqual([[2, 1]])
    disk.crash()
    const after = await open({ fs: disk })
    expect(shown(await readAll(after.log, 1))).toBe(found.shown)
    expect(after.log.state(1)).toEqual(found.state)
    expect(shown(await readAll(after.log, 2))).toBe('1@1')
  })
})

describe('recovery progress', () => {
  it('is told every two seconds, with what is left, and at the end', () => {
    const told: object[] = []
    const logger = { info: (fields: object) => told.push(fields) } as unknown as Logger
    let now = 0
    const progress = new RecoveryProgress(100 * MIB, 10, logger, () => now)
    for (let i = 0; i < 10; i++) {
      now += 500
      progress.segment(10 * MIB)
    }
    progress.finish(7)
    expect(told).toEqual([
      { segments: '4 of 10', MiB: '40 of 100', ms: 2000, secondsLeft: 3 },
      { segments: '8 of 10', MiB: '80 of 100', ms: 4000, secondsLeft: 1 },
      { segments: '10 of 10', MiB: '100 of 100', ms: 5000, regions: 7 },
    ])
  })
})
