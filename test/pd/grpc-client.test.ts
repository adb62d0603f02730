import { createServer, type Http2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { Server, ServerCredentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import type { PdServer } from '../../src/pd/server.ts'
import { pdClientConformance, until } from './client-conformance.ts'
import { bootstrapClassic, heartbeat, removeDir, startTestPd, temporaryDir } from './fixtures.ts'

pdClientConformance('gRPC client', async (plan) => {
  const dir = await temporaryDir()
  const server = await startTestPd(dir, { plan })
  const client = await connectPd([server.address], { logger: silentLogger })
  return {
    core: server.service,
    client,
    close: async () => {
      await client.close()
      await server.close()
      await removeDir(dir)
    },
  }
})

describe('connectPd', () => {
  let dir: string
  let server: PdServer
  beforeEach(async () => {
    dir = await temporaryDir()
    server = await startTestPd(dir)
  })
  afterEach(async () => {
    await server.close()
    await removeDir(dir)
  })

  const logger = silentLogger

  test('takes URLs, and the first endpoint that answers', async () => {
    const client = await connectPd(['http://127.0.0.1:1', `http://${server.address}/`], { logger })
    expect(await client.clusterId()).toBe(server.service.clusterId)
    await client.close()
  })

  test('names the endpoints when none answers', async () => {
    await expect(
      connectPd(['127.0.0.1:1', '127.0.0.1:2'], { logger, timeoutMs: 300 }),
    ).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringContaining('127.0.0.1:1, 127.0.0.1:2'),
    })
  })

  test.each([
    'localhost',
    'localhost:0',
    '127.0.0.1:65536',
    '127.0.0.1:99999',
    'http://[::1]:123456/',
  ])("refuses '%s', which is no endpoint", async (endpoint) => {
    await expect(connectPd([server.address, endpoint], { logger })).rejects.toMatchObject({
      code: 'ConfigInvalid',
      message: expect.stringContaining(`'${endpoint}' is no PD endpoint`),
    })
  })

  test('refuses no endpoints', async () => {
    await expect(connectPd([], { logger })).rejects.toMatchObject({ code: 'ConfigInvalid' })
  })

  test.each([1e16, Number.MAX_SAFE_INTEGER, Number.POSITIVE_INFINITY])(
    'takes a time-out of %d ms',
    async (timeoutMs) => {
      const client = await connectPd([server.address], { logger, timeoutMs })
      expect(await client.allocId(1)).toBeGreaterThan(0)
      await client.close()
    },
  )

  test('a call waits for a PD that restarts', async () => {
    const client = await connectPd([server.address], { logger })
    const before = await client.allocId(1)
    await server.close()
    const pending = client.allocId(1)
    server = await startTestPd(dir, { clientAddr: server.address })
    expect(await pending).toBeGreaterThan(before)
    await client.close()
  })

  test('a PD that stays away is Unavailable, and retryable', async () => {
    const client = await connectPd([server.address], { logger, timeoutMs: 400 })
    await server.close()
    await expect(client.allocId(1)).rejects.toMatchObject({ code: 'Unavailable', retryable: true })
    await client.close()
  })

  test('close ends a call that waits', async () => {
    const client = await connectPd([server.address], { logger })
    await server.close()
    const pending = client.allocId(1)
    const outcome = expect(pending).rejects.toMatchObject({ code: 'Closed' })
    await client.close()
    await outcome
  })

  test('another cluster at the same address is noticed', async () => {
    const client = await connectPd([server.address], { logger })
    const { address } = server
    const asked = server.service.clusterId
    await server.close()
    const otherDir = await temporaryDir()
    server = await startTestPd(otherDir, { clientAddr: address, random: { below: () => 5 } })
    const actual = server.service.clusterId
    const mismatch = { code: 'ClusterIdMismatch', data: { asked, actual } }
    await expect(client.allocId(1)).rejects.toMatchObject(mismatch)
    await expect(client.initialRegions(1)).rejects.toMatchObject(mismatch)
    await client.close()
    await removeDir(otherDir)
  })

  test('follows a PD that moves to another endpoint', async () => {
    const second = await startTestPd(`${dir}/other`)
    const { address } = second
    await second.close()
    const client = await connectPd([server.address, address], { logger })
    await server.close()
    server = await startTestPd(dir, { clientAddr: address })
    expect(await client.allocId(1)).toBeGreaterThan(0)
    await client.close()
  })

  test('a restarted PD hears of the leaders again without another heartbeat', async () => {
    const client = await connectPd([server.address], { logger })
    const { first } = await bootstrapClassic(server.service)
    client.regionHeartbeat(heartbeat(first))
    const leader = (): unknown => server.service.regionById(first.id)?.leader
    await until(() => leader() !== undefined)
    await server.close()
    server = await startTestPd(dir, { clientAddr: server.address })
    expect(leader()).toBeUndefined()
    await until(() => leader() !== undefined)
    expect(leader()).toEqual(first.peers[0])
    await client.close()
  })
})

describe('an address where another service answers', () => {
  const logger = silentLogger
  let dir: string
  let pd: PdServer
  let grpc: Server
  let grpcAddress: string
  let web: Http2Server
  let webAddress: string

  beforeEach(async () => {
    dir = await temporaryDir()
    pd = await startTestPd(dir)
    grpc = new Server()
    grpcAddress = `127.0.0.1:${await bind(grpc)}`
    web = createServer((_request, response) => {
      response.statusCode = 404
      response.end('not here')
    })
    await new Promise<void>((resolve) => web.listen(0, '127.0.0.1', resolve))
    webAddress = `127.0.0.1:${(web.address() as AddressInfo).port}`
  })
  afterEach(async () => {
    grpc.forceShutdown()
    web.close()
    await pd.close()
    await removeDir(dir)
  })

  test('is passed over', async () => {
    const client = await connectPd([grpcAddress, webAddress, pd.address], { logger })
    expect(await client.clusterId()).toBe(pd.service.clusterId)
    expect(await client.allocId(1)).toBeGreaterThan(0)
    await client.close()
  })

  test('is passed over while PD restarts', async () => {
    const client = await connectPd([grpcAddress, pd.address], { logger })
    const { address } = pd
    await pd.close()
    const pending = client.allocId(1)
    pd = await startTestPd(dir, { clientAddr: address })
    expect(await pending).toBeGreaterThan(0)
    await client.close()
  })

  test('is named where no PD answers', async () => {
    const found = connectPd([grpcAddress, '127.0.0.1:1'], { logger, timeoutMs: 300 })
    await expect(found).rejects.toMatchObject({
      code: 'Unavailable',
      message: expect.stringMatching(
        `^no PD answers at ${grpcAddress}, 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1; ` +
          `${grpcAddress} is another service .The server does not implement`,
      ),
    })
  })

  test('is told at once where there is no other', async () => {
    await expect(connectPd([grpcAddress, webAddress], { logger })).rejects.toMatchObject({
      code: 'Unsupported',
      message: expect.stringMatching(
        `${grpcAddress} is another service .*; ${webAddress} is another service .*404`,
      ),
    })
  })
})

function bind(grpc: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    grpc.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    )
  })
}
