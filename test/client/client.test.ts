import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { KvClient } from '../../src/client/kv-client.ts'
import { RawKind } from '../../src/protocol/raw.ts'
import { FakeCluster, hex } from './fake-cluster.ts'

let cluster: FakeCluster
let kv: KvClient

beforeEach(() => {
  vi.useFakeTimers()
  cluster = new FakeCluster([1, 2, 3]).bootstrap(['m'])
  kv = cluster.client()
})

afterEach(async () => {
  await kv.close()
  expect(vi.getTimerCount()).toBe(0)
  vi.useRealTimers()
})

/** The outcome, with the timers run that it needs. */
async function settle<T>(promise: Promise<T>, withinMs = 6000): Promise<T> {
  promise.catch(() => {})
  let done = false
  const mark = () => {
    done = true
  }
  promise.then(mark, mark)
  for (let passed = 0; !done && passed < withinMs; passed += 10) {
    await vi.advanceTimersByTimeAsync(10)
  }
  expect(done, `settled within ${withinMs} ms`).toBe(true)
  return promise
}

function storesServed(kind: RawKind): number[] {
  return cluster.served.filter((each) => each.kind === kind).map((each) => each.storeId)
}

describe('the plain calls', () => {
  test('put, get, delete', async () => {
    await kv.put('key', 'value')
    expect(await kv.get('key')).toEqual(Buffer.from('value'))
    await kv.put(Buffer.from('key'), new Uint8Array([0, 255]))
    expect(await kv.get('key')).toEqual(Buffer.from([0, 255]))
    await kv.delete('key')
    expect(await kv.get('key')).toBeUndefined()
  })

  test('an empty value is not an absent one', async () => {
    await kv.put('key', '')
    expect(await kv.get('key')).toEqual(Buffer.alloc(0))
  })

  test('string keys are UTF-8', async () => {
    await kv.put('ключ', 'значение')
    expect(cluster.data.get(hex(Buffer.from('ключ', 'utf8')))?.toString()).toBe('значение')
  })

  test('PD is asked once for a region and once for a store', async () => {
    await Promise.all(Array.from({ length: 100 }, (_, i) => kv.put(`a${i}`, 'v')))
    const asked = cluster.pdCalls
    expect(asked).toBeLessThanOrEqual(5)
    await kv.put('b', 'v')
    expect(cluster.pdCalls).toBe(asked)
  })
})

describe('input is checked before anything is sent', () => {
  const big = Buffer.alloc(8 * 1024 + 1, 1)
  test.each([
    ['KeyEmpty', () => kv.get('')],
    ['KeyEmpty', () => kv.batchGet(['a', ''])],
    ['KeyTooLarge', () => kv.put(big, 'v')],
    ['KeyTooLarge', () => kv.batchDelete([big])],
    ['ValueTooLarge', () => kv.put('k', Buffer.alloc(8 * 1024 * 1024 + 1))],
    ['UnknownColumnFamily', () => kv.get('k', { cf: 'nope' })],
    ['UnknownColumnFamily', () => kv.batchPut([['k', 'v']], { cf: 'nope' })],
    ['InvalidArgument', () => kv.put(7 as never, 'v')],
    ['InvalidArgument', () => kv.put('\ud800', 'v')],
    ['InvalidArgument', () => kv.put('k', 'v', { ttl: 60 } as never)],
    ['InvalidArgument', () => kv.put('k', 'v', 60 as never)],
    ['InvalidArgument', () => kv.get('k', null as never)],
    ['InvalidArgument', () => kv.delete('k', { CF: 'lock' } as never)],
    ['InvalidArgument', () => kv.batchPut([['k', 'v']], { ttl: 60 } as never)],
    ['InvalidArgument', () => kv.batchGet(['k'], { limit: 1 } as never)],
    ['InvalidArgument', () => kv.batchDelete(['k'], 'lock' as never)],
    ['InvalidArgument', async () => kv.scan({ prefix: 'k' } as never)],
    ['InvalidArgument', async () => kv.scan(null as never)],
    ['InvalidArgument', () => kv.get('a\udfff')],
    ['InvalidArgument', () => kv.batchPut(null as never)],
    ['InvalidArgument', () => kv.batchPut({ a: '1' } as never)],
    ['InvalidArgument', () => kv.batchPut(['ab'] as never)],
    ['InvalidArgument', () => kv.batchGet('abc')],
    ['Unsupported', () => kv.put('k', 'v', { ttlSeconds: 1 })],
    ['Unsupported', () => kv.batchPut([['k', 'v']], { ttlSeconds: 1 })],
    ['Unsupported', () => kv.deleteRange('a', 'b')],
    ['Unsupported', () => kv.compareAndSwap('k', { expected: undefined, value: 'v' })],
    ['Unsupported', () => kv.ttl('k')],
  ])('%s', async (code, call) => {
    await expect(call()).rejects.toMatchObject({ name: 'PolyraftError', code })
    expect(cluster.served).toHaveLength(0)
  })

  test('a scan range the wrong way round', () => {
    expect(() => kv.scan({ start: 'b', end: 'a' })).toThrow(/start/)
  })
})

test('an attempt may not be executed long after the next one took its place', async () => {
  const slow = cluster.client(60_000)
  await slow.put('k', 'v')
  expect(cluster.served.at(-1)!.request.durationMsMax).toBe(1000)
  await slow.close()
  const quick = cluster.client(100)
  await quick.put('k', 'v')
  expect(cluster.served.at(-1)!.request.durationMsMax).toBeLessThanOrEqual(100)
  await quick.close()
})

describe('region errors', () => {
  beforeEach(async () => {
    await kv.put('a', '0')
    cluster.served.length = 0
  })

  test('NotLeader with a hint: the new leader, at once', async () => {
    cluster.lead('a', 2)
    await kv.put('a', '1')
    expect(storesServed(RawKind.Put)).toEqual([1, 2])
    await kv.put('a', '2')
    expect(storesServed(RawKind.Put)).toEqual([1, 2, 2])
  })

  test('NotLeader without a hint: back off and look around until there is a leader', async () => {
    cluster.lead('a', undefined)
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(1000)
    expect(new Set(storesServed(RawKind.Put))).toEqual(new Set([1, 2, 3]))
    expect(cluster.served.length).toBeLessThan(30)
    cluster.lead('a', 3)
    await settle(put, 500)
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
  })

  test('a split is learnt from EpochNotMatch, without PD', async () => {
    cluster.split('c')
    const asked = cluster.pdCalls
    await kv.put('a', '1')
    await kv.put('d', '1')
    expect(cluster.pdCalls).toBe(asked)
    expect(storesServed(RawKind.Put)).toEqual([1, 1, 1])
  })

  test('EpochNotMatch of a peer that is behind does not undo what is known', async () => {
    const old = cluster.regionOf(Buffer.from('a')).region
    cluster.split('c')
    await kv.put('a', '1')
    cluster.served.length = 0
    cluster.script.push({ code: 'EpochNotMatch', message: '', currentRegions: [old] })
    // The region of 'd' kept the old id, and the client knows it at the higher version.
    await settle(kv.put('d', '2'))
    expect(cluster.served).toHaveLength(2)
    expect(cluster.served[1]?.request.version).toBe(2)
  })

  test.each(['RegionNotFound', 'KeyNotInRegion', 'MismatchPeerId', 'EpochNotMatch'] as const)(
    '%s: the region is asked from PD again',
    async (code) => {
      const asked = cluster.pdCalls
      cluster.script.push({
        code,
        message: '',
        regionId: 100,
        key: Buffer.from('a'),
        startKey: Buffer.alloc(0),
        endKey: Buffer.alloc(0),
        requestPeerId: 0,
        storePeerId: 0,
        currentRegions: [],
      })
      await settle(kv.put('a', '1'))
      expect(cluster.pdCalls).toBe(asked + 1)
      expect(cluster.served).toHaveLength(2)
    },
  )

  test('StoreNotMatch: the address is asked again', async () => {
    cluster.script.push({
      code: 'StoreNotMatch',
      message: '',
      requestStoreId: 1,
      actualStoreId: 9,
    })
    cluster.addresses.set(1, 'moved:1')
    await settle(kv.put('a', '1'))
    expect(cluster.connects).toEqual(['store-1:20160', 'moved:1'])
  })

  test('StaleCommand: again at once', async () => {
    cluster.script.push({ code: 'StaleCommand', message: '' })
    await kv.put('a', '1')
    expect(cluster.served).toHaveLength(2)
  })

  test('ServerIsBusy: waits at least as long as the store asks', async () => {
    cluster.script.push({ code: 'ServerIsBusy', message: '', reason: 'full', backoffMs: 300 })
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(290)
    expect(cluster.served).toHaveLength(1)
    await settle(put, 200)
    expect(cluster.served).toHaveLength(2)
  })

  test('RaftEntryTooLarge fails the call', async () => {
    cluster.script.push({
      code: 'RaftEntryTooLarge',
      message: 'too large',
      regionId: 100,
      entrySize: 9,
    })
    await expect(kv.put('a', '1')).rejects.toMatchObject({ code: 'RaftEntryTooLarge' })
    expect(cluster.served).toHaveLength(1)
  })

  test('refusals until the deadline are a Timeout, for the write was never executed', async () => {
    const busy = { code: 'ServerIsBusy', message: 'full', reason: 'full', backoffMs: 0 } as const
    for (let i = 0; i < 1000; i++) cluster.script.push(busy)
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({
      code: 'Timeout',
      data: { lastError: 'ServerIsBusy: full' },
    })
    expect(cluster.served.length).toBeLessThan(30)
  })

  test('an UndeterminedResult is tried again, and remembered', async () => {
    cluster.script.push({ code: 'UndeterminedResult', message: '' })
    await settle(kv.put('a', '1'))
    cluster.script.push({ code: 'UndeterminedResult', message: '' })
    for (let i = 0; i < 1000; i++) cluster.script.push({ code: 'StaleCommand', message: '' })
    await expect(settle(kv.put('a', '2'))).rejects.toMatchObject({ code: 'Undetermined' })
  })

  test('two peers that name each other leader do not make a busy loop', async () => {
    const region = cluster.regionOf(Buffer.from('a')).region
    for (let i = 0; i < 2000; i++) {
      const leader = region.peers[(i + 1) % 2]
      cluster.script.push({ code: 'NotLeader', message: '', regionId: region.id, leader })
    }
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({ code: 'Timeout' })
    expect(cluster.served.length).toBeLessThan(80)
  })
})

describe('connections', () => {
  beforeEach(async () => {
    await kv.put('a', '0')
    cluster.served.length = 0
  })

  test('a dead leader: writes go on once another one leads', async () => {
    cluster.modes.set(1, 'down')
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(1500)
    cluster.lead('a', 2)
    await settle(put, 400)
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
  })

  test('a hung leader: its requests fail over, the late answer finds nobody', async () => {
    cluster.modes.set(1, 'hang')
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(500)
    cluster.lead('a', 3)
    await settle(put, 1600)
    const late = cluster.hung[0]!
    late.sink.respond(late, cluster.execute(late))
    expect(await settle(kv.get('a'))).toEqual(Buffer.from('1'))
  })

  test('a hung store: the deadline holds, and the write is Undetermined', async () => {
    for (const store of [1, 2, 3]) cluster.modes.set(store, 'hang')
    const began = performance.now()
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({
      code: 'Undetermined',
      retryable: false,
    })
    expect(performance.now() - began).toBeLessThan(5100)
  })

  test('a hung store: a read is a plain Timeout', async () => {
    for (const store of [1, 2, 3]) cluster.modes.set(store, 'hang')
    const timeout = { code: 'Timeout', retryable: true }
    await expect(settle(kv.get('a'))).rejects.toMatchObject(timeout)
  })

  test('a full disk: tried until there is room, DiskFull at the deadline', async () => {
    const full = { code: 'DiskFull', message: 'full', storeIds: [1], reason: 'full' } as const
    for (let i = 0; i < 3; i++) cluster.script.push(full)
    await settle(kv.put('a', '1'), 4000)
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
    for (let i = 0; i < 200; i++) cluster.script.push(full)
    const refused = { code: 'DiskFull', retryable: true, data: { lastError: 'DiskFull: full' } }
    await expect(settle(kv.put('a', '2'))).rejects.toMatchObject(refused)
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
  })

  test('never sent: Timeout', async () => {
    for (const store of [1, 2, 3]) cluster.modes.set(store, 'down')
    const timeout = { code: 'Timeout', retryable: true }
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject(timeout)
    expect(cluster.served.length).toBeLessThan(60)
  })

  test('refused by the store that it was sent to, and not sent again: Timeout', async () => {
    await kv.get('a')
    cluster.lead('a', 2)
    for (const store of [2, 3]) cluster.modes.set(store, 'connecting')
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({ code: 'Timeout' })
    expect(storesServed(RawKind.Put)[0]).toBe(1)
  })

  test('sent, and the connection broke every time: Undetermined', async () => {
    for (const store of [1, 2, 3]) cluster.modes.set(store, 'break-after-execute')
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({ code: 'Undetermined' })
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
  })

  test('sent once, then refused until the deadline: still Undetermined', async () => {
    cluster.modes.set(1, 'break-before-execute')
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    cluster.lead('a', undefined)
    await expect(settle(put)).rejects.toMatchObject({ code: 'Undetermined' })
  })

  test('sent, broken, tried again with success: done, once the lost attempt has expired', async () => {
    cluster.modes.set(1, 'break-before-execute')
    const put = kv.put('a', '1')
    let settled = false
    put.then(() => {
      settled = true
    })
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    await vi.advanceTimersByTimeAsync(900)
    expect(cluster.data.get(hex('a'))?.toString()).toBe('1')
    // Until then the network may still bring it, and what the caller writes next would be undone.
    expect(settled).toBe(false)
    await settle(put, 200)
  })

  test('sent, broken, refused for good: told once the lost attempt has expired', async () => {
    cluster.modes.set(1, 'break-before-execute')
    const put = kv.put('a', '1')
    put.catch(() => {})
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    cluster.script.push({
      code: 'RaftEntryTooLarge',
      message: 'too large',
      regionId: 1,
      entrySize: 9,
    })
    const began = performance.now()
    await expect(settle(put)).rejects.toMatchObject({ code: 'Undetermined' })
    expect(performance.now() - began).toBeGreaterThan(900)
  })

  test('a batch of which a piece was lost waits as well', async () => {
    cluster.split('c')
    cluster.modes.set(1, 'break-before-execute')
    const began = performance.now()
    const put = kv.batchPut([
      ['a', '1'],
      ['d', '1'],
    ])
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    await settle(put)
    expect(performance.now() - began).toBeGreaterThan(990)
  })

  test('a read that was lost does not wait', async () => {
    cluster.modes.set(1, 'break-before-execute')
    const get = kv.get('a')
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    await settle(get, 1000)
  })

  test('without retryWrites a lost write is Undetermined and not sent again', async () => {
    await kv.close()
    kv = cluster.client(5000, false)
    cluster.modes.set(1, 'break-before-execute')
    const put = kv.put('a', '1')
    put.catch(() => {})
    await vi.advanceTimersByTimeAsync(5)
    cluster.modes.set(1, 'up')
    await expect(settle(put)).rejects.toMatchObject({
      code: 'Undetermined',
      data: { attempts: 1 },
    })
    expect(cluster.served.filter(({ kind }) => kind === RawKind.Put)).toHaveLength(1)
    // What never left is sent again all the same.
    cluster.modes.set(1, 'down')
    const later = kv.put('a', '2')
    await vi.advanceTimersByTimeAsync(50)
    cluster.modes.set(1, 'up')
    await settle(later)
  })

  test('the caller may use its buffers again at once', async () => {
    const key = Buffer.from('a')
    const value = Buffer.from('1')
    const put = kv.put(key, value)
    const batch = kv.batchPut([[Buffer.from('b'), value]])
    key.write('c')
    value.write('9')
    await settle(Promise.all([put, batch]))
    for (const name of ['a', 'b']) expect(cluster.data.get(hex(name))?.toString()).toBe('1')
    expect(cluster.data.has(hex('c'))).toBe(false)
  })

  test('a request that nobody waits for any more is marked, for what has not left yet', async () => {
    for (const store of [1, 2, 3]) cluster.modes.set(store, 'hang')
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({ code: 'Undetermined' })
    expect(cluster.served.filter(({ kind }) => kind === RawKind.Put).length).toBeGreaterThan(1)
    for (const { request } of cluster.served) expect(request.dropped).toBe(true)
  })

  test('a single replica that comes back is found again', async () => {
    await kv.close()
    cluster = new FakeCluster([1]).bootstrap([])
    kv = cluster.client()
    await kv.put('a', '0')
    cluster.modes.set(1, 'down')
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(3000)
    cluster.modes.set(1, 'up')
    await settle(put, 500)
  })

  test('a store that moved is found by asking PD for its address again', async () => {
    cluster.modes.set(1, 'down')
    cluster.addresses.set(1, 'moved:1')
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(1)
    cluster.modes.set(1, 'up')
    await settle(put, 1000)
    expect(cluster.connects).toContain('moved:1')
  })
})

describe('the placement driver', () => {
  test('down for a while', async () => {
    cluster.pdMode = 'fail'
    const put = kv.put('a', '1')
    await vi.advanceTimersByTimeAsync(1000)
    cluster.pdMode = 'up'
    await settle(put, 600)
  })

  test('hangs: Timeout at the deadline, and all is well once it answers again', async () => {
    cluster.pdMode = 'hang'
    await expect(settle(kv.put('a', '1'))).rejects.toMatchObject({ code: 'Timeout' })
    cluster.pdMode = 'up'
    await settle(kv.put('a', '1'))
  })

  test('behind the stores: what the stores said is kept', async () => {
    await kv.put('z', '0')
    cluster.freezePd()
    cluster.split('p')
    await kv.put('z', '1')
    cluster.served.length = 0
    await kv.put('z', '2')
    await kv.put('n', '2')
    expect(cluster.served.map((each) => each.request.version)).toEqual([2, 2])
  })
})

describe('close', () => {
  test('rejects what is pending, and everything after', async () => {
    cluster.modes.set(1, 'hang')
    const pending = [kv.put('a', '1'), kv.get('z'), kv.batchGet(['b', 'y'])]
    const scanned = kv.scan()[Symbol.asyncIterator]().next()
    const outcomes = Promise.allSettled([...pending, scanned])
    await vi.advanceTimersByTimeAsync(10)
    await kv.close()
    // The write may have happened.
    const codes = ['Undetermined', 'Closed', 'Closed', 'Closed']
    expect(await outcomes).toMatchObject(
      codes.map((code) => ({ status: 'rejected', reason: { code } })),
    )
    await expect(kv.put('a', '1')).rejects.toMatchObject({ code: 'Closed' })
    await expect(kv.batchPut([['a', '1']])).rejects.toMatchObject({ code: 'Closed' })
  })
})
