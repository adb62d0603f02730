import { connect, createServer, type Socket, type Server as TcpServer } from 'node:net'
import { Server, ServerCredentials, type ServerDuplexStream, status } from '@grpc/grpc-js'
import { afterEach, describe, expect, it } from 'vitest'
import type { PolyraftError } from '../../src/base/errors.ts'
import {
  type GrpcStoreConnectionOptions,
  openGrpcStoreConnection,
} from '../../src/client/grpc-store-connection.ts'
import type { StoreConnection } from '../../src/client/store-connection.ts'
import { RawKind, RawRequest, type RawResponse, type ResponseSink } from '../../src/protocol/raw.ts'
import { tikvServiceDefinition } from '../../src/protocol/tikvpb.ts'
import { FakeStore, type RunningServer, startServer, turns, until } from '../server/fake-store.ts'

const bytes = (text: string): Buffer => Buffer.from(text)
const cleanups: (() => Promise<void> | void)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function serve(store: FakeStore, port = 0): Promise<RunningServer> {
  const server = await startServer(store, {}, port)
  cleanups.push(() => server.stop())
  return server
}

/** Answers and failures by the caller's own token. */
class Caller implements ResponseSink {
  readonly answers = new Map<number, RawResponse>()
  readonly failures = new Map<number, { sent: boolean; error: PolyraftError }>()
  readonly connection: StoreConnection

  constructor(address: string, options: Partial<GrpcStoreConnectionOptions> = {}) {
    this.connection = openGrpcStoreConnection(
      address,
      { onFailed: (requests, error) => this.#onFailed(requests, error as PolyraftError) },
      options,
    )
    cleanups.push(() => this.connection.close())
  }

  get ended(): number {
    return this.answers.size + this.failures.size
  }

  send(kind: RawKind, token: number, fields: Partial<RawRequest>): void {
    this.connection.execute(Object.assign(new RawRequest(kind, this, token), fields))
  }

  put(token: number, key: string, value: string): void {
    this.send(RawKind.Put, token, { key: bytes(key), value: bytes(value) })
  }

  get(token: number, key: string): void {
    this.send(RawKind.Get, token, { key: bytes(key) })
  }

  respond(request: RawRequest, response: RawResponse): void {
    this.#mustBeFirst(request.token)
    this.answers.set(request.token, response)
  }

  #onFailed(requests: readonly RawRequest[], error: PolyraftError): void {
    for (const request of requests) {
      this.#mustBeFirst(request.token)
      this.failures.set(request.token, { sent: request.sent, error })
    }
  }

  #mustBeFirst(token: number): void {
    const seen = this.answers.has(token) || this.failures.has(token)
    if (seen) throw new Error(`request ${token} ended twice`)
  }
}

describe('commands', () => {
  it('of every kind are answered', async () => {
    const caller = new Caller((await serve(new FakeStore())).address)
    const [keys, values] = [
      [bytes('a'), bytes('b')],
      [bytes('1'), bytes('')],
    ]
    caller.send(RawKind.BatchPut, 1, { keys, values })
    caller.put(2, 'c', '3')
    caller.send(RawKind.Delete, 3, { key: bytes('a') })
    caller.send(RawKind.BatchGet, 4, { keys: [bytes('c'), bytes('a'), bytes('b')] })
    caller.send(RawKind.Scan, 5, { key: bytes('b'), limit: 10 })
    caller.send(RawKind.BatchDelete, 6, { keys: [bytes('c')] })
    caller.get(7, 'b')
    caller.get(8, 'c')
    caller.get(9, '')
    await until(() => caller.ended === 9)
    expect(caller.answers.get(4)!.pairs.map(String)).toEqual(['c', '3', 'b', ''])
    expect(caller.answers.get(5)!.pairs.map(String)).toEqual(['b', '', 'c', '3'])
    expect(caller.answers.get(7)!.value?.length).toBe(0)
    expect(caller.answers.get(8)!.value).toBeUndefined()
    expect(caller.answers.get(9)!.error).toBe('key is empty')
    expect(caller.failures.size).toBe(0)
  })

  it('by the ten thousand share one stream', async () => {
    const store = new FakeStore()
    const server = await serve(store)
    const caller = new Caller(server.address)
    for (let i = 0; i < 10_000; i++) caller.put(i, `key-${i}`, `value-${i}`)
    await until(() => caller.ended === 10_000)
    for (let i = 0; i < 10_000; i++) caller.get(10_000 + i, `key-${i}`)
    await until(() => caller.ended === 20_000)
    for (let i = 0; i < 10_000; i++) {
      expect(caller.answers.get(10_000 + i)!.value?.toString()).toBe(`value-${i}`)
    }
    expect(server.service.streamCount()).toBe(1)
  })

  it('with large values need messages of their own', async () => {
    const caller = new Caller((await serve(new FakeStore())).address)
    const value = Buffer.alloc(5 * 1024 * 1024, 7)
    for (let i = 0; i < 4; i++) caller.send(RawKind.Put, i, { key: bytes(`k${i}`), value })
    await until(() => caller.ended === 4)
    caller.get(9, 'k3')
    await until(() => caller.ended === 5)
    expect(caller.answers.get(9)!.value?.equals(value)).toBe(true)
  })

  it('beyond the limit are refused as busy', async () => {
    const store = new FakeStore()
    store.holding = true
    const caller = new Caller((await serve(store)).address, { commandsMax: 3 })
    for (let i = 0; i < 5; i++) caller.get(i, 'k')
    expect([...caller.answers.keys()]).toEqual([3, 4])
    expect(caller.answers.get(3)!.regionError?.code).toBe('ServerIsBusy')
    await until(() => store.held.length === 3)
    caller.get(5, 'k')
    expect(caller.answers.has(5)).toBe(true)
    store.release()
    await until(() => caller.ended === 6)
    expect(caller.failures.size).toBe(0)
  })
})

describe('a store that goes away', () => {
  it('was never there: nothing was sent', async () => {
    const gone = await startServer(new FakeStore())
    await gone.stop()
    const caller = new Caller(gone.address)
    caller.get(1, 'k')
    caller.get(2, 'k')
    expect(caller.failures.size).toBe(0)
    await until(() => caller.failures.size === 2)
    expect(caller.failures.get(2)).toMatchObject({ sent: false, error: { code: 'Unavailable' } })
    caller.get(3, 'k')
    await until(() => caller.failures.size === 3)
    expect(caller.failures.get(3)!.sent).toBe(false)
  })

  it('takes what it has not answered with it, and serves again when it is back', async () => {
    const store = new FakeStore()
    const first = await serve(store)
    const caller = new Caller(first.address)
    caller.put(1, 'k', 'v')
    await until(() => caller.ended === 1)
    store.holding = true
    caller.put(2, 'k', 'w')
    await until(() => store.held.length === 1)
    await first.stop()
    await until(() => caller.ended === 2)
    expect(caller.failures.get(2)).toMatchObject({ sent: true, error: { code: 'Unavailable' } })
    store.release()

    await serve(store, Number(first.address.split(':')[1]))
    let token = 100
    while (!caller.answers.has(token)) {
      token++
      caller.get(token, 'k')
      await until(() => caller.answers.has(token) || caller.failures.has(token))
      if (caller.failures.has(token)) expect(caller.failures.get(token)!.sent).toBe(false)
    }
    expect(caller.answers.get(token)!.value?.toString()).toBe('w')
  })

  it('without a word is found by pings', async () => {
    const store = new FakeStore()
    const proxy = await startProxy((await serve(store)).address)
    const caller = new Caller(proxy.address, { keepaliveTimeMs: 100, keepaliveTimeoutMs: 100 })
    caller.put(1, 'k', 'v')
    await until(() => caller.answers.has(1))
    proxy.freeze()
    caller.put(2, 'k', 'w')
    const start = performance.now()
    await until(() => caller.ended === 2)
    expect(caller.failures.get(2)).toMatchObject({ sent: true })
    expect(performance.now() - start).toBeLessThan(3000)
  })

  it('with a malformed answer has an unknown outcome', async () => {
    const address = await startBareServer((call) => {
      onCommands(call, () => call.write(Buffer.from('0aff', 'hex')))
    })
    const caller = new Caller(address)
    caller.put(1, 'k', 'v')
    await until(() => caller.ended === 1)
    const failure = caller.failures.get(1)!
    expect(failure.sent).toBe(true)
    expect(failure.error.message).toMatch(/malformed message at byte 1/)
  })

  it('by refusing every stream is not asked in a tight loop', async () => {
    let streams = 0
    const address = await startBareServer((call) => {
      streams++
      call.emit('error', { code: status.RESOURCE_EXHAUSTED, details: 'no more' })
    })
    const caller = new Caller(address, { backoffMinMs: 60_000, backoffMaxMs: 60_000 })
    for (let token = 1; token <= 20; token++) {
      caller.get(token, 'k')
      await until(() => caller.failures.has(token))
    }
    expect(streams).toBe(1)
    expect(caller.failures.get(1)!.error.message).toMatch(/RESOURCE_EXHAUSTED|no more/)
    expect(caller.failures.get(20)).toMatchObject({ sent: false })
  })
})

describe('answers that were not asked for', () => {
  it('are ignored, and of another kind leave the outcome open', async () => {
    const address = await startBareServer((call) => {
      // Get (13) under ids 5 and 0, where the only request, a put, has id 0.
      onCommands(call, () => call.write(Buffer.from('0a026a000a026a0012020500', 'hex')))
    })
    const caller = new Caller(address)
    caller.put(1, 'k', 'v')
    await until(() => caller.ended === 1)
    expect(caller.answers.get(1)!.regionError?.code).toBe('UndeterminedResult')
  })
})

describe('closing', () => {
  it('fails what is under way, and everything after', async () => {
    const store = new FakeStore()
    store.holding = true
    const caller = new Caller((await serve(store)).address)
    caller.put(1, 'k', 'v')
    await until(() => store.held.length === 1)
    caller.put(2, 'k', 'v')
    await caller.connection.close()
    await caller.connection.close()
    caller.put(3, 'k', 'v')
    await until(() => caller.ended === 3)
    const failures = [1, 2, 3].map((token) => caller.failures.get(token)!)
    expect(failures.map(({ sent }) => sent)).toEqual([true, false, false])
    expect(failures.map(({ error }) => error.code)).toEqual(['Closed', 'Closed', 'Closed'])
  })

  it('works before anything was sent, and while connecting', async () => {
    const { address } = await serve(new FakeStore())
    await new Caller(address).connection.close()
    const caller = new Caller(address)
    caller.get(1, 'k')
    await turns(1)
    await caller.connection.close()
    await until(() => caller.ended === 1)
    expect(caller.failures.get(1)).toMatchObject({ sent: false, error: { code: 'Closed' } })
  })
})

type BareCall = ServerDuplexStream<Buffer, Buffer>

/** Tells a clock in answer to the greeting; what follows are commands. */
function onCommands(call: BareCall, answer: () => void): void {
  call.once('data', () => {
    call.write(Buffer.from('c03ee807', 'hex'))
    call.on('data', answer)
  })
}

async function startBareServer(onStream: (call: BareCall) => void): Promise<string> {
  const server = new Server()
  const { BatchCommands } = tikvServiceDefinition
  server.addService({ BatchCommands }, { BatchCommands: onStream })
  cleanups.push(() => server.forceShutdown())
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
      if (error) reject(error)
      else resolve(`127.0.0.1:${port}`)
    })
  })
}

/** A TCP proxy that can stop moving bytes without closing anything. */
async function startProxy(target: string): Promise<{ address: string; freeze(): void }> {
  const [host, port] = target.split(':') as [string, string]
  const sockets: Socket[] = []
  const proxy: TcpServer = createServer((inside) => {
    const outside = connect(Number(port), host)
    sockets.push(inside, outside)
    inside.pipe(outside)
    outside.pipe(inside)
    inside.on('error', () => outside.destroy())
    outside.on('error', () => inside.destroy())
  })
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    for (const socket of sockets) socket.destroy()
    proxy.close()
  })
  const { port: own } = proxy.address() as { port: number }
  return {
    address: `127.0.0.1:${own}`,
    freeze: () => {
      for (const socket of sockets) {
        socket.unpipe()
        socket.pause()
      }
    },
  }
}
