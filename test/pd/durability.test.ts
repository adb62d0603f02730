/** What PD promised holds after a restart, a graceful one or a kill in the middle of the work. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { Client, type ClientDuplexStream, credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { builtUrl } from '../../src/base/built-url.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { connectPd } from '../../src/pd/grpc-client.ts'
import type { TsoRequest, TsoResponse } from '../../src/protocol/pd-messages.ts'
import { pdMethods } from '../../src/protocol/pd-services.ts'
import {
  bootstrapClassic,
  heartbeat,
  region,
  removeDir,
  startTestPd,
  storeMeta,
  temporaryDir,
} from './fixtures.ts'

let dir: string
beforeEach(async () => {
  dir = await temporaryDir()
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await removeDir(dir)
})

/** Of this test, so that none outlives it when it fails. */
const children: ChildProcess[] = []

const EMPTY = Buffer.alloc(0)

describe('graceful restart', () => {
  test('keeps cluster, stores, regions, settings and marks', async () => {
    const before = await startTestPd(dir)
    const { clusterId } = before.service
    const { store, first } = await bootstrapClassic(before.service)
    const second = storeMeta(await before.service.allocId(1), { labels: { a: '1', b: '' } })
    await before.service.putStore(second)
    await before.service.setMaxPeerCount(5)
    const left = region(900, '', 'k', [1, 2])
    const right = { ...first, startKey: Buffer.from('k'), epoch: { confVer: 1, version: 2 } }
    before.service.regionHeartbeat(heartbeat(left))
    before.service.regionHeartbeat(heartbeat(right))
    const stamp = await before.service.timestamp(7)
    const lastId = await before.service.allocId(1)
    await before.close()

    const { service, close } = await startTestPd(dir).then((server) => ({
      service: server.service,
      close: () => server.close(),
    }))
    expect(service.clusterId).toBe(clusterId)
    expect(service.bootstrapped).toBe(true)
    expect(service.maxPeerCount).toBe(5)
    expect(service.stores().map((one) => one.meta)).toEqual([store, second])
    const regions = service.scanRegions(EMPTY, EMPTY, 0)
    expect(regions.map((one) => one.region)).toEqual([left, right])
    expect(await service.allocId(1)).toBeGreaterThan(lastId)
    expect((await service.timestamp(1)).physical).toBeGreaterThan(stamp.physical)
    // Terms are not kept, epochs are.
    expect(service.regionHeartbeat(heartbeat(first))).toMatchObject({ accepted: false })
    await close()
  })

  test('two clusters have different ids', async () => {
    const one = await startTestPd(`${dir}/1`)
    const random = { below: (bound: number) => bound - 1 }
    const two = await startTestPd(`${dir}/2`, { random })
    expect(two.service.clusterId).toBe(Number.MAX_SAFE_INTEGER)
    expect(one.service.clusterId).not.toBe(two.service.clusterId)
    await one.close()
    await two.close()
    const zero = await startTestPd(`${dir}/3`, { random: { below: () => 0 } })
    expect(zero.service.clusterId).toBe(1)
    await zero.close()
  })
})

interface Child {
  readonly process: ChildProcess
  readonly address: string
}

async function startChild(): Promise<Child> {
  const script = fileURLToPath(new URL('./pd-child.mjs', import.meta.url))
  const child = fork(script, [dir], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
  children.push(child)
  const [message] = (await Promise.race([
    once(child, 'message'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`the PD ended with ${code}`))),
  ])) as [{ address: string }]
  return { process: child, address: message.address }
}

async function kill({ process: child }: Child): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

interface Work {
  readonly ids: number[]
  readonly stamps: bigint[]
}

type TsoStream = ClientDuplexStream<TsoRequest, TsoResponse>

/** Timestamps until the stream breaks. */
function streamTimestamps(address: string, clusterId: number, into: bigint[]): Client {
  const client = new Client(address, credentials.createInsecure())
  const { path, requestSerialize, responseDeserialize } = pdMethods.tso
  const stream: TsoStream = client.makeBidiStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
  )
  const header = { clusterId, senderId: 0, callerId: '', callerComponent: '' }
  const ask = (): void => {
    stream.write({ header, count: 1, dcLocation: '' })
  }
  stream.on('data', ({ timestamp }: TsoResponse) => {
    into.push((BigInt(timestamp!.physical) << 18n) + BigInt(timestamp!.logical))
    ask()
  })
  stream.on('error', () => client.close())
  ask()
  return client
}

/** Allocates until the child is killed, at a moment that `rounds` decides. */
async function workUntilKilled(child: Child, rounds: number, work: Work): Promise<void> {
  const client = await connectPd([child.address], { logger: silentLogger, timeoutMs: 2000 })
  const stamps = streamTimestamps(child.address, await client.clusterId(), work.stamps)
  for (let round = 0; round < rounds; round++) {
    const blocks = await Promise.all([300, 1, 700, 40].map((count) => client.allocId(count)))
    work.ids.push(...blocks)
  }
  const inFlight = Array.from({ length: 20 }, () => client.allocId(500))
  const settled = Promise.allSettled(inFlight)
  await kill(child)
  await client.close()
  for (const one of await settled) if (one.status === 'fulfilled') work.ids.push(one.value)
  stamps.close()
}

describe.skipIf(!existsSync(builtUrl('pd/server.js')))('kill -9 (needs a build)', () => {
  test('ids never come twice, timestamps never fall, bootstrap stays', async () => {
    const work: Work = { ids: [], stamps: [] }
    let clusterId: number | undefined
    for (const rounds of [3, 1, 8, 0, 5]) {
      const child = await startChild()
      const client = await connectPd([child.address], { logger: silentLogger })
      clusterId ??= await client.clusterId()
      expect(await client.clusterId()).toBe(clusterId)
      if (!(await client.isBootstrapped())) {
        const last = await client.allocId(3)
        work.ids.push(last)
        const peers = [{ id: last, storeId: last - 2, role: 0 as const }]
        await client.bootstrap(storeMeta(last - 2), { ...region(last - 1, '', ''), peers })
      }
      expect(await client.getAllStores()).toHaveLength(1)
      expect(await client.getRegion(EMPTY)).toBeDefined()
      await client.close()
      await workUntilKilled(child, rounds, work)
    }
    expect(new Set(work.ids).size).toBe(work.ids.length)
    expect(work.stamps.length).toBeGreaterThan(20)
    for (let i = 1; i < work.stamps.length; i++) {
      expect(work.stamps[i]! > work.stamps[i - 1]!, `timestamp ${i}`).toBe(true)
    }
  })

  test('a PD process with a thousand regions stays small', async () => {
    const child = await startChild()
    try {
      const client = await connectPd([child.address], { logger: silentLogger })
      const last = await client.allocId(3)
      const peers = [{ id: last, storeId: last - 2, role: 0 as const }]
      await client.bootstrap(storeMeta(last - 2), { ...region(last - 1, '', ''), peers })
      for (let i = 0; i < 1000; i++) {
        const [from, to] = [i, i + 1].map((n) => `k${String(n).padStart(5, '0')}`)
        client.regionHeartbeat(heartbeat(region(10_000 + i, from!, to!, [1, 2], [1, 2, 3])))
      }
      let known = 0
      while (known < 1000) known = (await client.scanRegions(EMPTY, EMPTY, 0)).length
      child.process.send('memory')
      const [{ rssMiB }] = (await once(child.process, 'message')) as [{ rssMiB: number }]
      expect(rssMiB).toBeLessThan(150)
      await client.close()
    } finally {
      await kill(child)
    }
  })
})
