/** A store's machine is suspended: nothing runs there, and of its clocks only the wall's goes on. */
import { assert } from '../../src/base/assert.ts'
import type { World } from './world.ts'

export function suspend(world: World, storeId: number, ms: number): void {
  const store = world.store(storeId)
  const { queue } = world
  assert(queue.nowMs >= store.pausedUntilMs, `store ${storeId} runs`)
  const { clock } = store
  const monotonicMs = clock.monotonicMs.bind(clock)
  const asleepMs = monotonicMs()
  const wakeMs = queue.nowMs + ms
  store.pausedUntilMs = wakeMs
  const lostMs = ms * store.options.clockRate
  clock.monotonicMs = () =>
    queue.nowMs < wakeMs ? asleepMs : Math.max(asleepMs, monotonicMs() - lostMs)
}
