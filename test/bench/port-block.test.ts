import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { freePortBlock } from '../../src/bench/port-block.ts'

test('nobody gets ports that somebody else got before, used or not', async () => {
  const blocks = await Promise.all(Array.from({ length: 100 }, () => freePortBlock(7)))
  const ports = new Set(blocks.flatMap((first) => Array.from({ length: 7 }, (_, i) => first + i)))
  expect(ports.size).toBe(700)
})

test('the ports can be listened on', async () => {
  const first = await freePortBlock(3)
  for (const port of [first, first + 1, first + 2]) {
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, '127.0.0.1', resolve)
    })
    await new Promise((resolve) => server.close(resolve))
  }
})
