import { readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Logger, silentLogger } from '../../src/base/logger.ts'
import { FilePdStorage } from '../../src/pd/file-storage.ts'
import { removeDir, temporaryDir } from './fixtures.ts'

let dir: string
beforeEach(async () => {
  dir = await temporaryDir()
})
afterEach(() => removeDir(dir))

const value = (text: string): Buffer => Buffer.from(text)

async function contents(logger: Logger = silentLogger): Promise<Record<string, string>> {
  const storage = await FilePdStorage.open(dir, logger)
  const found = [...storage.entries()].map(([key, bytes]) => [key, bytes.toString()])
  await storage.close()
  return Object.fromEntries(found)
}

/** A journal with its first record and three appended ones; their ends in the file. */
async function writeThree(): Promise<number[]> {
  const storage = await FilePdStorage.open(dir, silentLogger)
  const ends: number[] = []
  for (const name of ['a', 'b', 'c']) {
    await storage.put([{ key: name, value: value(`value of ${name}`) }])
    ends.push(storage.stats().file_bytes!)
  }
  await storage.close()
  return ends
}

describe('FilePdStorage', () => {
  test('keeps puts and deletes over reopening', async () => {
    const storage = await FilePdStorage.open(dir, silentLogger)
    await storage.put([
      { key: 'a', value: value('1') },
      { key: 'b', value: value('2') },
    ])
    await storage.put([{ key: 'a', value: undefined }])
    await storage.put([{ key: 'empty', value: value('') }])
    await storage.close()
    expect(await contents()).toEqual({ b: '2', empty: '' })
    expect(await contents()).toEqual({ b: '2', empty: '' })
  })

  test('puts during a write share the next fsync', async () => {
    const storage = await FilePdStorage.open(dir, silentLogger)
    const puts = Array.from({ length: 50 }, (_, i) =>
      storage.put([{ key: `k${i}`, value: value(`${i}`) }]),
    )
    await Promise.all(puts)
    expect(storage.stats().syncs).toBeLessThanOrEqual(2)
    await storage.close()
    expect(Object.keys(await contents())).toHaveLength(50)
  })

  test('is written anew when appends outweigh the contents', async () => {
    const storage = await FilePdStorage.open(dir, silentLogger)
    const big = Buffer.alloc(1024 * 1024, 7)
    for (let i = 0; i < 7; i++) await storage.put([{ key: 'same', value: big }])
    await storage.put([{ key: 'last', value: value('x') }])
    await storage.close()
    expect(storage.stats()).toMatchObject({ rewrites: 2 })
    expect(storage.stats().file_bytes).toBeLessThan(5 * 1024 * 1024)
    expect(await contents()).toEqual({ same: big.toString(), last: 'x' })
  })

  test('a tail torn at any byte is cut, with a warning', async () => {
    const [, second, third] = (await writeThree()) as [number, number, number]
    const whole = await readFile(join(dir, 'pd.log'))
    for (let length = second + 1; length < third; length++) {
      await writeFile(join(dir, 'pd.log'), whole.subarray(0, length))
      const warnings: string[] = []
      const logger = { ...silentLogger, warn: (_: object, text: string) => warnings.push(text) }
      expect(Object.keys(await contents(logger))).toEqual(['a', 'b'])
      expect(warnings).toEqual([expect.stringContaining('torn tail')])
    }
  })

  test('a last record with any bad byte, or with zeros, is a torn tail', async () => {
    const [, second, third] = (await writeThree()) as [number, number, number]
    const whole = await readFile(join(dir, 'pd.log'))
    for (let at = second; at < third; at++) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x5a
      await writeFile(join(dir, 'pd.log'), damaged)
      expect(Object.keys(await contents())).toEqual(['a', 'b'])
    }
    await writeFile(join(dir, 'pd.log'), Buffer.from(whole).fill(0, second))
    expect(Object.keys(await contents())).toEqual(['a', 'b'])
  })

  test('damage before the last record is corruption, with file and offset', async () => {
    const [first, second] = (await writeThree()) as [number, number, number]
    const path = join(dir, 'pd.log')
    const whole = await readFile(path)
    for (let at = first; at < second; at++) {
      const damaged = Buffer.from(whole)
      damaged[at]! ^= 0x5a
      await writeFile(path, damaged)
      await expect(FilePdStorage.open(dir, silentLogger)).rejects.toMatchObject({
        code: 'Corruption',
        data: { path, offset: first },
      })
    }
  })

  test('a journal of another version is not called damaged', async () => {
    await writeThree()
    const path = join(dir, 'pd.log')
    const journal = await readFile(path)
    journal.writeUInt32LE(2, 4)
    await writeFile(path, journal)
    await expect(FilePdStorage.open(dir, silentLogger)).rejects.toMatchObject({
      code: 'DataDirMismatch',
      message: expect.stringMatching(/another version .* has format 2, this program reads 1; use/),
    })
    // And is left as it was.
    expect(await readFile(path)).toEqual(journal)
  })

  test('a missing record in the middle is corruption', async () => {
    const [first, second] = (await writeThree()) as [number, number, number]
    const whole = await readFile(join(dir, 'pd.log'))
    const without = Buffer.concat([whole.subarray(0, first), whole.subarray(second)])
    await writeFile(join(dir, 'pd.log'), without)
    await expect(FilePdStorage.open(dir, silentLogger)).rejects.toMatchObject({
      code: 'Corruption',
      message: expect.stringContaining('record 2 is missing'),
    })
  })

  test('a file of something else, or an empty one, is corruption', async () => {
    await writeFile(join(dir, 'pd.log'), 'hello, this is no journal')
    await expect(contents()).rejects.toMatchObject({ code: 'Corruption' })
    await truncate(join(dir, 'pd.log'))
    await expect(contents()).rejects.toMatchObject({ code: 'Corruption' })
  })

  test('a left-over new file is dropped', async () => {
    await writeThree()
    await writeFile(join(dir, 'pd.log.tmp'), 'half written')
    expect(Object.keys(await contents())).toEqual(['a', 'b', 'c'])
  })

  test('a directory that cannot be used says so', async () => {
    await writeFile(join(dir, 'file'), '')
    await expect(FilePdStorage.open(join(dir, 'file'), silentLogger)).rejects.toMatchObject({
      code: 'DataDirUnusable',
    })
  })

  test('puts after close are refused', async () => {
    const storage = await FilePdStorage.open(dir, silentLogger)
    await storage.close()
    await expect(storage.put([])).rejects.toMatchObject({ code: 'Closed' })
  })
})
