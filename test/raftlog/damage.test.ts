/** What recovery does with every kind of damage: cut a torn tail, refuse everything else. */
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { encodeSegmentHeader, SEGMENT_HEADER_BYTES } from '../../src/raftlog/format.ts'
import { DIR, entries, entry, HARD, ManualSink, open, readAll, shown } from './harness.ts'

/** Three segments of region 1; the newest ends with blocks of one entry each. */
async function threeSegments(): Promise<{ disk: MemoryFileSystem; lastStart: number }> {
  const disk = new MemoryFileSystem()
  const { log } = await open({ fs: disk, segmentBytes: 4096 })
  log.create(1, 0, 0, HARD)
  let index = 1
  const write = (size: number) => {
    const one = entry(index, 1, Buffer.alloc(size, index))
    log.write({ regionId: 1, readyNumber: index, entries: [one], hardState: undefined })
    log.flush()
    index++
  }
  while (log.stats().raftlog_segments! < 3) write(900)
  write(20)
  const lastStart = segmentEnd(log, disk)
  write(20)
  await log.close()
  return { disk, lastStart }
}

function segmentsOf(disk: MemoryFileSystem): string[] {
  return disk.list(DIR).filter((name) => name.endsWith('.log'))
}

/** Where the newest segment's blocks end, without the zeros written ahead. */
function segmentEnd(log: { stats(): Record<string, number> }, disk: MemoryFileSystem): number {
  const older = segmentsOf(disk).slice(0, -1)
  const olderBytes = older.reduce((sum, name) => sum + disk.bytes(join(DIR, name)).length, 0)
  return log.stats().raftlog_disk_bytes! - olderBytes
}

async function reopened(disk: MemoryFileSystem): Promise<string> {
  try {
    const { log } = await open({ fs: disk, segmentBytes: 4096 })
    const found = shown(await readAll(log, 1))
    await log.close()
    return found
  } catch (error) {
    return (error as { code: string }).code
  }
}

describe('a damaged raft log', () => {
  let disk: MemoryFileSystem
  let lastStart: number
  let names: string[]
  let all: string
  let allButLast: string

  beforeAll(async () => {
    ;({ disk, lastStart } = await threeSegments())
    names = segmentsOf(disk)
    all = await reopened(disk.clone())
    allButLast = all.split(' ').slice(0, -1).join(' ')
  })

  function withBytes(name: string, change: (bytes: Buffer) => Buffer): MemoryFileSystem {
    const copy = disk.clone()
    copy.plant(join(DIR, name), change(copy.bytes(join(DIR, name))))
    return copy
  }

  function flipped(name: string, position: number): MemoryFileSystem {
    return withBytes(name, (bytes) => {
      bytes[position]! ^= 0x10
      return bytes
    })
  }

  it('is built as the test expects', () => {
    expect(names).toHaveLength(3)
    expect(all.split(' ').length).toBeGreaterThan(8)
  })

  it('is refused when any byte of an older segment is wrong', async () => {
    for (const name of names.slice(0, 2)) {
      const { length } = disk.bytes(join(DIR, name))
      for (let at = 0; at < length; at++) {
        expect(`${at} ${await reopened(flipped(name, at))}`).toBe(`${at} Corruption`)
      }
    }
  })

  it('is refused when any byte before the last block of the newest one is wrong', async () => {
    for (let at = 0; at < lastStart; at++) {
      expect(`${at} ${await reopened(flipped(names[2]!, at))}`).toBe(`${at} Corruption`)
    }
  })

  it('loses the last block, no more, when any byte of that is wrong', async () => {
    const { length } = disk.bytes(join(DIR, names[2]!))
    for (let at = lastStart; at < length; at++) {
      expect(`${at} ${await reopened(flipped(names[2]!, at))}`).toBe(`${at} ${allButLast}`)
    }
  })

  it('loses the last block when its write ended at any byte', async () => {
    const { length } = disk.bytes(join(DIR, names[2]!))
    for (let end = lastStart; end < length; end++) {
      const cut = withBytes(names[2]!, (bytes) => bytes.subarray(0, end))
      expect(`${end} ${await reopened(cut)}`).toBe(`${end} ${allButLast}`)
      const zeroed = withBytes(names[2]!, (bytes) => bytes.fill(0, end))
      const lastIsZero = disk
        .bytes(join(DIR, names[2]!))
        .subarray(end)
        .every((b) => b === 0)
      expect(`${end} ${await reopened(zeroed)}`).toBe(`${end} ${lastIsZero ? all : allButLast}`)
    }
  })

  it('goes on behind a cut', async () => {
    const cut = flipped(names[2]!, lastStart + 50)
    const first = await open({ fs: cut, segmentBytes: 4096 })
    const index = first.log.state(1)!.lastIndex + 1
    const write = { regionId: 1, readyNumber: 1, hardState: undefined }
    first.log.write({ ...write, entries: entries(index, index, 2) })
    first.log.flush()
    await first.log.close()
    expect(await reopened(cut)).toBe(`${allButLast} ${index}@2`)
  })

  it('copes with zeros that were written ahead', async () => {
    const padded = withBytes(names[2]!, (bytes) => Buffer.concat([bytes, Buffer.alloc(9000)]))
    expect(await reopened(padded)).toBe(all)
    expect(await reopened(padded)).toBe(all)
  })

  it('is refused when a segment is missing, and says which', async () => {
    const copy = disk.clone()
    copy.remove(join(DIR, names[1]!))
    await expect(open({ fs: copy })).rejects.toMatchObject({
      code: 'Corruption',
      message: expect.stringMatching(/000-000000000003\.log.*segment 2 before it is missing/),
    })
  })

  it('is refused when whole blocks are missing from an older segment', async () => {
    const cut = withBytes(names[0]!, (bytes) => bytes.subarray(0, SEGMENT_HEADER_BYTES))
    await expect(open({ fs: cut })).rejects.toMatchObject({
      code: 'Corruption',
      message: expect.stringContaining('are lost'),
    })
  })

  it('names file, offset and what to do', async () => {
    await expect(open({ fs: flipped(names[1]!, 700) })).rejects.toMatchObject({
      code: 'Corruption',
      message: expect.stringMatching(
        /000-000000000002\.log is damaged at offset 44: .*store delete ID --physically-destroyed/,
      ),
      data: { path: join(DIR, names[1]!), offset: 44 },
    })
  })

  it('is refused when another version wrote it', async () => {
    const header = { version: 2, stream: 0, id: 1, run: 1, firstBlock: 1 }
    const newer = withBytes(names[0]!, (bytes) => {
      encodeSegmentHeader(header).copy(bytes)
      return bytes
    })
    await expect(open({ fs: newer })).rejects.toMatchObject({ code: 'DataDirMismatch' })
  })

  it('is left as it was found when it is refused', async () => {
    const copy = flipped(names[1]!, 700)
    const before = names.map((name) => copy.bytes(join(DIR, name)).toString('hex'))
    await expect(open({ fs: copy })).rejects.toThrow()
    expect(names.map((name) => copy.bytes(join(DIR, name)).toString('hex'))).toEqual(before)
  })

  it('is refused when the newest segments are missing, or all', async () => {
    for (const gone of [names.slice(2), names.slice(1), names]) {
      const copy = disk.clone()
      for (const name of gone) copy.remove(join(DIR, name))
      await expect(open({ fs: copy })).rejects.toMatchObject({
        code: 'Corruption',
        data: { path: join(DIR, gone[0]!) },
        message: expect.stringMatching(/segments up to 3 were written.* are missing/),
      })
    }
  })

  it('is refused when the newest segment lost its header or all of its bytes', async () => {
    for (const size of [0, 10, SEGMENT_HEADER_BYTES - 1]) {
      const cut = withBytes(names[2]!, (bytes) => bytes.subarray(0, size))
      expect(await reopened(cut)).toBe('Corruption')
      const zeroed = withBytes(names[2]!, (bytes) => bytes.fill(0, size))
      expect(await reopened(zeroed)).toBe('Corruption')
    }
  })

  it('is taken on trust where no mark tells how far it went', async () => {
    const mark = join(DIR, 'newest-000')
    for (const change of ['gone', 'damaged'] as const) {
      const copy = disk.clone()
      if (change === 'gone') copy.remove(mark)
      else copy.plant(mark, Buffer.alloc(1024, 0x55))
      expect(await reopened(copy)).toBe(all)
      copy.remove(join(DIR, names[2]!))
      expect(all.startsWith(await reopened(copy))).toBe(true)
    }
    // One of the two slots is enough.
    const half = disk.clone()
    const bytes = half.bytes(mark)
    half.plant(mark, bytes.fill(0x55, 0, 512))
    expect(await reopened(half)).toBe(all)
    half.remove(join(DIR, names[2]!))
    expect(await reopened(half)).toBe('Corruption')
  })

  it('drops a segment whose creation was interrupted', async () => {
    for (const size of [0, 10, SEGMENT_HEADER_BYTES - 1]) {
      const copy = disk.clone()
      copy.plant(join(DIR, '000-000000000004.log'), Buffer.alloc(size))
      expect(await reopened(copy)).toBe(all)
    }
  })
})

describe('blocks of one unfinished group', () => {
  it('go together when the first of them was torn', async () => {
    const disk = new MemoryFileSystem()
    let sink: ManualSink | undefined
    const { log } = await open({
      fs: disk,
      openSink: (at, events) => {
        sink = new ManualSink(disk, at, events)
        return sink
      },
    })
    log.create(1, 0, 0, HARD)
    const write = (index: number) => {
      const hardState = undefined
      log.write({ regionId: 1, readyNumber: index, entries: entries(index, index, 1), hardState })
      log.flush()
    }
    write(1)
    sink!.commit()
    const torn = log.stats().raftlog_disk_bytes! + 50
    write(2)
    write(3)
    sink!.write()
    const [name] = disk.list(DIR)
    const bytes = disk.bytes(join(DIR, name!))
    bytes[torn]! ^= 1
    const crashed = new MemoryFileSystem()
    crashed.plant(join(DIR, name!), bytes)
    expect(await reopened(crashed)).toBe('1@1')
  })
})

describe('a failing disk', () => {
  async function failing(prepare: (fs: FaultyFileSystem) => void) {
    const disk = new MemoryFileSystem()
    const fs = new FaultyFileSystem(disk)
    const opened = await open({ fs })
    opened.log.create(1, 0, 0, HARD)
    const write = (index: number) => {
      const one = entries(index, index, 1, 200)
      opened.log.write({ regionId: 1, readyNumber: index, entries: one, hardState: undefined })
      opened.log.flush()
    }
    write(1)
    prepare(fs)
    write(2)
    write(3)
    return { ...opened, disk }
  }

  it('is told once, and nothing is persisted after a failed fsync', async () => {
    const { log, disk, failures, persisted } = await failing((fs) => fs.failOnce('sync', 'EIO'))
    expect(failures).toMatchObject([{ code: 'DiskError' }])
    expect(persisted).toEqual([[1, 1]])
    await log.close()
    disk.crash()
    expect(await reopened(disk)).toBe('1@1')
  })

  it('says that it is full', async () => {
    const { log, disk, failures, persisted } = await failing((fs) => {
      fs.freeBytes = 100
    })
    expect(failures).toMatchObject([{ code: 'DiskFull' }])
    expect(persisted).toEqual([[1, 1]])
    await log.close()
    expect(await reopened(disk)).toBe('1@1')
  })

  it('counts no block of a segment whose name is not on disk', async () => {
    const disk = new MemoryFileSystem()
    const fs = new FaultyFileSystem(disk)
    const { log, failures, persisted } = await open({ fs })
    fs.failOnce('sync-directory', 'EIO')
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 1, 1), hardState: undefined })
    log.flush()
    expect(failures).toHaveLength(1)
    expect(persisted).toEqual([])
    await log.close()
  })

  it('gives a fetch its error', async () => {
    const disk = new MemoryFileSystem()
    const fs = new FaultyFileSystem(disk)
    const { log } = await open({ fs, cacheBytes: 0 })
    log.create(1, 0, 0, HARD)
    log.write({ regionId: 1, readyNumber: 1, entries: entries(1, 3, 1), hardState: undefined })
    log.flush()
    const fetched = () =>
      new Promise((resolve) => log.fetch(1, 1, 4, 1e6, (error) => resolve(error)))
    fs.failOnce('read', 'EIO')
    expect(await fetched()).toMatchObject({ code: 'DiskError' })
    const [name] = disk.list(DIR)
    const bytes = disk.bytes(join(DIR, name!))
    bytes[SEGMENT_HEADER_BYTES + 55]! ^= 1
    disk.plant(join(DIR, name!), bytes)
    expect(await fetched()).toMatchObject({ code: 'Corruption' })
    await log.close()
  })
})
