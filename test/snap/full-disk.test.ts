/** A receiver whose disk fills up in the middle of a set. */
import { expect, it } from 'vitest'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { readFile } from '../../src/env/port.ts'
import { filePath, snapshotBytes, snapshotName } from '../../src/snap/format.ts'
import { ReceivedSnapshot } from '../../src/snap/received.ts'
import { build, carry, DIR, fill } from './support.ts'

it('gives up with the reason, leaves nothing, and takes the set when there is room', async () => {
  const source = new MemoryFileSystem()
  source.makeDirectory(DIR)
  const engine = openMemoryEngine()
  fill(engine, 300)
  const meta = await build(engine, source, { fileBytesMax: 5_000 })
  const name = snapshotName('gen', meta)
  const files = meta.files.map((file) => readFile(source, filePath(DIR, name, file)))
  let refusals = 0
  for (let quota = 0; quota < snapshotBytes(meta); quota += 1_009) {
    const disk = new MemoryFileSystem()
    disk.makeDirectory(DIR)
    const fs = new FaultyFileSystem(disk)
    fs.freeBytes = quota
    const received = new ReceivedSnapshot(fs, DIR, meta)
    const takeAll = (): void => {
      files.forEach((bytes, number) => {
        received.write(number, 0, bytes)
      })
      received.finish()
    }
    expect(takeAll).toThrow('ENOSPC')
    refusals++
    received.abort()
    expect(disk.list(DIR)).toEqual([])
    fs.freeBytes = Number.POSITIVE_INFINITY
    carry(source, meta, { fs }).finish()
    expect(disk.list(DIR).length).toBeGreaterThan(files.length)
  }
  expect(refusals).toBeGreaterThan(10)
})
