/**
 * A link that goes dead and comes back: what was sent over it before arrives when the client has long
 * sent it again over another one, and has written something newer.
 */
import { connect as connectTcp, createServer, type Socket } from 'node:net'
import { expect, it, onTestFinished } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { machineClock, machineRandom } from '../../src/base/node-clock.ts'
import { createClient } from '../../src/client/client.ts'
import { openGrpcStoreConnection } from '../../src/client/grpc-store-connection.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import { openCluster } from '../../src/server/open-cluster.ts'
import { startDriver } from './driver.ts'
import { temporaryDirectory } from './fixtures.ts'

/** Bytes of a client that come late, as those of a connection whose packets are sent again. */
class LateLink {
  readonly #outside: Socket
  #late: Buffer[] | undefined = undefined

  constructor(inside: Socket, port: number) {
    const outside = connectTcp(port, '127.0.0.1')
    this.#outside = outside
    inside.on('data', (bytes) => {
      if (this.#late !== undefined) this.#late.push(bytes as Buffer)
      else outside.write(bytes)
    })
    outside.on('data', (bytes) => {
      if (this.#late === undefined) inside.write(bytes)
    })
    inside.on('close', () => {
      if (this.#late === undefined) outside.destroy()
    })
    for (const socket of [inside, outside]) socket.on('error', () => {})
    onTestFinished(() => {
      inside.destroy()
      outside.destroy()
    })
  }

  hold(): void {
    this.#late ??= []
  }

  /** All of it arrives; resolves when the store has seen the end of the connection. */
  async arrive(): Promise<void> {
    const gone = new Promise((resolve) => this.#outside.once('close', resolve))
    for (const bytes of this.#late!) this.#outside.write(bytes)
    this.#outside.end()
    await gone
  }
}

it('does not undo what was acknowledged since', async () => {
  const pdAddress = await startDriver(1)
  const dir = temporaryDirectory()
  const cluster = await openCluster({ dir, addr: '127.0.0.1:0', pd: pdAddress })
  onTestFinished(() => cluster.close())
  const pd = await connectPd([pdAddress], { logger: silentLogger, timeoutMs: 10_000 })
  onTestFinished(() => pd.close())
  const [store] = await pd.getAllStores()
  const port = Number(store!.address.split(':')[1])

  const links: LateLink[] = []
  const proxy = createServer((inside) => links.push(new LateLink(inside, port)))
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void proxy.close())
  const through = `127.0.0.1:${(proxy.address() as { port: number }).port}`
  const kv = createClient({
    pd,
    connect: (_address, _storeId, events) => openGrpcStoreConnection(through, events),
    clock: machineClock,
    random: machineRandom,
    retryWrites: true,
    timeoutMs: 20_000,
  })
  onTestFinished(() => kv.close())

  await kv.put('k', 'v0')
  const [dead] = links
  dead!.hold()
  await kv.put('k', 'v1')
  expect(links.length).toBeGreaterThan(1)
  await kv.put('k', 'v2')
  await dead!.arrive()
  expect((await kv.get('k'))?.toString()).toBe('v2')
})
