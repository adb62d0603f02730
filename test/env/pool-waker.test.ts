import { createHook } from 'node:async_hooks'
import { expect, test } from 'vitest'
import { keepPoolAwake } from '../../src/env/pool-waker.ts'

const later = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

test('gives the pool work again and again, until it is told to stop', async () => {
  let requests = 0
  const hook = createHook({
    init: (_id, type) => {
      if (type === 'FSREQCALLBACK') requests++
    },
  }).enable()
  const stop = keepPoolAwake(1)
  while (requests < 3) await later(1)
  stop()
  const before = requests
  await later(20)
  hook.disable()
  expect(requests).toBe(before)
})
