import { expect, it } from 'vitest'
import type { SnapshotResult } from '../../src/apply/port.ts'
import { openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { BuildQueue } from '../../src/store/build-queue.ts'
import { region } from '../snap/support.ts'

it('a disk that neither writes nor removes ends one build, not the thread', async () => {
  const fs = new FaultyFileSystem(new MemoryFileSystem())
  fs.makeDirectory('/snap')
  const reports: SnapshotResult[] = []
  const queue = new BuildQueue({
    engine: openMemoryEngine(),
    fs,
    dir: '/snap',
    pin: (regionId, id) => queue.pinned({ regionId, id, region: region(), index: 9, term: 6 }),
    report: (result) => reports.push(result),
  })
  // The temporary meta: nothing is written for a region without rows but that.
  fs.failOnce('write', 'EIO')
  fs.failOnce('remove', 'EIO')
  queue.add(7, 1)
  await expect.poll(() => reports.length).toBe(1)
  expect(reports[0]).toMatchObject({ id: 1, meta: undefined })
  expect(reports[0]!.error).toMatch(/EIO: write .*; its files stay behind: EIO: remove/)
  queue.add(7, 2)
  await expect.poll(() => reports.length).toBe(2)
  expect(reports[1]).toMatchObject({ id: 2, error: '' })
  await queue.close()
})
