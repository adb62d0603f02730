import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { PolyraftError } from '../../../src/base/errors.ts'
import { registerKv } from '../../../src/server/commands/kv.ts'
import { FakeCluster, hex } from '../../client/fake-cluster.ts'
import { FakeIo } from '../cli/fake-io.ts'

let cluster: FakeCluster
let directory: string

beforeEach(async () => {
  cluster = new FakeCluster([1, 2, 3]).bootstrap(['m'])
  directory = await mkdtemp(join(tmpdir(), 'polyraft-kv-'))
})

afterEach(async () => {
  await rm(directory, { recursive: true })
})

function run(...args: string[]): Promise<FakeIo> {
  return new FakeIo(cluster).run(registerKv, ['kv', ...args])
}

async function fails(io: Promise<FakeIo>, message: RegExp, code = 1): Promise<void> {
  const { exitCode, stderr } = await io
  expect(stderr.lines).toHaveLength(1)
  expect(stderr.text).toMatch(message)
  expect(exitCode).toBe(code)
}

async function file(text: string | Buffer): Promise<string> {
  const path = join(directory, 'rows')
  await writeFile(path, text)
  return path
}

describe('single rows', () => {
  test('put, get, delete', async () => {
    expect((await run('put', 'ключ', 'a value')).exitCode).toBe(0)
    const got = await run('get', 'ключ')
    expect([got.stdout.text, got.exitCode]).toEqual(['a value\n', 0])
    await run('delete', 'ключ', 'nothing')
    await fails(run('get', 'ключ'), /not found/)
  })

  test('bytes as they are, in hex, in base64, in JSON', async () => {
    await run('put', '--hex', '00ff', 'c3')
    expect(cluster.data.get('00ff')).toEqual(Buffer.from([0xc3]))
    expect((await run('get', '--hex', '00ff')).stdout.text).toBe('c3\n')
    expect((await run('get', '--base64', 'AP8=')).stdout.text).toBe('ww==\n')
    expect((await run('get', '--hex', '--json', '00ff')).stdout.text).toBe(
      '{"keyHex":"00ff","valueHex":"c3"}\n',
    )
    await run('put', 'k', 'v')
    expect((await run('get', '--json', 'k')).stdout.text).toBe('{"key":"k","value":"v"}\n')
    cluster.data.set(hex('k'), Buffer.from([0x61, 0xff]))
    expect((await run('get', 'k')).stdout.bytes).toEqual(Buffer.from([0x61, 0xff, 0x0a]))
    expect((await run('get', '--json', 'k')).stdout.text).toBe('{"key":"k","valueBase64":"Yf8="}\n')
  })

  test('what was done, in JSON', async () => {
    expect((await run('put', '--json', 'k', 'v')).stdout.text).toBe('{"key":"k","ok":true}\n')
    expect((await run('delete', '--json', '--hex', '6b', 'ff')).stdout.lines).toEqual([
      '{"keyHex":"6b","ok":true}',
      '{"keyHex":"ff","ok":true}',
    ])
    const io = new FakeIo(cluster)
    const previous = Buffer.from([0xff])
    const { openKv } = io
    io.openKv = async (...args) =>
      Object.assign(await openKv(...args), {
        compareAndSwap: async () => ({ swapped: false, previous }),
        ttl: async () => 60,
      })
    await io.run(registerKv, ['kv', 'cas', '--json', 'k', 'v'])
    await io.run(registerKv, ['kv', 'ttl', '--json', 'k'])
    expect(io.stdout.lines).toEqual([
      '{"key":"k","swapped":false,"previousBase64":"/w=="}',
      '{"key":"k","ttlSeconds":60}',
    ])
  })

  test('what is no hex or base64 is said so', async () => {
    await fails(run('get', '--hex', 'abc'), /not hex/, 2)
    await fails(run('get', '--base64', '%%'), /not base64/, 2)
  })

  test.each([
    [['get', ''], /at least one byte/],
    [['put', '', 'v'], /at least one byte/],
    [['delete', 'k', ''], /at least one byte/],
    [['cas', '', 'v'], /at least one byte/],
    [['ttl', 'k'.repeat(9000)], /9000 bytes/],
    [['get', '--cf', 'nope', 'k'], /column family/],
    [['load', '--cf', 'nope', 'k'], /column family/],
    [['dump', '--start', 'z', '--end', 'a'], /start/],
    [['cas', 'k', 'v', '--hex', '--expected', 'z'], /not hex/],
  ])('wrong usage, found without a cluster: %j', async (args, message) => {
    const io = new FakeIo(cluster)
    io.openKv = () => Promise.reject(new Error('not to be asked'))
    await fails(io.run(registerKv, ['kv', ...args]), message, 2)
  })

  test('operating errors are one line and exit 1', async () => {
    await fails(run('cas', 'k', 'v'), /not supported/)
    await fails(run('ttl', 'k'), /not supported/)
    cluster.pdMode = 'fail'
    await fails(run('get', 'k', '--timeout-ms', '50'), /PD is down/)
  })

  test.each([
    [['get']],
    [['get', 'k', '--pd', 'nowhere']],
    [['get', 'k', '--timeout-ms', '0']],
    [['get', 'k', '--hex', '--base64']],
    [['scan', '--limit', '-1']],
    [['load', 'f', '--format', 'csv']],
    [['load', 'f', '--concurrency', 'many']],
    [['nonsense']],
  ])('usage error: %j', async (args) => {
    await expect(run(...args)).rejects.toMatchObject({ name: 'CommanderError' })
    expect(cluster.served).toHaveLength(0)
  })
})

describe('scan', () => {
  beforeEach(() => {
    for (const key of ['a', 'b\t', 'n', 'z']) cluster.data.set(hex(key), Buffer.from(`=${key}`))
  })

  test.each([
    [[], ['a\t=a', 'b\\t\t=b\\t', 'n\t=n', 'z\t=z']],
    [
      ['--reverse', '--limit', '2'],
      ['z\t=z', 'n\t=n'],
    ],
    [
      ['--start', 'b', '--end', 'z', '--keys-only'],
      ['b\\t', 'n'],
    ],
    [['--json', '--limit', '1'], ['{"key":"a","value":"=a"}']],
    [
      ['--hex', '--start', '6e', '--keys-only'],
      ['6e', '7a'],
    ],
    [['--limit', '0'], []],
  ])('%j', async (args, lines) => {
    expect((await run('scan', ...args)).stdout.lines).toEqual(lines)
  })

  test('a range the wrong way round', async () => {
    await fails(run('scan', '--start', 'z', '--end', 'a'), /start/, 2)
  })
})

describe('load', () => {
  test('rows with escapes, blank lines, Windows lines, no newline at the end', async () => {
    const path = await file('a\t1\n\nb\\t\t2\\\\\r\n  \nc\t\nd\t\\xff')
    const io = await run('load', path)
    expect(io.stderr.text).toMatch(/^loaded 4 rows \(.*\) in .*, .* rows\/s\n$/)
    expect([...cluster.data]).toEqual([
      [hex('a'), Buffer.from('1')],
      [hex('b\t'), Buffer.from('2\\')],
      [hex('c'), Buffer.alloc(0)],
      [hex('d'), Buffer.from([0xff])],
    ])
  })

  test('--json: the summary is an object', async () => {
    const io = await run('load', await file('a\t1\nnonsense\n'), '--json', '--on-error', 'skip')
    expect(io.stderr.text).toBe('')
    expect(JSON.parse(io.stdout.text)).toEqual({
      rows: 1,
      bytes: 13,
      seconds: expect.any(Number),
      rowsPerSecond: expect.any(Number),
      skipped: 1,
      firstSkipped: expect.stringMatching(/^line 2: .*no TAB/),
    })
    const good = await run('load', await file('a\t1\n'), '--json')
    expect(JSON.parse(good.stdout.text)).toMatchObject({ skipped: 0, firstSkipped: null })
  })

  test('stdin', async () => {
    const io = new FakeIo(cluster)
    io.stdin = Readable.from([Buffer.from('{"key":"a","val'), Buffer.from('ue":"1"}\n')])
    await io.run(registerKv, ['kv', 'load', '-', '--format', 'jsonl'])
    expect(cluster.data.get(hex('a'))).toEqual(Buffer.from('1'))
  })

  test('stops at a malformed line, with all rows before it loaded', async () => {
    const rows = Array.from({ length: 3000 }, (_, i) => `k${i}\tv\n`).join('')
    const path = await file(`${rows}nonsense\nlater\tv\n`)
    await fails(run('load', path), /line 3001: .*no TAB.*; 3,000 rows are known to be loaded/)
    expect(cluster.data.size).toBe(3000)
  })

  test.each(['stop', 'skip'])('a gzip file is recognised, with --on-error %s', async (onError) => {
    const path = await file(gzipSync('a\t1\n'.repeat(1000)))
    await fails(
      run('load', path, '--on-error', onError),
      /compressed.*zcat FILE \| polyraft kv load -/,
    )
    expect(cluster.data.size).toBe(0)
  })

  test('skips malformed lines when told to, counts them, and loses nothing else', async () => {
    const path = await file('a\t1\nnonsense\nb\t2\n\tempty\n\nc\t3\nlast')
    const io = await run('load', path, '--on-error', 'skip')
    expect(io.exitCode).toBe(0)
    expect(io.stderr.text).toMatch(/loaded 3 rows .*; skipped 3 lines, .*line 2: /)
    expect(cluster.data.size).toBe(3)
  })

  describe('rows that the store refuses', () => {
    /** Loads 100 rows, of which lines 8 and 51 are too large, into stores with small entries. */
    async function loadLarge(...flags: string[]): Promise<FakeIo> {
      const value = (i: number) => (i === 8 || i === 51 ? 'x'.repeat(200) : 'v')
      const rows = Array.from({ length: 100 }, (_, i) => `k${i + 1}\t${value(i + 1)}\n`)
      const io = new FakeIo(cluster)
      const { openKv } = io
      io.openKv = async (...args) => {
        const kv = await openKv(...args)
        const batchPut: typeof kv.batchPut = async (pairs, options) => {
          const bytes = [...pairs].reduce((sum, [key, bytes]) => sum + key.length + bytes.length, 0)
          if (bytes > 150)
            throw new PolyraftError('RaftEntryTooLarge', `${bytes} bytes are too many`)
          await kv.batchPut(pairs, options)
        }
        return Object.assign(Object.create(kv), { batchPut, close: () => kv.close() })
      }
      return io.run(registerKv, ['kv', 'load', await file(rows.join('')), ...flags])
    }

    test('are skipped and counted, and all others are written', async () => {
      const io = await loadLarge('--on-error', 'skip')
      expect(io.stderr.text).toMatch(/loaded 98 rows .*; skipped 2 lines, .*line 8: 202 bytes are/)
      expect(io.exitCode).toBe(0)
      expect(cluster.data.size).toBe(98)
    })

    test('stop it, with the line, after what came before', async () => {
      await fails(loadLarge(), /line 8: 202 bytes are too many; 7 rows are known to be loaded/)
      expect(cluster.data.size).toBe(7)
    })
  })

  test('a malformed last line without a newline', async () => {
    await fails(
      run('load', await file('a\t1\nnonsense')),
      /line 2: .*; 1 row is known to be loaded/,
    )
  })

  test('a failing cluster ends it, and tells how many rows were loaded', async () => {
    cluster.pdMode = 'fail'
    const path = await file('a\t1\nb\t2\n')
    await fails(
      run('load', path, '--timeout-ms', '50'),
      /PD is down.*; 0 rows are known to be loaded/,
    )
  })

  test('the last of equal keys wins, however many batches lie between', async () => {
    const rows: string[] = []
    for (let i = 0; i < 20_000; i++) rows.push(`k${i % 2500}\t${i}\n`)
    await run('load', await file(rows.join('')), '--concurrency', '8')
    expect(cluster.data.size).toBe(2500)
    for (let i = 0; i < 2500; i++) {
      expect(cluster.data.get(hex(`k${i}`))?.toString()).toBe(String(17_500 + i))
    }
  })

  test('a file that is not there', async () => {
    await fails(run('load', join(directory, 'missing')), /does not exist/)
  })

  test('shows progress on a terminal only', async () => {
    const path = await file('a\t1\n')
    const io = await new FakeIo(cluster, true).run(registerKv, ['kv', 'load', path])
    expect(io.stderr.text).toContain('\x1b[K')
    expect((await run('load', path)).stderr.text).not.toContain('\x1b')
  })
})

describe('dump', () => {
  test.each([
    [['--format', 'tsv']],
    [['--format', 'jsonl']],
    [['--format', 'tsv', '--hex']],
    [['--format', 'jsonl', '--hex']],
    [['--format', 'tsv', '--base64']],
    [['--format', 'jsonl', '--base64']],
  ])('load of a dump gives the same rows: %j', async (flags) => {
    const bytes = (minLength: number) => fc.uint8Array({ minLength, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(bytes(1), bytes(0)), { maxLength: 50 }), async (rows) => {
        cluster.data.clear()
        for (const [key, value] of rows) cluster.data.set(hex(key), Buffer.from(value))
        const before = new Map([...cluster.data].sort())
        const path = join(directory, 'dump')
        const dumped = await run('dump', ...flags, '-o', path)
        expect(dumped.stderr.text).toMatch(/^dumped /)
        cluster.data.clear()
        await run('load', path, ...flags)
        expect(new Map([...cluster.data].sort())).toEqual(before)
      }),
      { numRuns: 10 },
    )
  })

  test('--hex is for bounds and columns', async () => {
    for (const key of ['a', 'b']) cluster.data.set(hex(key), Buffer.from([0xff]))
    const tsv = await run('dump', '--hex', '--start', '62')
    expect(tsv.stdout.text).toBe('62\tff\n')
    const json = await run('dump', '--hex', '--start', '62', '--format', 'jsonl')
    expect(json.stdout.text).toBe('{"keyHex":"62","valueHex":"ff"}\n')
  })

  test('--json: rows as JSON lines, and a summary', async () => {
    cluster.data.set(hex('a'), Buffer.from('1'))
    const io = await run('dump', '--json')
    expect(io.stdout.text).toBe('{"key":"a","value":"1"}\n')
    expect(JSON.parse(io.stderr.text)).toMatchObject({ rows: 1, bytes: 2 })
    const path = join(directory, 'dump')
    const toFile = await run('dump', '--json', '-o', path)
    expect(toFile.stderr.text).toBe('')
    expect(JSON.parse(toFile.stdout.text)).toMatchObject({ rows: 1, bytes: 2 })
    await fails(run('dump', '--json', '--format', 'tsv'), /--json writes jsonl, not tsv/, 2)
  })

  test('to stdout, with bounds', async () => {
    for (const key of ['a', 'b', 'n', 'z']) cluster.data.set(hex(key), Buffer.from('v'))
    const io = await run('dump', '--start', 'b', '--end', 'z')
    expect(io.stdout.text).toBe('b\tv\nn\tv\n')
  })

  test('a reader that goes away ends it quietly', async () => {
    for (let i = 0; i < 5000; i++) cluster.data.set(hex(`k${i}`), Buffer.from('v'))
    const io = new FakeIo(cluster)
    io.stdout._write = (_chunk: Buffer, _encoding: string, done) => {
      done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }))
    }
    await io.run(registerKv, ['kv', 'dump'])
    expect([io.exitCode, io.stderr.text]).toEqual([0, ''])
  })

  test('one that fails leaves the file as it was', async () => {
    const path = await file('precious')
    await run('dump', '--cf', 'nosuch', '-o', path)
    await run('dump', '--start', 'z', '--end', 'a', '-o', path)
    cluster.pdMode = 'fail'
    await run('dump', '--timeout-ms', '50', '-o', path)
    expect(await readFile(path, 'utf8')).toBe('precious')
    expect(await readdir(directory)).toEqual(['rows'])
  })

  test.runIf(existsSync('/dev/full'))('a disk that fills up is named by its file', async () => {
    cluster.data.set(hex('k'), Buffer.from('v'))
    await fails(run('dump', '-o', '/dev/full'), /^polyraft: cannot write \/dev\/full: ENOSPC/)
  })

  test('- is standard output', async () => {
    cluster.data.set(hex('k'), Buffer.from('v'))
    expect((await run('dump', '-o', '-')).stdout.text).toBe('k\tv\n')
  })

  test('a file that cannot be written', async () => {
    cluster.data.set(hex('k'), Buffer.from('v'))
    await fails(run('dump', '-o', join(directory, 'no', 'such')), /ENOENT/)
    await expect(readFile(join(directory, 'no', 'such'))).rejects.toThrow()
  })
})
