/**
 * Ports for processes that are told theirs, and told again when they are restarted.
 *
 * INVARIANTS
 * - Of two that ask, in one process or in several, no two get the same block while both live: the port
 *   before a block stays taken by who asked for it, until its process ends.
 */
import { createServer, type Server } from 'node:net'
import { assert } from '../base/assert.ts'

/** Below those that Linux hands out by itself. */
const FIRST = 21_000
const BLOCKS = 640
const BLOCK_PORTS = 16
const ATTEMPTS = 50

/** The first of `count` ports in a row that nobody uses. */
export async function freePortBlock(count: number): Promise<number> {
  assert(count < BLOCK_PORTS, 'a block is large enough')
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const mark = FIRST + Math.floor(Math.random() * BLOCKS) * BLOCK_PORTS
    const server = await listen(mark)
    if (server === undefined) continue
    const ports = Array.from({ length: count }, (_, i) => mark + 1 + i)
    if ((await Promise.all(ports.map(isFree))).every(Boolean)) {
      server.unref()
      return mark + 1
    }
    server.close()
  }
  throw new Error(`no ${count} free ports in a row were found`)
}

async function isFree(port: number): Promise<boolean> {
  const server = await listen(port)
  if (server === undefined) return false
  await new Promise((resolve) => server.close(resolve))
  return true
}

function listen(port: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(undefined))
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server))
  })
}
