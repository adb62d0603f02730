/** One suite for every file system, then what only the ones for tests can do. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { FaultyFileSystem } from '../../src/env/faulty-fs.ts'
import { MemoryFileSystem } from '../../src/env/memory-fs.ts'
import { nodeFileSystem } from '../../src/env/node-fs.ts'
import { type FileSystem, readFile } from '../../src/env/port.ts'

const made: string[] = []

afterEach(() => {
  for (const dir of made.splice(0)) rmSync(dir, { recursive: true, force: true })
})

const KINDS: Record<string, () => FileSystem> = {
  node: () => nodeFileSystem,
  memory: () => new MemoryFileSystem(),
  faulty: () => new FaultyFileSystem(new MemoryFileSystem()),
}

function directory(fs: FileSystem): string {
  const root = mkdtempSync(join(tmpdir(), 'polyraft-fs-'))
  made.push(root)
  const dir = join(root, 'a', 'b')
  fs.makeDirectory(dir)
  return dir
}

function write(fs: FileSystem, path: string, text: string): void {
  const file = fs.open(path, 'create')
  file.write(Buffer.from(text), 0)
  file.sync()
  file.close()
}

describe.each(Object.keys(KINDS))('%s file system', (kind) => {
  it('creates, writes, reads, truncates', () => {
    const fs = KINDS[kind]!()
    const path = join(directory(fs), 'f')
    const file = fs.open(path, 'create')
    file.write(Buffer.from('hello'), 0)
    file.write(Buffer.from('world'), 8)
    file.datasync()
    expect(file.size()).toBe(13)
    const part = Buffer.alloc(4)
    expect(file.read(part, 3)).toBe(4)
    expect(part.toString('latin1')).toBe('lo\0\0')
    expect(file.read(Buffer.alloc(10), 10)).toBe(3)
    file.truncate(4)
    file.close()
    expect(readFile(fs, path).toString()).toBe('hell')
    const again = fs.open(path, 'read-write')
    again.write(Buffer.from('X'), 6)
    again.close()
    expect(readFile(fs, path).toString('latin1')).toBe('hell\0\0X')
  })

  it('lists, renames, removes', () => {
    const fs = KINDS[kind]!()
    const dir = directory(fs)
    write(fs, join(dir, 'two'), '2')
    write(fs, join(dir, 'one'), '1')
    expect(fs.list(dir)).toEqual(['one', 'two'])
    fs.rename(join(dir, 'one'), join(dir, 'two'))
    expect(fs.list(dir)).toEqual(['two'])
    expect(readFile(fs, join(dir, 'two')).toString()).toBe('1')
    fs.remove(join(dir, 'two'))
    fs.syncDirectory(dir)
    expect(fs.exists(join(dir, 'two'))).toBe(false)
    expect(fs.exists(dir)).toBe(true)
  })

  it('throws system errors', () => {
    const fs = KINDS[kind]!()
    const dir = directory(fs)
    write(fs, join(dir, 'f'), '')
    const code = (name: string) => expect.objectContaining({ code: name })
    expect(() => fs.open(join(dir, 'f'), 'create')).toThrow(code('EEXIST'))
    expect(() => fs.open(join(dir, 'g'), 'read')).toThrow(code('ENOENT'))
    expect(() => fs.open(join(dir, 'no', 'g'), 'create')).toThrow(code('ENOENT'))
    expect(() => fs.remove(join(dir, 'g'))).toThrow(code('ENOENT'))
    expect(() => fs.list(join(dir, 'no'))).toThrow(code('ENOENT'))
  })

  it('locks a directory once', async () => {
    const fs = KINDS[kind]!()
    const dir = directory(fs)
    const lock = await fs.lockDirectory(dir)
    await expect(fs.lockDirectory(dir)).rejects.toMatchObject({ code: 'DataDirLocked' })
    await lock.release()
    await (await fs.lockDirectory(dir)).release()
  })
})

describe('a power loss in memory', () => {
  it('loses what was not synced, bytes and names', () => {
    const fs = new MemoryFileSystem()
    fs.makeDirectory('/d')
    write(fs, '/d/kept', 'old')
    fs.syncDirectory('/d')
    const file = fs.open('/d/kept', 'read-write')
    file.write(Buffer.from('NEW and longer'), 0)
    write(fs, '/d/nameless', 'x')
    fs.crash()
    expect(fs.list('/d')).toEqual(['kept'])
    expect(readFile(fs, '/d/kept').toString()).toBe('old')
    expect(() => file.datasync()).toThrow(/crashed/)
  })

  it('brings a removed file back when the removal was not synced', () => {
    const fs = new MemoryFileSystem()
    fs.makeDirectory('/d')
    write(fs, '/d/f', 'x')
    fs.syncDirectory('/d')
    fs.remove('/d/f')
    fs.crash()
    expect(fs.list('/d')).toEqual(['f'])
  })

  it('keeps any part of an unsynced write, in sectors, and all of a synced one', () => {
    const outcomes = new Set<string>()
    for (let seed = 1; seed <= 40; seed++) {
      const fs = new MemoryFileSystem()
      fs.makeDirectory('/d')
      const file = fs.open('/d/f', 'create')
      file.write(Buffer.alloc(512, 's'), 0)
      file.sync()
      fs.syncDirectory('/d')
      file.write(Buffer.alloc(1024, 'u'), 512)
      fs.crash(seededRandom(seed))
      const bytes = readFile(fs, '/d/f')
      expect(bytes.subarray(0, 512).every((byte) => byte === 's'.charCodeAt(0))).toBe(true)
      outcomes.add(`${bytes.length} ${bytes[512]} ${bytes[1024]}`)
    }
    const u = 'u'.charCodeAt(0)
    expect([...outcomes].sort()).toEqual(
      [`512 undefined undefined`, `1024 ${u} undefined`, `1536 0 ${u}`, `1536 ${u} ${u}`].sort(),
    )
  })
})

describe('unsynced names in memory', () => {
  it('survive a power loss in order: some first changes of them', () => {
    const outcomes = new Set<string>()
    for (let seed = 1; seed <= 60; seed++) {
      const fs = new MemoryFileSystem()
      fs.makeDirectory('/d')
      write(fs, '/d/old', 'x')
      fs.syncDirectory('/d')
      write(fs, '/d/new', 'y')
      fs.rename('/d/old', '/d/spare')
      fs.remove('/d/new')
      fs.crash(seededRandom(seed))
      outcomes.add(fs.list('/d').join(' '))
    }
    expect([...outcomes].sort()).toEqual(['new old', 'new spare', 'old', 'spare'])
  })
})

describe('a faulty disk', () => {
  it('stops for good after so many changes, and counts them', () => {
    const inner = new MemoryFileSystem()
    const fs = new FaultyFileSystem(inner)
    fs.makeDirectory('/d')
    fs.stopAfter = 2
    const file = fs.open('/d/f', 'create')
    file.write(Buffer.from('a'), 0)
    expect(fs).toMatchObject({ operations: 2, stopped: true })
    expect(() => file.sync()).toThrow('EIO')
    expect(() => file.truncate(0)).toThrow('EIO')
    expect(() => fs.rename('/d/f', '/d/g')).toThrow('EIO')
    expect(() => file.read(Buffer.alloc(1), 0)).toThrow('EIO')
    expect(inner.bytes('/d/f').toString()).toBe('a')
    expect(fs.operations).toBe(2)
  })

  it('fails the asked operation once', () => {
    const fs = new FaultyFileSystem(new MemoryFileSystem())
    fs.makeDirectory('/d')
    fs.failOnce('sync', 'EIO', 1)
    const file = fs.open('/d/f', 'create')
    file.sync()
    expect(() => file.datasync()).toThrow(expect.objectContaining({ code: 'EIO' }))
    file.datasync()
    expect(fs.counts.sync).toBe(3)
  })

  it('is full after what fits', () => {
    const fs = new FaultyFileSystem(new MemoryFileSystem())
    fs.makeDirectory('/d')
    fs.freeBytes = 7
    const file = fs.open('/d/f', 'create')
    file.write(Buffer.from('12345'), 0)
    expect(() => file.write(Buffer.from('67890'), 5)).toThrow(
      expect.objectContaining({ code: 'ENOSPC' }),
    )
    expect(readFile(fs, '/d/f').toString()).toBe('1234567')
  })
})
