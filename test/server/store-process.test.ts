import { existsSync } from 'node:fs'
import { Client, credentials } from '@grpc/grpc-js'
import { describe, expect, onTestFinished, test } from 'vitest'
import { PolyraftError } from '../../src/base/errors.ts'
import { silentLogger } from '../../src/base/logger.ts'
import type { HealthCheckResponse } from '../../src/protocol/health.ts'
import { healthServiceDefinition, ServingStatus } from '../../src/protocol/health.ts'
import { RawKind, RawRequest, type RawResponse } from '../../src/protocol/raw.ts'
import { loadConfig } from '../../src/server/config.ts'
import { StoreGate } from '../../src/server/store-gate.ts'
import { startNode } from '../../src/server/store-process.ts'
import type { StoreOptions } from '../../src/store/store.ts'
import { createTcpTransport } from '../../src/transport/tcp-transport.ts'
import { envelope, Observer } from '../transport/fixtures.ts'
import { FakeStore, fakePd, temporaryDirectory } from './fixtures.ts'

function setUp(flags: Record<string, string> = {}) {
  const dir = temporaryDirectory()
  const store = new FakeStore()
  const pd = fakePd()
  const opened: StoreOptions[] = []
  const options = {
    loaded: loadConfig({
      flags: {
        'server.addr': '127.0.0.1:0',
        'server.status-addr': '127.0.0.1:0',
        'storage.data-dir': dir,
        ...flags,
      },
    }),
    version: '9.9.9',
    logger: silentLogger,
    parts: {
      connectPd: () => Promise.resolve(pd),
      openStore: (given: StoreOptions) => {
        opened.push(given)
        return Promise.resolve(store)
      },
    },
    onFatal: (error: Error) => {
      throw error
    },
  }
  return { dir, store, pd, opened, options }
}

function isServing(address: string): Promise<boolean> {
  const client = new Client(address, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = healthServiceDefinition.check!
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(
      path,
      requestSerialize,
      responseDeserialize,
      { service: '' },
      (error, response) => {
        client.close()
        if (error !== null) reject(error)
        else resolve((response as HealthCheckResponse).status === ServingStatus.Serving)
      },
    )
  })
}

test('a node binds its ports, opens its store behind them, and closes both', async () => {
  const { dir, store, pd, opened, options } = setUp({ 'server.labels': 'zone=a' })
  const node = await startNode(options)
  expect(opened[0]).toMatchObject({
    dir,
    meta: {
      address: node.address,
      statusAddress: node.statusAddress,
      labels: { zone: 'a' },
      version: '9.9.9',
    },
  })
  expect(await isServing(node.address)).toBe(true)
  const status = await (await fetch(`http://${node.statusAddress}/status`)).json()
  expect(status).toMatchObject({ storeId: 1, ready: true, address: node.address, version: '9.9.9' })
  await Promise.all([node.close(), node.close()])
  expect(store.closed).toBe(1)
  expect(pd.closed).toBe(1)
  await expect(fetch(`http://${node.statusAddress}/status`)).rejects.toThrow()
})

test('the store gets a transport that finds others through PD', async () => {
  const { pd, opened, options } = setUp()
  const node = await startNode(options)
  onTestFinished(() => node.close())
  const events = new Observer()
  const { transport, peerAddress } = await opened[0]!.createTransport(
    { clusterId: 5, storeId: 1 },
    events,
  )
  onTestFinished(() => transport.close())
  expect(node.peerAddress).toBe(peerAddress)

  const observer = new Observer()
  const other = await createTcpTransport({
    clusterId: 5,
    storeId: 2,
    listen: { host: '127.0.0.1', port: 0 },
    resolve: () => Promise.resolve(peerAddress),
    events: observer,
    logger: silentLogger,
    random: { below: () => 0 },
  })
  onTestFinished(() => other.close())
  pd.getStore = () => Promise.resolve({ peerAddress: other.address } as never)
  transport.send(envelope(2))
  transport.flush()
  await observer.until(() => observer.received.length === 1)

  pd.getStore = () => Promise.resolve(undefined)
  transport.send(envelope(3))
  transport.flush()
  await events.until(() => events.unreachable.includes(3))
})

describe('addresses', () => {
  test('are advertised as given, with the port that was bound where none is given', async () => {
    const { opened, options } = setUp({
      'server.addr': '0.0.0.0:0',
      'server.advertise-addr': 'node-1.example:0',
      'server.status-addr': '0.0.0.0:0',
      'server.peer-addr': '0.0.0.0:0',
    })
    const node = await startNode(options)
    onTestFinished(() => node.close())
    expect(node.address).toMatch(/^node-1\.example:[1-9]\d*$/)
    expect(node.statusAddress).toMatch(/^node-1\.example:[1-9]\d*$/)
    const made = await opened[0]!.createTransport({ clusterId: 5, storeId: 1 }, new Observer())
    onTestFinished(() => made.transport.close())
    expect(made.peerAddress).toMatch(/^node-1\.example:[1-9]\d*$/)
  })

  test('in use: the flag is named, and no data is touched', async () => {
    const first = setUp()
    const node = await startNode(first.options)
    onTestFinished(() => node.close())
    const second = setUp({ 'server.addr': node.address })
    await expect(startNode(second.options)).rejects.toMatchObject({
      code: 'AddressInUse',
      message: expect.stringContaining(`${node.address} (--addr) is in use`),
    })
    expect(second.opened).toEqual([])
    expect(existsSync(`${second.dir}/LOCK`)).toBe(false)
  })
})

test('a store that cannot open gives its ports back', async () => {
  const { pd, options } = setUp()
  let address = ''
  options.parts.openStore = (given) => {
    address = given.meta.statusAddress
    return Promise.reject(new PolyraftError('DataDirLocked', 'in use'))
  }
  await expect(startNode(options)).rejects.toMatchObject({ code: 'DataDirLocked' })
  expect(pd.closed).toBe(1)
  await expect(fetch(`http://${address}/ready`)).rejects.toThrow()
})

test('while the store opens, its ports answer "not ready" and "busy"', async () => {
  const { options } = setUp()
  let answers: unknown[] = []
  const open = options.parts.openStore
  options.parts.openStore = async (given) => {
    const ready = await fetch(`http://${given.meta.statusAddress}/ready`)
    answers = [ready.status, await isServing(given.meta.address)]
    return open(given)
  }
  const node = await startNode(options)
  expect(answers).toEqual([503, false])
  await node.close()
})

describe('the gate', () => {
  function ask(gate: StoreGate): RawResponse {
    let answer: RawResponse | undefined
    const sink = {
      respond: (_request: RawRequest, response: RawResponse) => {
        answer = response
      },
    }
    gate.execute(new RawRequest(RawKind.Get, sink, 1))
    return answer!
  }

  test('is busy until the store is there, then passes everything on', () => {
    const gate = new StoreGate()
    expect(ask(gate).regionError).toMatchObject({ code: 'ServerIsBusy' })
    expect(gate.status()).toMatchObject({ ready: false, storeId: 0 })
    expect(gate.regions()).toEqual([])
    expect(gate.metrics()).toEqual({ store_ready: 0 })
    gate.open(new FakeStore())
    expect(ask(gate).value?.toString()).toBe('value of ')
    expect(gate.status()).toMatchObject({ ready: true, storeId: 1 })
    expect(gate.regionStatus(7)?.region.id).toBe(7)
  })

  test('is not ready any more once it closes, and closes a store that never came', async () => {
    const gate = new StoreGate()
    gate.open(new FakeStore())
    const closing = gate.close()
    expect(gate.status().ready).toBe(false)
    await closing
    await expect(new StoreGate().close()).resolves.toBeUndefined()
  })
})
