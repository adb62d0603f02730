/** When an attempt is given up for another one: not while it waits for its turn, and later each time. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { KvClient } from '../../src/client/kv-client.ts'
import { FakeCluster } from './fake-cluster.ts'

let cluster: FakeCluster
let kv: KvClient

beforeEach(() => {
  vi.useFakeTimers()
  cluster = new FakeCluster([1, 2, 3]).bootstrap([])
  kv = cluster.client(60_000)
})

afterEach(async () => {
  await kv.close()
  vi.useRealTimers()
})

/** A store that is heard of all the time. */
async function chat(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    void kv.get('chat')
    await vi.advanceTimersByTimeAsync(100)
  }
}

function times(key: string): number {
  return cluster.served.filter((served) => served.key === key).length
}

test('what waits for its turn on the way to a store that answers stays there', async () => {
  cluster.held.add('large')
  const put = kv.put('large', 'v')
  await chat(10_000)
  expect(times('large')).toBe(0)
  cluster.release()
  await put
  expect(times('large')).toBe(1)
  // Its time began when it left.
  expect(cluster.served.find(({ key }) => key === 'large')!.request.durationMsMax).toBe(1_000)
})

test('what waits for its turn on the way to a store that is silent goes elsewhere', async () => {
  cluster.held.add('large')
  const put = kv.put('large', 'v')
  await vi.advanceTimersByTimeAsync(500)
  cluster.lead('large', 2)
  cluster.held.clear()
  await vi.advanceTimersByTimeAsync(1_500)
  await put
  expect(cluster.served.filter(({ key }) => key === 'large').map(({ storeId }) => storeId)).toEqual(
    [2],
  )
  cluster.release()
  expect(times('large')).toBe(1)
})

test('a store that answers others has twice as long for each attempt', async () => {
  cluster.unanswered.add('slow')
  const put = kv.put('slow', 'v')
  const at: number[] = []
  for (let ms = 0; ms < 16_000; ms += 100) {
    await chat(100)
    if (times('slow') > at.length) at.push(ms)
  }
  expect(at).toHaveLength(5)
  const waits = at.slice(1).map((ms, i) => ms - at[i]!)
  for (const [i, least] of [1_000, 2_000, 4_000, 8_000].entries()) {
    expect(waits[i]).toBeGreaterThanOrEqual(least - 100)
    expect(waits[i]).toBeLessThan(least + 700)
  }
  cluster.unanswered.clear()
  await chat(17_000)
  await put
})

test('a late answer to an attempt that was given up is none', async () => {
  cluster.unanswered.add('slow')
  const put = kv.put('slow', 'v')
  await chat(1_500)
  expect(times('slow')).toBe(2)
  cluster.unanswered.clear()
  let settled = false
  void put.then(() => {
    settled = true
  })
  const [first, second] = cluster.hung
  first!.sink.respond(first!, cluster.execute(first!))
  await vi.advanceTimersByTimeAsync(100)
  expect(settled).toBe(false)
  second!.sink.respond(second!, cluster.execute(second!))
  await vi.advanceTimersByTimeAsync(100)
  expect(settled).toBe(true)
})

test('closing leaves open what was sent, and nothing else', async () => {
  cluster.unanswered.add('sent')
  cluster.held.add('held')
  cluster.script.push(
    ...Array.from(
      { length: 9 },
      () => ({ code: 'DiskFull', message: '', storeIds: [], reason: '' }) as const,
    ),
  )
  const calls = [kv.put('sent', 'v'), kv.put('held', 'v'), kv.get('sent'), kv.put('refused', 'v')]
  const codes = calls.map((call) => call.catch((error) => error.code))
  await vi.advanceTimersByTimeAsync(100)
  await kv.close()
  expect(await Promise.all(codes)).toEqual(['Undetermined', 'Closed', 'Closed', 'Closed'])
})

test('a write that is not sent again waits for its answer until its deadline', async () => {
  await kv.close()
  kv = cluster.client(10_000, false)
  cluster.unanswered.add('slow')
  const put = kv.put('slow', 'v')
  await chat(5_000)
  expect(times('slow')).toBe(1)
  const [only] = cluster.hung
  expect(only!.durationMsMax).toBe(10_000)
  only!.sink.respond(only!, cluster.execute(only!))
  await put

  cluster.modes.set(1, 'hang')
  const never = expect(kv.put('slow', 'w')).rejects.toMatchObject({
    code: 'Undetermined',
    data: { attempts: 1 },
  })
  await vi.advanceTimersByTimeAsync(10_100)
  await never
})
