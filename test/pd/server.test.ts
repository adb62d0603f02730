/** Starting, stopping and watching a placement driver. */
import { createServer } from 'node:net'
import { Client, credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { type PdServer, startPd } from '../../src/pd/server.ts'
import { pdMethods } from '../../src/protocol/pd-services.ts'
import {
  bootstrapClassic,
  removeDir,
  startTestPd,
  storeMeta,
  systemClock,
  temporaryDir,
} from './fixtures.ts'
import { emptyHeartbeat } from './rpc.ts'

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

describe('start and stop', () => {
  test('a port in use is named', async () => {
    const holder = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => holder.once('listening', resolve))
    const { port } = holder.address() as { port: number }
    const released: string[] = []
    await expect(
      startTestPd(`${dir}/second`, {
        clientAddr: `127.0.0.1:${port}`,
        lock: async (locked) => () => {
          released.push(locked)
        },
      }),
    ).rejects.toMatchObject({
      code: 'AddressInUse',
      message: expect.stringContaining(`127.0.0.1:${port}`),
    })
    expect(released).toEqual([`${dir}/second`])
    await new Promise((resolve) => holder.close(resolve))
  })

  test.each([
    { clientAddr: 'localhost' },
    { clientAddr: '127.0.0.1:99999' },
    { advertiseClientAddr: 'nonsense' },
  ])('an address that is none is refused: %j', async (options) => {
    await expect(startTestPd(`${dir}/x`, options)).rejects.toMatchObject({ code: 'ConfigInvalid' })
  })

  test('a lock that is held stops the start', async () => {
    const lock = (): Promise<never> => Promise.reject(new Error('held'))
    await expect(startTestPd(`${dir}/y`, { lock })).rejects.toThrow('held')
  })

  test('close is idempotent and ends open streams', async () => {
    const client = new Client(server.address, credentials.createInsecure())
    const header = { clusterId: 1, senderId: 0, callerId: '', callerComponent: '' }
    const { path, requestSerialize, responseDeserialize } = pdMethods.regionHeartbeat
    const stream = client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    const ended = new Promise((resolve) => stream.once('error', resolve))
    stream.write(emptyHeartbeat(header))
    await new Promise((resolve) => stream.once('data', resolve))
    await Promise.all([server.close(), server.close()])
    expect(await ended).toBeInstanceOf(Error)
    client.close()
  })

  test('metrics', async () => {
    await bootstrapClassic(server.service)
    expect(server.metrics()).toMatchObject({
      pd_healthy: 1,
      pd_bootstrapped: 1,
      pd_stores: 1,
      pd_regions: 1,
      pd_region_heartbeats_accepted: 0,
      pd_region_heartbeats_refused: 0,
    })
    for (const value of Object.values(server.metrics())) expect(Number.isFinite(value)).toBe(true)
  })

  test('needs nothing but what the options say', async () => {
    const plain = await startPd({
      dir: `${dir}/plain`,
      clientAddr: '127.0.0.1:0',
      clock: systemClock,
      random: { below: () => 3 },
      logger: silentLogger,
    })
    expect(plain.service.store(1)).toBeUndefined()
    await expect(plain.service.putStore(storeMeta(1))).rejects.toMatchObject({
      code: 'NotBootstrapped',
    })
    await plain.close()
  })
})
