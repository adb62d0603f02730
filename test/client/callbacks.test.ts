import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { KvClient } from '../../src/client/kv-client.ts'
import { FakeCluster } from './fake-cluster.ts'

let cluster: FakeCluster
let kv: KvClient

beforeEach(() => {
  vi.useFakeTimers()
  cluster = new FakeCluster([1]).bootstrap([])
  kv = cluster.client()
})

afterEach(async () => {
  await kv.close()
  vi.useRealTimers()
})

test('callbacks for load generators', async () => {
  const outcomes: unknown[] = []
  kv.putCallback(Buffer.from('k'), Buffer.from('v'), (error) => outcomes.push(error))
  await vi.advanceTimersByTimeAsync(1)
  expect(outcomes).toEqual([undefined])
  kv.getCallback(Buffer.from('k'), (_error, value) => outcomes.push(value))
  await vi.advanceTimersByTimeAsync(1)
  expect(outcomes[1]).toEqual(Buffer.from('v'))
  kv.putCallback(Buffer.alloc(0), Buffer.from('v'), (error) => outcomes.push(error?.code))
  expect(outcomes[2]).toBe('KeyEmpty')
})

test.each([['text'], [new Uint8Array(3)], [[1, 2, 3]], [5], [null], [undefined]])(
  'callbacks take Buffers alone, not %j',
  (bytes) => {
    const codes: unknown[] = []
    const value = Buffer.from('v')
    kv.putCallback(bytes as never, value, (error) => codes.push(error?.code))
    kv.putCallback(value, bytes as never, (error) => codes.push(error?.code))
    kv.getCallback(bytes as never, (error) => codes.push(error?.code))
    expect(codes).toEqual(['InvalidArgument', 'InvalidArgument', 'InvalidArgument'])
    expect(cluster.data.size).toBe(0)
  },
)

test('what is no callback is refused at once', () => {
  const refused = expect.objectContaining({ code: 'InvalidArgument' })
  expect(() => kv.getCallback(Buffer.from('k'), undefined as never)).toThrow(refused)
})
