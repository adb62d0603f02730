/** What every KvEngine must do, told once and run against each adapter. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import { ColumnFamily, type KvEngine, type ScanOptions } from '../../src/engine/port.ts'

const { Default, Lock, Write, Raft } = ColumnFamily
const MIN = Buffer.from([0x00])
const MAX = Buffer.from([0xff])

export function scanAll(overrides: Partial<ScanOptions> = {}): ScanOptions {
  return {
    start: MIN,
    end: MAX,
    limit: 1_000_000,
    bytesMax: Number.MAX_SAFE_INTEGER,
    reverse: false,
    keysOnly: false,
    ...overrides,
  }
}

export function put(engine: KvEngine, rows: Record<string, string>, sync = false): void {
  const batch = engine.newBatch()
  for (const key in rows) batch.put(Default, Buffer.from(key), Buffer.from(rows[key]!))
  engine.write(batch, { sync })
}

export function text(rows: readonly Buffer[]): string {
  return rows.map((bytes) => bytes.toString()).join(' ')
}

export function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof PolyraftError) return error.code
    if (error instanceof AssertionError) return 'AssertionError'
    throw error
  }
  return 'no error'
}

export function engineConformance(name: string, open: () => Promise<KvEngine>): void {
  describe(`${name}: KvEngine`, () => {
    let engine: KvEngine

    beforeEach(async () => {
      engine = await open()
    })

    afterEach(async () => {
      await engine.close()
    })

    const read = (key: string) => engine.get(Default, Buffer.from(key))?.toString()

    describe('batches', () => {
      it('reads what was put, and undefined for what was not', () => {
        put(engine, { a: '1', b: '' })
        expect([read('a'), read('b'), read('c')]).toEqual(['1', '', undefined])
      })

      it('applies operations in order: the last one on a key wins', () => {
        const batch = engine.newBatch()
        batch.put(Default, Buffer.from('a'), Buffer.from('1'))
        batch.delete(Default, Buffer.from('a'))
        batch.put(Default, Buffer.from('a'), Buffer.from('2'))
        batch.put(Default, Buffer.from('b'), Buffer.from('1'))
        batch.delete(Default, Buffer.from('b'))
        engine.write(batch, { sync: false })
        expect([read('a'), read('b')]).toEqual(['2', undefined])
      })

      it('shows nothing before it is written', () => {
        const batch = engine.newBatch()
        batch.put(Default, Buffer.from('a'), Buffer.from('1'))
        expect(read('a')).toBeUndefined()
        engine.write(batch, { sync: true })
        expect(read('a')).toBe('1')
      })

      it('keeps the families apart, and writes to all of them at once', () => {
        const key = Buffer.from('k')
        const batch = engine.newBatch()
        for (const cf of [Default, Lock, Write, Raft]) batch.put(cf, key, Buffer.from([cf]))
        batch.delete(Write, key)
        engine.write(batch, { sync: false })
        const values = [Default, Lock, Write, Raft].map((cf) => engine.get(cf, key)?.[0])
        expect(values).toEqual([Default, Lock, undefined, Raft])
      })

      it('counts operations and bytes', () => {
        const batch = engine.newBatch()
        expect([batch.length, batch.bytes]).toEqual([0, 0])
        batch.put(Default, Buffer.from('abc'), Buffer.from('12'))
        batch.delete(Raft, Buffer.from('abcd'))
        expect([batch.length, batch.bytes]).toEqual([2, 9])
      })

      it('takes views of larger memory, and copies them at once', () => {
        const slab = Buffer.from('xxkey-valuexx')
        const batch = engine.newBatch()
        batch.put(
          Default,
          new Uint8Array(slab.buffer, slab.byteOffset + 2, 3),
          slab.subarray(6, 11),
        )
        slab.fill(0)
        engine.write(batch, { sync: false })
        expect(read('key')).toBe('value')
      })

      it('writes an empty batch, synced or not, as nothing', () => {
        engine.write(engine.newBatch(), { sync: false })
        engine.write(engine.newBatch(), { sync: true })
        for (const cf of [Default, Lock, Write, Raft]) {
          expect(engine.scanSync(cf, scanAll()).rows).toEqual([])
        }
      })

      it('holds binary keys and a value of 9 MiB', () => {
        const key = Buffer.from([0, 0xff, 0, 1])
        const value = Buffer.alloc(9 * 1024 * 1024, 7)
        const batch = engine.newBatch()
        batch.put(Default, key, value)
        engine.write(batch, { sync: false })
        expect(engine.get(Default, key)?.equals(value)).toBe(true)
      })

      it('starts every batch empty, whatever the one before held', () => {
        for (let round = 0; round < 20; round++) put(engine, { [`k${round}`]: 'v' })
        const batch = engine.newBatch()
        batch.delete(Default, Buffer.from('k0'))
        engine.write(batch, { sync: false })
        expect(engine.scanSync(Default, scanAll()).rows).toHaveLength(2 * 19)
      })
    })

    describe('getMany', () => {
      it('answers in the order of the keys, duplicates and gaps included', () => {
        put(engine, { a: '1', b: '2' })
        const keys = ['b', 'x', 'a', 'b'].map((key) => Buffer.from(key))
        const values = engine.getMany(Default, keys).map((value) => value?.toString())
        expect(values).toEqual(['2', undefined, '1', '2'])
        expect(engine.getMany(Default, [])).toEqual([])
      })

      it('ends with the value that makes the limit, and says which keys it left out', () => {
        const rows: Record<string, string> = { d: '' }
        for (const key of ['a', 'b', 'c']) rows[key] = key.repeat(100)
        put(engine, rows)
        const keys = ['a', 'x', 'c', 'b', 'd', 'a'].map((key) => Buffer.from(key))
        for (const [bytesMax, most] of [
          [1, 1],
          [100, 1],
          [101, 2],
          [200, 2],
          [400, 4],
        ] as const) {
          const values = engine.getMany(Default, keys, bytesMax)
          values.forEach((value, i) => {
            if (value !== null) expect(value?.toString()).toBe(rows[keys[i]!.toString()])
          })
          const full = values.filter((value) => value && value.length > 0)
          expect([bytesMax, full.length]).toEqual([bytesMax, most])
        }
        expect(engine.getMany(Default, keys, 401)).not.toContain(null)
        for (const wrong of [0, -1, 2 ** 31]) {
          expect(codeOf(() => engine.getMany(Default, keys, wrong))).toBe('AssertionError')
        }
      })

      it('reads what it left out when it is asked again', () => {
        const rows: Record<string, string> = {}
        for (let i = 0; i < 100; i++) rows[`k${i}`] = String(i).repeat(i)
        put(engine, rows)
        let keys = Object.keys(rows).map((key) => Buffer.from(key))
        const found: Record<string, string | undefined> = {}
        for (let calls = 0; keys.length > 0; calls++) {
          expect(calls).toBeLessThan(100)
          const values = engine.getMany(Default, keys, 300)
          values.forEach((value, i) => {
            if (value !== null) found[keys[i]!.toString()] = value?.toString()
          })
          keys = keys.filter((_, i) => values[i] === null)
        }
        expect(found).toEqual(rows)
      })

      it('returns values that own their memory', () => {
        put(engine, { a: 'value' })
        const value = engine.get(Default, Buffer.from('a'))!
        expect(value.buffer.byteLength).toBe(5)
        value.fill(0)
        expect(read('a')).toBe('value')
      })
    })

    describe('scan', () => {
      beforeEach(() => put(engine, { a: '1', b: '22', c: '3', d: '4' }))

      async function scan(overrides: Partial<ScanOptions>): Promise<string> {
        const options = scanAll(overrides)
        const result = await engine.scan(Default, options)
        expect(engine.scanSync(Default, options)).toEqual(result)
        return `${text(result.rows)}${result.complete ? ' .' : ' …'}`
      }

      it('goes forward from an inclusive start to an exclusive end', async () => {
        expect(await scan({})).toBe('a 1 b 22 c 3 d 4 .')
        expect(await scan({ start: Buffer.from('b'), end: Buffer.from('d') })).toBe('b 22 c 3 .')
        expect(await scan({ start: Buffer.from('aa'), end: Buffer.from('bb') })).toBe('b 22 .')
      })

      it('goes backward over the same range', async () => {
        expect(await scan({ reverse: true })).toBe('d 4 c 3 b 22 a 1 .')
        const bounds = { start: Buffer.from('b'), end: Buffer.from('d') }
        expect(await scan({ ...bounds, reverse: true })).toBe('c 3 b 22 .')
        const between = { start: Buffer.from('aa'), end: Buffer.from('cc') }
        expect(await scan({ ...between, reverse: true })).toBe('c 3 b 22 .')
      })

      it('starts at the first key where the start is empty', async () => {
        expect(await scan({ start: Buffer.alloc(0), end: Buffer.from('b') })).toBe('a 1 .')
      })

      it('ends at the limit, and says so even at the last row', async () => {
        expect(await scan({ limit: 2 })).toBe('a 1 b 22 …')
        expect(await scan({ limit: 2, reverse: true })).toBe('d 4 c 3 …')
        expect(await scan({ limit: 4 })).toBe('a 1 b 22 c 3 d 4 …')
        expect(await scan({ limit: 5 })).toBe('a 1 b 22 c 3 d 4 .')
        expect(await scan({ limit: 0 })).toBe(' …')
      })

      it('ends after the row that reaches bytesMax', async () => {
        expect(await scan({ bytesMax: 0 })).toBe('a 1 …')
        expect(await scan({ bytesMax: 2 })).toBe('a 1 …')
        expect(await scan({ bytesMax: 3 })).toBe('a 1 b 22 …')
        expect(await scan({ bytesMax: 5 })).toBe('a 1 b 22 …')
        expect(await scan({ bytesMax: 5, keysOnly: true })).toBe('a  b  c  d  .')
      })

      it('gives empty values for keysOnly', async () => {
        const { rows } = await engine.scan(Default, scanAll({ keysOnly: true }))
        expect(rows.map((bytes) => bytes.toString())).toEqual(['a', '', 'b', '', 'c', '', 'd', ''])
      })

      it('finds nothing in an empty or inverted range', async () => {
        const [b, c] = [Buffer.from('b'), Buffer.from('c')]
        expect(await scan({ start: b, end: b })).toBe(' .')
        expect(await scan({ start: c, end: b })).toBe(' .')
        expect(await scan({ start: Buffer.from('bb'), end: c, limit: 1 })).toBe(' .')
      })

      it('sees the moment of the call, whatever is written while it runs', async () => {
        const running = engine.scan(Default, scanAll())
        put(engine, { a: 'changed', e: '5' })
        engine.deleteRange(Default, Buffer.from('b'), Buffer.from('c'))
        expect(text((await running).rows)).toBe('a 1 b 22 c 3 d 4')
        expect(await scan({})).toBe('a changed c 3 d 4 e 5 .')
      })

      it('returns buffers that own their memory', async () => {
        const { rows } = await engine.scan(Default, scanAll({ limit: 2 }))
        expect(rows.map((bytes) => bytes.buffer.byteLength)).toEqual([1, 1, 1, 2])
      })

      it('crosses chunks: thousands of rows, both ways, many bytes', async () => {
        const batch = engine.newBatch()
        const count = 5000
        const value = Buffer.alloc(600, 1)
        for (let i = 0; i < count; i++) {
          batch.put(Write, Buffer.from(String(i).padStart(6, '0')), value)
        }
        engine.write(batch, { sync: false })
        for (const reverse of [false, true]) {
          const { rows, complete } = await engine.scan(Write, scanAll({ reverse }))
          expect([rows.length, complete]).toEqual([2 * count, true])
          const keys = rows.filter((_, i) => i % 2 === 0).map(Number)
          if (reverse) keys.reverse()
          expect(keys.every((key, i) => key === i)).toBe(true)
        }
        const limited = await engine.scan(Write, scanAll({ limit: 2049 }))
        expect([limited.rows.length / 2, limited.complete]).toEqual([2049, false])
        // 606 bytes a row: the row that reaches 2,000,000 bytes is number 3301.
        const cut = await engine.scan(Write, scanAll({ bytesMax: 2_000_000 }))
        expect([cut.rows.length / 2, cut.complete]).toEqual([3301, false])
      })
    })

    describe('deleteRange', () => {
      it('deletes the start, keeps the end, and only in its family', () => {
        put(engine, { a: '1', b: '2', c: '3' })
        const batch = engine.newBatch()
        batch.put(Lock, Buffer.from('b'), Buffer.from('lock'))
        engine.write(batch, { sync: false })
        engine.deleteRange(Default, Buffer.from('a'), Buffer.from('c'))
        expect([read('a'), read('b'), read('c')]).toEqual([undefined, undefined, '3'])
        expect(engine.get(Lock, Buffer.from('b'))?.toString()).toBe('lock')
        put(engine, { b: 'again' })
        expect(read('b')).toBe('again')
      })

      it('does nothing for an empty or inverted range', () => {
        put(engine, { a: '1' })
        engine.deleteRange(Default, Buffer.from('b'), Buffer.from('a'))
        engine.deleteRange(Default, Buffer.from('a'), Buffer.from('a'))
        expect(read('a')).toBe('1')
      })
    })

    it('syncs without leaving a trace', () => {
      put(engine, { a: '1' })
      const first = engine.newBatch()
      first.put(Raft, MIN, Buffer.from('x'))
      engine.write(first, { sync: false })
      engine.sync()
      engine.sync()
      expect(engine.scanSync(Raft, scanAll({ start: Buffer.alloc(0) })).rows).toHaveLength(2)
      expect(engine.scanSync(Default, scanAll()).rows).toHaveLength(2)
    })

    it('has finite figures', () => {
      put(engine, { a: '1' })
      const figures = Object.entries(engine.stats())
      expect(figures.length).toBeGreaterThan(0)
      for (const [metric, value] of figures) expect([metric, value >= 0]).toEqual([metric, true])
    })

    describe('misuse', () => {
      const key = Buffer.from('a')
      const empty = Buffer.alloc(0)
      const notBytes = ['a', 7, null, undefined, { buffer: key, byteOffset: 0, byteLength: 1 }]

      it('refuses empty keys', () => {
        const batch = engine.newBatch()
        expect(codeOf(() => batch.put(Default, empty, key))).toBe('AssertionError')
        expect(codeOf(() => batch.delete(Default, empty))).toBe('AssertionError')
        expect(codeOf(() => engine.get(Default, empty))).toBe('AssertionError')
        expect(codeOf(() => engine.getMany(Default, [key, empty]))).toBe('AssertionError')
        expect(codeOf(() => engine.deleteRange(Default, key, empty))).toBe('AssertionError')
        expect(codeOf(() => engine.scanSync(Default, scanAll({ end: empty })))).toBe(
          'AssertionError',
        )
      })

      it('refuses what is not bytes, and closes afterwards', async () => {
        const batch = engine.newBatch()
        for (const wrong of notBytes as unknown as Buffer[]) {
          expect(codeOf(() => batch.put(Default, wrong, key))).toBe('AssertionError')
          expect(codeOf(() => batch.put(Default, key, wrong))).toBe('AssertionError')
          expect(codeOf(() => batch.delete(Default, wrong))).toBe('AssertionError')
          expect(codeOf(() => engine.getMany(Default, [wrong]))).toBe('AssertionError')
        }
        expect(batch.length).toBe(0)
        await engine.close()
      })

      it('refuses to write a batch twice, or to add to a written one', () => {
        const batch = engine.newBatch()
        batch.put(Default, key, key)
        engine.write(batch, { sync: false })
        expect(codeOf(() => engine.write(batch, { sync: false }))).toBe('AssertionError')
        expect(codeOf(() => batch.put(Default, key, key))).toBe('AssertionError')
        expect(codeOf(() => batch.delete(Default, key))).toBe('AssertionError')
      })

      it('refuses the batch of another engine', async () => {
        const other = await open()
        const batch = other.newBatch()
        batch.put(Default, key, key)
        expect(codeOf(() => engine.write(batch, { sync: false }))).toBe('AssertionError')
        await other.close()
        expect(read('a')).toBeUndefined()
      })

      it('refuses a family that does not exist', () => {
        const wrong = 4 as never
        const batch = engine.newBatch()
        expect(codeOf(() => batch.put(wrong, key, key))).toBe('AssertionError')
        expect(codeOf(() => batch.delete(wrong, key))).toBe('AssertionError')
        expect(codeOf(() => engine.get(wrong, key))).toBe('AssertionError')
        expect(codeOf(() => engine.scanSync(wrong, scanAll()))).toBe('AssertionError')
        expect(codeOf(() => engine.deleteRange(wrong, key, MAX))).toBe('AssertionError')
      })
    })

    describe('close', () => {
      it('lets a running scan finish, then refuses everything', async () => {
        put(engine, { a: '1', b: '2' })
        const batch = engine.newBatch()
        batch.put(Default, Buffer.from('c'), Buffer.from('3'))
        const running = engine.scan(Default, scanAll())
        const closed = engine.close()
        expect(codeOf(() => engine.newBatch())).toBe('Closed')
        expect(text((await running).rows)).toBe('a 1 b 2')
        await closed
        const key = Buffer.from('a')
        expect(codeOf(() => engine.get(Default, key))).toBe('Closed')
        expect(codeOf(() => engine.getMany(Default, [key]))).toBe('Closed')
        expect(codeOf(() => engine.scanSync(Default, scanAll()))).toBe('Closed')
        await expect(engine.scan(Default, scanAll())).rejects.toMatchObject({ code: 'Closed' })
        expect(codeOf(() => engine.newBatch())).toBe('Closed')
        expect(codeOf(() => batch.put(Default, key, key))).toBe('Closed')
        expect(codeOf(() => batch.delete(Default, key))).toBe('Closed')
        expect(codeOf(() => engine.write(batch, { sync: true }))).toBe('Closed')
        expect(codeOf(() => engine.sync())).toBe('Closed')
        expect(codeOf(() => engine.deleteRange(Default, key, MAX))).toBe('Closed')
        expect(codeOf(() => engine.stats())).toBe('Closed')
      })

      it('may be called again', async () => {
        await Promise.all([engine.close(), engine.close()])
        await engine.close()
      })
    })
  })
}
