import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import type { KvClient, Row, ScanOptions } from '../../src/client/kv-client.ts'
import { errorResponse, RawKind, SCAN_ANSWER_TOO_LARGE } from '../../src/protocol/raw.ts'
import { FakeCluster, hex } from './fake-cluster.ts'

let kv: KvClient | undefined

afterEach(async () => {
  await kv?.close()
})

async function rowsOf(client: KvClient, options: ScanOptions): Promise<[string, string][]> {
  const rows: [string, string][] = []
  for await (const [key, value] of client.scan(options)) {
    rows.push([key.toString('latin1'), value.toString('latin1')])
  }
  return rows
}

/** Short strings over few letters, so that keys, cuts and bounds often meet. */
const letters = fc.string({ unit: fc.constantFrom('\0', 'a', 'b', 'c', '\x7f'), maxLength: 3 })
const keys = letters.filter((key) => key !== '')

describe('scans over many regions', () => {
  test('give what the model gives, in both directions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(keys, { maxLength: 40 }),
        fc.uniqueArray(keys, { maxLength: 8 }),
        fc.uniqueArray(keys, { maxLength: 3 }),
        fc.record({
          bounds: fc.tuple(letters, letters),
          limit: fc.option(fc.nat(12), { nil: undefined }),
          pageRows: fc.integer({ min: 1, max: 5 }),
          reverse: fc.boolean(),
          keysOnly: fc.boolean(),
        }),
        async (stored, cuts, splits, { bounds, limit, pageRows, reverse, keysOnly }) => {
          const cluster = new FakeCluster([1, 2, 3]).bootstrap([...cuts].sort(), [2, 3, 1])
          for (const key of stored) cluster.data.set(hex(key), Buffer.from(`=${key}`))
          const client = cluster.client()
          const [start, end] = bounds[1] === '' ? bounds : [...bounds].sort()
          const options = { start: start!, end: end!, pageRows, reverse, keysOnly }
          const warm = await rowsOf(client, { reverse: !reverse })
          expect(warm).toHaveLength(stored.length)
          // What the client has cached is now partly wrong.
          for (const key of splits) {
            if (hex(cluster.regionOf(Buffer.from(key)).region.startKey) !== hex(key)) {
              cluster.split(key)
            }
          }
          const rows = await rowsOf(client, limit === undefined ? options : { ...options, limit })
          const expected = [...stored]
            .sort()
            .filter((key) => key >= start! && (end === '' || key < end!))
          if (reverse) expected.reverse()
          expect(rows).toEqual(
            expected.slice(0, limit).map((key) => [key, keysOnly ? '' : `=${key}`]),
          )
          await client.close()
        },
      ),
      { numRuns: 150 },
    )
  })

  test('pages are one region each, and come without empty ones', async () => {
    const cluster = new FakeCluster([1]).bootstrap(['b', 'c', 'd'])
    for (const key of ['a1', 'a2', 'a3', 'd1']) cluster.data.set(hex(key), Buffer.from('v'))
    kv = cluster.client()
    const pages: string[][] = []
    for await (const page of kv.scan({ pageRows: 2 }).pages()) {
      pages.push(page.map((row: Row) => row[0].toString()))
    }
    expect(pages).toEqual([['a1', 'a2'], ['a3'], ['d1']])
  })

  test('a page that the store cut by its size is continued', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    cluster.scanBytesMax = 8 * 1024 * 1024
    const value = Buffer.alloc(5 * 1024 * 1024)
    for (const key of ['a', 'b', 'c', 'd', 'e']) cluster.data.set(hex(key), value)
    kv = cluster.client()
    for (const reverse of [false, true]) {
      const found = (await rowsOf(kv, { reverse })).map(([key]) => key)
      expect(found).toEqual(reverse ? ['e', 'd', 'c', 'b', 'a'] : ['a', 'b', 'c', 'd', 'e'])
    }
  })

  test('a page too large for the store is asked for again with fewer rows, down to one', async () => {
    const cluster = new FakeCluster([1]).bootstrap(['k20'])
    cluster.scanAnswerBytesMax = 1000
    const expected: [string, string][] = []
    for (let i = 10; i < 40; i++) {
      // Small rows, rows that fit in twos and threes, and rows that do not fit even alone.
      const value = 'v'.repeat(i < 20 ? 1 : i < 30 ? 400 : 5000)
      cluster.data.set(hex(`k${i}`), Buffer.from(value))
      expected.push([`k${i}`, value])
    }
    kv = cluster.client()
    expect(await rowsOf(kv, {})).toEqual(expected)
    expect(await rowsOf(kv, { reverse: true })).toEqual(expected.toReversed())
    expect(await rowsOf(kv, { limit: 25 })).toEqual(expected.slice(0, 25))
    const limits = cluster.served.map(({ request }) => request.limit)
    expect(Math.min(...limits)).toBe(1)
  })

  test('after large rows, pages grow again', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    cluster.scanAnswerBytesMax = 1000
    for (let i = 100; i < 110; i++) cluster.data.set(hex(`k${i}`), Buffer.alloc(900))
    for (let i = 200; i < 400; i++) cluster.data.set(hex(`k${i}`), Buffer.from('v'))
    kv = cluster.client()
    expect(await rowsOf(kv, { pageRows: 64 })).toHaveLength(210)
    expect(cluster.served.at(-1)!.request.limit).toBeGreaterThan(16)
  })

  test('a store that refuses even one row is reported', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    cluster.data.set(hex('a'), Buffer.from('v'))
    const message = `${SCAN_ANSWER_TOO_LARGE} nothing`
    cluster.execute = () => errorResponse(message)
    kv = cluster.client()
    await expect(rowsOf(kv, { pageRows: 8 })).rejects.toMatchObject({ message })
    expect(cluster.served.map(({ request }) => request.limit)).toEqual([8, 4, 2, 1])
  })

  test('a consumer that leaves early asks for one page more at most', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    for (let i = 0; i < 100; i++) cluster.data.set(hex(`k${i}`), Buffer.from('v'))
    kv = cluster.client()
    for await (const _row of kv.scan({ pageRows: 10 })) break
    expect(cluster.served.filter((each) => each.kind === RawKind.Scan).length).toBeLessThan(3)
  })

  test('a failure reaches the consumer', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    cluster.pdMode = 'fail'
    kv = cluster.client(200)
    await expect(rowsOf(kv, {})).rejects.toMatchObject({ code: 'Timeout' })
  })
})
