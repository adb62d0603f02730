import fc from 'fast-check'
import { afterEach, describe, expect, test } from 'vitest'
import { sortKeys } from '../../src/client/batch.ts'
import type { KvClient } from '../../src/client/kv-client.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { FakeCluster, hex } from './fake-cluster.ts'

let kv: KvClient | undefined

afterEach(async () => {
  await kv?.close()
})

const key = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), minLength: 1, maxLength: 4 })

describe('a batch get whose answer is too large for the store', () => {
  async function open(answerBytesMax: number): Promise<FakeCluster> {
    const cluster = new FakeCluster([1, 2]).bootstrap(['m'], [1, 2])
    kv = cluster.client()
    await kv.batchPut([...'abcdmnop'].map((name) => [name, name.repeat(9)] as const))
    cluster.getAnswerBytesMax = answerBytesMax
    return cluster
  }

  test('is asked for again in halves', async () => {
    await open(20)
    const found = await kv!.batchGet([...'pxabcdmnoa'])
    const values = [...'pxabcdmnoa'].map((name) => (name === 'x' ? undefined : name.repeat(9)))
    expect(found.map((value) => value?.toString())).toEqual(values)
  })

  test('fails where a single key is too much', async () => {
    await open(9)
    await expect(kv!.batchGet([...'abcd'])).rejects.toMatchObject({
      message: expect.stringContaining('ask for fewer keys'),
    })
  })
})

describe('batches', () => {
  test('do what single calls in order would do, whatever the regions', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(key, fc.string())),
        fc.array(key),
        fc.array(key),
        fc.uniqueArray(key, { maxLength: 10 }),
        fc.uniqueArray(key, { maxLength: 5 }),
        async (pairs, deleted, asked, cuts, splits) => {
          const cluster = new FakeCluster([1, 2]).bootstrap([...cuts].sort(), [1, 2])
          const client = cluster.client()
          const model = new Map<string, string>()
          await client.batchPut(pairs)
          for (const [k, v] of pairs) model.set(k, v)
          for (const cut of splits) if (!cuts.includes(cut)) cluster.split(cut)
          await client.batchDelete(deleted)
          for (const k of deleted) model.delete(k)
          const found = await client.batchGet(asked)
          expect(found.map((value) => value?.toString())).toEqual(asked.map((k) => model.get(k)))
          await client.close()
        },
      ),
      { numRuns: 150 },
    )
  })

  test('nothing in, nothing done', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client()
    await kv.batchPut([])
    await kv.batchDelete([])
    expect(await kv.batchGet([])).toEqual([])
    expect(cluster.served).toHaveLength(0)
  })

  test('pieces hold at most 512 keys and about a MiB', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client()
    const names = Array.from({ length: 1300 }, (_, i) => `k${i}`)
    await kv.batchPut(names.map((name) => [name, 'v']))
    expect(cluster.served.map((each) => each.keyCount)).toEqual([512, 512, 276])
    cluster.served.length = 0
    const value = Buffer.alloc(300_000)
    await kv.batchPut(names.slice(0, 7).map((name) => [name, value]))
    expect(cluster.served.map((each) => each.keyCount)).toEqual([3, 3, 1])
    expect((await kv.batchGet(names)).every((found) => found !== undefined)).toBe(true)
  })

  test('a bounded number of pieces is in flight, and all get done', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client()
    await kv.put('a', 'v')
    cluster.served.length = 0
    const done = kv.batchPut(Array.from({ length: 512 * 40 }, (_, i) => [`k${i}`, 'v']))
    expect(cluster.served).toHaveLength(16)
    await done
    expect(cluster.data.size).toBe(512 * 40 + 1)
  })

  test('a failed write tells how far it came', async () => {
    const cluster = new FakeCluster([1]).bootstrap(['m'])
    kv = cluster.client()
    await kv.put('a', 'v')
    cluster.script.push({ code: 'RaftEntryTooLarge', message: '', regionId: 1, entrySize: 9 })
    await expect(
      kv.batchPut([
        ['a', '1'],
        ['b', '2'],
        ['z', '3'],
      ]),
    ).rejects.toMatchObject({ code: 'RaftEntryTooLarge', data: { keysDone: 1, keyCount: 3 } })
  })

  test('a piece cut by a split keeps what it knows about its first attempt', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client(400)
    await kv.put('a', 'v')
    cluster.split('m')
    cluster.script.push({ code: 'UndeterminedResult', message: '' })
    const refuse = { code: 'ServerIsBusy', message: '', reason: '', backoffMs: 0 } as const
    const write = kv.batchPut([
      ['a', '1'],
      ['z', '2'],
    ])
    for (let i = 0; i < 200; i++) cluster.script.push(refuse)
    await expect(write).rejects.toMatchObject({ code: 'Undetermined' })
  })

  test('a key asked twice is answered twice', async () => {
    const cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client()
    await kv.put('a', '1')
    const found = await kv.batchGet(['a', 'x', 'a'])
    expect(found.map((value) => value?.toString())).toEqual(['1', undefined, '1'])
    const asked = cluster.served.find((each) => each.kind === RawKind.BatchGet)
    expect(asked?.keyCount).toBe(2)
  })
})

test('sortKeys orders by bytes and keeps the last of equal keys', () => {
  const of = (...names: string[]) => names.map((name) => Buffer.from(name))
  const sorted = sortKeys(of('b', 'a', 'b', 'é'), of('1', '2', '3', '4'))
  expect(sorted.keys.map(hex)).toEqual(of('a', 'b', 'é').map(hex))
  expect(sorted.values.map(String)).toEqual(['2', '3', '4'])
})
