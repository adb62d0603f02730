import { afterEach, expect, it, vi } from 'vitest'
import { StoreHarness } from './harness.ts'

let harness: StoreHarness
afterEach(() => harness.close())

it('PD hears how many keys and bytes of a region were read', async () => {
  harness = await StoreHarness.start({ stores: 1, config: { pdHeartbeatTickIntervalMs: 20 } })
  // Reports say what came since the last one.
  const told = vi.spyOn(harness.heartbeats, 'set')
  const sum = (field: 'keysRead' | 'bytesRead'): number =>
    told.mock.calls.reduce((total, [, beat]) => total + beat[field], 0)
  await harness.kv.put('k', 'v'.repeat(1000))
  await harness.kv.get('k')
  await harness.kv.batchGet(['k', 'l'])
  await vi.waitUntil(() => sum('keysRead') === 3, { timeout: 20_000 })
  expect(sum('bytesRead')).toBe(2001)
})
