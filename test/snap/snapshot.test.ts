import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { type MemoryEngine, openMemoryEngine } from '../../src/engine/memory-engine.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { applyStateKey, dataKey, regionStateKey, snapshotStateKey } from '../../src/region/keys.ts'
import { decodeApplyState, decodeRegionState, RegionStateKind } from '../../src/region/state.ts'
import { SnapshotBuilder } from '../../src/snap/builder.ts'
import { readMeta, removeAllBut } from '../../src/snap/files.ts'
import { decodeMeta, encodeMeta, snapshotBytes } from '../../src/snap/format.ts'
import { SnapshotInstaller } from '../../src/snap/installer.ts'
import { build, carry, DIR, dump, fill, install, pathOf, region } from './support.ts'

let source: MemoryEngine
let target: MemoryEngine
let from: MemoryFileSystem
let to: MemoryFileSystem

beforeEach(() => {
  source = openMemoryEngine()
  target = openMemoryEngine()
  from = new MemoryFileSystem()
  to = new MemoryFileSystem()
  from.makeDirectory(DIR)
  to.makeDirectory(DIR)
})

const kindOf = (engine: MemoryEngine): RegionStateKind =>
  decodeRegionState(engine.get(ColumnFamily.Raft, regionStateKey(7))!).kind

describe('a snapshot', () => {
  it('carries all families of the region, in several files, and nothing else', async () => {
    fill(source, 3000, 400)
    fill(source, 9, 10, 'a-below')
    fill(source, 9, 10, 'y-above')
    fill(target, 500, 5, 'k-old')
    fill(target, 3, 5, 'a-other')
    const meta = await build(source, from, { fileBytesMax: 40_000 })
    expect(meta.files.length).toBeGreaterThan(3)
    expect(snapshotBytes(meta)).toBeGreaterThan(300_000)
    carry(from, meta, { fs: to }).finish()
    install(target, to, meta)
    const wanted = Object.entries(dump(source)).filter(([key]) => key.slice(3).startsWith('k'))
    const found = Object.entries(dump(target)).filter(([key]) => key.slice(3).startsWith('k'))
    expect(found).toEqual(wanted)
    expect(wanted).toHaveLength(3000)
    expect(Object.keys(dump(target)).filter((key) => key.includes('a-other'))).toHaveLength(3)
    expect(Object.keys(dump(target)).filter((key) => /y-above|a-below/.test(key))).toEqual([])
    expect(kindOf(target)).toBe(RegionStateKind.Normal)
    expect(target.get(ColumnFamily.Raft, snapshotStateKey(7))).toBeUndefined()
    expect(decodeApplyState(target.get(ColumnFamily.Raft, applyStateKey(7))!)).toEqual({
      appliedIndex: 50,
      appliedTerm: 6,
      truncatedIndex: 50,
      truncatedTerm: 6,
    })
  })

  it('is brought to disk a part at a time while it is installed', async () => {
    fill(source, 3000, 4000)
    const meta = await build(source, from)
    carry(from, meta, { fs: to }).finish()
    const unsynced = [0]
    const write = target.write.bind(target)
    target.write = (batch, options) => {
      const part = unsynced.length - 1
      unsynced[part] = unsynced[part]! + batch.bytes
      if (options.sync) unsynced.push(0)
      return write(batch, options)
    }
    install(target, to, meta)
    expect(snapshotBytes(meta)).toBeGreaterThan(11 * MIB)
    expect(unsynced.length).toBeGreaterThan(20)
    expect(Math.max(...unsynced)).toBeLessThan(MIB)
  })

  it('of a region without data has no files', async () => {
    fill(target, 10)
    const meta = await build(source, from)
    expect(meta.files).toEqual([])
    carry(from, meta, { fs: to }).finish()
    install(target, to, meta)
    expect(dump(target)).toEqual({})
  })

  it('can be given up, and leaves nothing', async () => {
    fill(source, 3000)
    const pin = { region: region(), index: 50, term: 6 }
    const builder = new SnapshotBuilder({ engine: source, fs: from, dir: DIR, pin })
    await builder.step()
    expect(from.list(DIR)).not.toEqual([])
    builder.abort()
    expect(from.list(DIR)).toEqual([])
  })

  it('keeps only the sets that are named', async () => {
    fill(source, 30)
    const meta = await build(source, from)
    carry(from, meta, { fs: from }).finish()
    expect(readMeta(from, DIR, 'rev_7_6_50')).toEqual(meta)
    removeAllBut(from, DIR, ['rev_7_6_50'])
    expect(from.list(DIR).every((name) => name.startsWith('rev_7_6_50'))).toBe(true)
    expect(from.list(DIR)).toHaveLength(4)
    removeAllBut(from, DIR, ['rev_7_6_5'])
    expect(from.list(DIR)).toEqual([])
  })
})

describe('damage', () => {
  it('of a chunk, a length or an order is found on the way in', async () => {
    fill(source, 300)
    const meta = await build(source, from)
    const flip = (file: number, bytes: Buffer): void => {
      if (file === 1) bytes[bytes.length >> 1]! ^= 1
    }
    expect(() => carry(from, meta, { fs: to }, { change: flip })).toThrow(/wrong checksum/)
    const received = carry(from, { ...meta, files: meta.files.slice(0, 2) }, { fs: to })
    expect(() => received.write(2, 0, Buffer.alloc(1))).toThrow(/out of order/)
    expect(to.exists('/snap/rev_7_6_50.meta')).toBe(false)
  })

  it('of the meta is found', async () => {
    const bytes = encodeMeta(await build(source, from))
    for (let i = 0; i < bytes.length; i++) {
      const damaged = Buffer.from(bytes)
      damaged[i]! ^= 0x10
      expect(() => decodeMeta(damaged)).toThrow(/checksum/)
    }
  })

  it('on disk stops the installation in the state Applying; another snapshot ends it', async () => {
    fill(source, 3000)
    const meta = await build(source, from)
    carry(from, meta, { fs: to }).finish()
    const file = to.open(pathOf(meta, 2), 'read-write')
    file.write(Buffer.from([0xff]), 5000)
    file.close()
    expect(() => install(target, to, meta)).toThrow(/wrong checksum/)
    expect(kindOf(target)).toBe(RegionStateKind.Applying)
    carry(from, meta, { fs: to }).finish()
    install(target, to, meta)
    expect(dump(target)).toEqual(dump(source))
  })

  it('is a missing or short file too', async () => {
    fill(source, 300)
    const meta = await build(source, from)
    carry(from, meta, { fs: to }).finish()
    const file = to.open(pathOf(meta, 0), 'read-write')
    file.truncate(file.size() - 1)
    file.close()
    expect(() => install(target, to, meta)).toThrow(/bytes, not/)
    to.remove(pathOf(meta, 0))
    expect(() => install(target, to, meta)).toThrow(/missing/)
  })
})

describe('a crash', () => {
  /** Runs an installation until `stop` of its actions are done; power goes, and it begins again. */
  it.each([0, 1, 2, 3, 5, 8, 100])(
    'after %i steps of an installation loses nothing',
    async (stop) => {
      fill(source, 6000)
      fill(target, 100, 5, 'k-old')
      target.sync()
      const meta = await build(source, from)
      carry(from, meta, { fs: to }).finish()
      const first = new SnapshotInstaller(target, to, DIR, meta)
      first.record({ term: 7, vote: 0, index: 50, indexTerm: 6 })
      if (stop > 0) first.clear()
      for (let i = 1; i < stop && !first.step(); i++) {}
      first.close()
      target.crash()
      to.crash()
      expect(kindOf(target)).toBe(RegionStateKind.Applying)
      const again = new SnapshotInstaller(target, to, DIR, readMeta(to, DIR, 'rev_7_6_50')!)
      again.clear()
      while (!again.step()) {}
      again.finish()
      target.crash()
      expect(kindOf(target)).toBe(RegionStateKind.Normal)
      expect(dump(target)).toEqual(dump(source))
    },
  )
})

describe('RocksDB', () => {
  it('is seen at one moment over all families while writes go on', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'polyraft-snap-'))
    const engine = await openRocksDb({ dir: join(dir, 'kv') })
    try {
      fill(engine, 9000, 200)
      const before = dump(engine)
      const pin = { region: region(), index: 50, term: 6 }
      const builder = new SnapshotBuilder({ engine, fs: nodeFileSystem, dir, pin })
      // What comes later is not in it: new keys, overwritten and deleted ones.
      fill(engine, 12_000, 20)
      engine.deleteRange(ColumnFamily.Lock, dataKey(Buffer.from('k')), dataKey(Buffer.from('l')))
      let meta = await builder.step()
      while (meta === undefined) meta = await builder.step()
      carry(nodeFileSystem, meta, { fs: nodeFileSystem, dir }, { dir }).finish()
      install(engine, nodeFileSystem, meta, dir)
      expect(dump(engine)).toEqual(before)
    } finally {
      await engine.close()
      rmSync(dir, { recursive: true })
    }
  })

  it('closes with no cursor left behind', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'polyraft-snap-'))
    const engine = await openRocksDb({ dir: join(dir, 'kv') })
    fill(engine, 90)
    const cursor = engine.openCursor(ColumnFamily.Default, Buffer.from('z'), Buffer.from('{'))
    expect((await cursor.next(1)).rows.length).toBeGreaterThan(0)
    const closing = engine.close()
    cursor.close()
    cursor.close()
    await closing
    expect(() =>
      engine.openCursor(ColumnFamily.Default, Buffer.from('z'), Buffer.from('{')),
    ).toThrow(/closed/)
    rmSync(dir, { recursive: true })
  })
})
