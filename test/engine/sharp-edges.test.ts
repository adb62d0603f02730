/**
 * What crashes, hangs or loses data when RocksDB's binding is used bare: each case in a process of
 * its own, through the built adapter. A clean exit is part of every expectation.
 */
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { ColumnFamily } from '../../src/engine/port.ts'
import { openRocksDb } from '../../src/engine/rocksdb-engine.ts'
import { type Child, lines, startChild, startChildWithFileLimit } from './child.ts'
import { temporaryDir } from './temporary.ts'

const running: Child[] = []

afterEach(() => {
  for (const child of running.splice(0)) child.process.kill('SIGKILL')
})

describe('life of one engine', () => {
  it('refuses every use after close without a crash', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 10)
      const batch = engine.newBatch()
      await engine.close()
      const uses = [
        () => engine.get(0, b('k1')), () => engine.getMany(1, [b('k1')]),
        () => engine.scan(0, all), () => engine.scanSync(2, all),
        () => batch.put(3, b('a'), b('b')), () => engine.write(batch, { sync: true }),
        () => engine.sync(), () => engine.deleteRange(3, b('a'), b('b')),
        () => engine.stats(), () => engine.newBatch(),
      ]
      for (const use of uses) console.log(await codeOf(use))
      await engine.close()
    `
    expect(await lines(temporaryDir(), script)).toEqual(new Array(10).fill('Closed'))
  })

  it('close waits for scans in flight', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 20000)
      const scans = Array.from({ length: 8 }, (_, i) => engine.scan(0, { ...all, reverse: i % 2 > 0 }))
      let closed = false
      const closing = engine.close().then(() => { closed = true })
      for (const scan of scans) console.log((await scan).rows.length, closed)
      await closing
    `
    expect(await lines(temporaryDir(), script)).toEqual(new Array(8).fill('40000 false'))
  })

  it('a cursor does one step at a time, and is not closed within one', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 20000)
      const cursor = engine.openCursor(0, b('a'), b('zz'))
      const step = cursor.next(1e12)
      console.log(await codeOf(() => cursor.next(1)), await codeOf(() => cursor.close()))
      console.log((await step).rows.length)
      const closing = engine.close()
      cursor.close()
      await closing
    `
    expect(await lines(temporaryDir(), script)).toEqual(['AssertionError AssertionError', '40000'])
  })

  it('releases LOCK at close, at exit and at process.exit() during a scan', async () => {
    const dir = temporaryDir()
    const close = 'const engine = await openRocksDb({ dir }); await engine.close()'
    const fallThrough = 'const engine = await openRocksDb({ dir }); fill(engine, 10)'
    const exitDuringScan = `
      const engine = await openRocksDb({ dir })
      fill(engine, 20000)
      engine.scan(0, all)
      engine.scan(0, all)
      process.exit(0)
    `
    for (const script of [close, fallThrough, exitDuringScan, exitDuringScan, close]) {
      expect(await lines(dir, script)).toEqual([''])
    }
  })

  it('survives misuse that would abort or hang, and still closes', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      console.log(await codeOf(() => engine.getMany(0, [b('a'), Buffer.alloc(0)])))
      console.log(await codeOf(() => engine.getMany(0, ['a', 7])))
      console.log(await codeOf(() => engine.scan(0, { ...all, end: Buffer.alloc(0) })))
      console.log(await codeOf(() => engine.getMany(9, [b('a')])))
      await engine.close()
    `
    expect(await lines(temporaryDir(), script)).toEqual(new Array(4).fill('AssertionError'))
  })

  it('stays open while nobody in JavaScript holds it', async () => {
    const script = `
      const forget = async () => (await openRocksDb({ dir })).handle
      const handle = await forget()
      for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate) }
      const again = await attachRocksDb(handle)
      fill(again, 10)
      console.log(again.get(0, b('k3')).length)
      await again.close()
    `
    expect(await lines(temporaryDir(), script, ['--expose-gc'])).toEqual(['100'])
  })
})

describe('worker threads', () => {
  it('share one database by its handle, and only detach at close', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 100)
      const workers = [1, 2, 3].map((id) => work(engine.handle, \`
        const shared = await attachRocksDb(handle)
        const batch = shared.newBatch()
        batch.put(3, b('worker\${id}'), shared.get(0, b('k\${id}')))
        shared.write(batch, { sync: true })
        await shared.close()
        await shared.close()
        parentPort.postMessage((await shared.scan(0, {}).catch((error) => error.code)))
      \`))
      const answers = workers.map(message)
      const ends = workers.map(exited)
      console.log((await Promise.all(answers)).join(' '), (await Promise.all(ends)).join(' '))
      console.log([1, 2, 3].map((id) => engine.get(3, b('worker' + id))[0]).join(' '))
      fill(engine, 10)
      await engine.close()
    `
    expect(await lines(temporaryDir(), script)).toEqual(['Closed Closed Closed 0 0 0', '1 2 3'])
  })

  it('may end without closing, even in the middle of writes and scans', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 20000)
      const busy = work(engine.handle, \`
        const shared = await attachRocksDb(handle)
        parentPort.postMessage('running')
        const all = { start: b('a'), end: b('zz'), limit: 1e9, bytesMax: 1e12, reverse: false,
          keysOnly: false }
        for (;;) {
          const batch = shared.newBatch()
          batch.put(0, b('busy'), b('x'))
          shared.write(batch, { sync: false })
          await Promise.all([shared.scan(0, all), shared.scan(0, all)])
        }
      \`)
      const ended = exited(busy)
      console.log(await message(busy))
      await engine.scan(0, all)
      await busy.terminate()
      await ended
      console.log(engine.get(0, b('k1')).length)
      await engine.close()
    `
    expect(await lines(temporaryDir(), script)).toEqual(['running', '100'])
  })

  it('do not crash the process when it ends by process.exit() while they are busy', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 5000)
      const busy = [1, 2].map(() => work(engine.handle, \`
        const shared = await attachRocksDb(handle)
        const all = { start: b('a'), end: b('zz'), limit: 1e9, bytesMax: 1e12, reverse: false,
          keysOnly: false }
        for (let i = 0; ; i++) {
          const batch = shared.newBatch()
          batch.put(0, b('busy' + i), b('x'))
          shared.write(batch, { sync: true })
          await shared.scan(0, all)
          if (i === 3) parentPort.postMessage('running')
        }
      \`))
      await Promise.all(busy.map(message))
      process.exit(3)
    `
    const dir = temporaryDir()
    const { code, signal, stderr } = await startChild(dir, script).result
    expect({ code, signal, stderr }).toEqual({ code: 3, signal: null, stderr: '' })
    const engine = await openRocksDb({ dir })
    expect(engine.get(ColumnFamily.Default, Buffer.from('busy3'))?.toString()).toBe('x')
    await engine.close()
  })

  it('are refused by a handle whose engine was closed, and nothing is opened instead', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      const { handle } = engine
      await engine.close()
      console.log(await codeOf(() => attachRocksDb(handle)))
      console.log(await codeOf(() => attachRocksDb(0n)))
      const again = await openRocksDb({ dir })
      await again.close()
    `
    expect(await lines(temporaryDir(), script)).toEqual(['Closed', 'AssertionError'])
  })
})

describe('open', () => {
  const open = (dir: string) => openRocksDb({ dir })

  it('names a directory that is in use', async () => {
    const dir = temporaryDir()
    const engine = await open(dir)
    const inUse = { code: 'DataDirLocked', message: expect.stringContaining(dir) }
    await expect(open(dir)).rejects.toMatchObject(inUse)
    const script = 'console.log(await codeOf(() => openRocksDb({ dir })))'
    expect(await lines(dir, script)).toEqual(['DataDirLocked'])
    await engine.close()
    await (await open(dir)).close()
  })

  it('makes missing parents', async () => {
    const dir = join(temporaryDir(), 'a', 'b', 'kv')
    await (await open(dir)).close()
    expect(existsSync(join(dir, 'CURRENT'))).toBe(true)
  })

  it('refuses a path through a file, a file, and /proc', async () => {
    const file = join(temporaryDir(), 'file')
    writeFileSync(file, '')
    for (const dir of [file, join(file, 'kv'), '/proc/1/polyraft/kv', '/proc/polyraft/kv']) {
      await expect(open(dir)).rejects.toMatchObject({ code: 'DataDirUnusable' })
    }
  })

  it('calls damage corruption', async () => {
    const dir = temporaryDir()
    await (await open(dir)).close()
    const manifest = readdirSync(dir).find((name) => name.startsWith('MANIFEST'))!
    const bytes = readFileSync(join(dir, manifest))
    writeFileSync(join(dir, manifest), bytes.fill(0x55, 20, 60))
    await expect(open(dir)).rejects.toMatchObject({ code: 'Corruption' })
  })

  it('refuses sizes that the binding would cut down', async () => {
    const dir = temporaryDir()
    const invalid = { code: 'ConfigInvalid' }
    await expect(openRocksDb({ dir, blockCacheBytes: 2 ** 32 })).rejects.toMatchObject(invalid)
    await expect(openRocksDb({ dir, writeBufferBytes: 1000 })).rejects.toMatchObject(invalid)
    await expect(openRocksDb({ dir, blockCacheBytes: 1.5 })).rejects.toMatchObject(invalid)
    expect(readdirSync(dir)).toEqual([])
  })
})

describe('failures', () => {
  it('a failed write breaks the engine for writes, not for reads, and close still works', async () => {
    const script = `
      const engine = await openRocksDb({ dir })
      fill(engine, 100)
      const codes = []
      for (let i = 0; i < 200 && codes.length === 0; i++) {
        const code = await codeOf(() => fill(engine, 1000))
        if (code !== 'no error') codes.push(code)
      }
      codes.push(await codeOf(() => fill(engine, 1)), await codeOf(() => engine.sync()))
      codes.push(await codeOf(() => engine.deleteRange(0, b('a'), b('b'))))
      console.log(codes.join(' '))
      console.log(engine.get(0, b('k7')).length)
      console.log((await engine.scan(0, { ...all, limit: 3 })).rows.length)
      await engine.close()
    `
    const dir = temporaryDir()
    const limited = startChildWithFileLimit(dir, script, 1024)
    running.push(limited)
    const { code, signal, stdout } = await limited.result
    expect({ code, signal }).toEqual({ code: 0, signal: null })
    expect(stdout.trim().split('\n')).toEqual([
      'DiskError DiskError DiskError DiskError',
      '100',
      '6',
    ])
    const engine = await openRocksDb({ dir })
    expect(engine.get(ColumnFamily.Default, Buffer.from('k7'))?.length).toBe(100)
    await engine.close()
  })

  it('kill -9 loses nothing that was acknowledged', async () => {
    const dir = temporaryDir()
    const script = `
      const engine = await openRocksDb({ dir })
      for (let i = 0; ; i++) {
        const batch = engine.newBatch()
        batch.put(0, b('row' + i), b('value' + i))
        batch.put(3, b('last'), b(String(i)))
        engine.write(batch, { sync: i % 8 === 0 })
        if (i % 8 === 1) engine.sync()
        process.stdout.write(i + '\\n')
        await new Promise(setImmediate)
      }
    `
    for (const least of [100, 400]) {
      const child = startChild(dir, script)
      running.push(child)
      let seen = ''
      while (!seen.includes(`\n${least}\n`)) {
        const [chunk] = await once(child.process.stdout!, 'data')
        seen += chunk
      }
      child.process.kill('SIGKILL')
      const { stdout, signal } = await child.result
      expect(signal).toBe('SIGKILL')
      const acknowledged = Number(stdout.trim().split('\n').at(-1))
      const engine = await openRocksDb({ dir })
      const last = Number(engine.get(ColumnFamily.Raft, Buffer.from('last'))!.toString())
      expect(last).toBeGreaterThanOrEqual(acknowledged)
      for (let i = 0; i <= last; i++) {
        expect(engine.get(ColumnFamily.Default, Buffer.from(`row${i}`))?.toString()).toBe(
          `value${i}`,
        )
      }
      await engine.close()
    }
  })
})
