/** What idle links carry, and what their silence tells. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { parseAddress } from '../../src/base/address.ts'
import { encodeFrame } from '../../src/transport/envelope-codec.ts'
import { frameOf } from '../../src/transport/frame.ts'
import { encodeHello, TRANSPORT_VERSION } from '../../src/transport/handshake.ts'
import { envelope, TestNet, type TestStore } from './fixtures.ts'

const QUICK = { limits: { aliveIntervalMs: 20 } }

let net: TestNet
beforeEach(() => {
  net = new TestNet()
})
afterEach(() => net.closeAll())

function received(store: TestStore): number {
  return store.transport.stats().transport_frames_received_total!
}

/** A store that says what it is told to, and nothing by itself. */
async function mute(to: TestStore, fromStoreId: number): Promise<Socket> {
  const { host, port } = parseAddress(to.transport.address)
  const socket = connect({ host, port })
  await once(socket, 'connect')
  const hello = { version: TRANSPORT_VERSION, clusterId: 9, fromStoreId, toStoreId: to.id }
  socket.write(frameOf(encodeHello(hello)))
  await once(socket, 'data')
  return socket
}

test('an idle link carries empty frames, of which stores hear nothing', async () => {
  const [one, two] = [await net.start(1, QUICK), await net.start(2, QUICK)]
  one.transport.send(envelope(2))
  one.transport.flush()
  await two.observer.until(() => two.observer.received.length === 1)
  await sleep(400)
  expect(received(two)).toBeGreaterThan(5)
  expect(two.observer.frames).toEqual([1])
  expect(two.observer.silent).toEqual([])
})

test('where nothing was ever sent, nothing is', async () => {
  const [one, two] = [await net.start(1, QUICK), await net.start(2, QUICK)]
  await sleep(100)
  expect(received(one) + received(two)).toBe(0)
  expect(one.transport.stats().transport_links_out).toBe(0)
  expect([...one.observer.silent, ...two.observer.silent]).toEqual([])
})

test('a link that closes is silence at once, told once', async () => {
  const slow = { limits: { aliveIntervalMs: 60_000 } }
  const [one, two] = [await net.start(1, slow), await net.start(2, slow)]
  one.transport.send(envelope(2))
  one.transport.flush()
  await two.observer.until(() => two.observer.received.length === 1)
  await one.transport.close()
  await two.observer.until(() => two.observer.silent.length > 0)
  expect(two.observer.silent).toEqual([1])
})

test('a link that stays open and carries nothing is silence; a word ends it', async () => {
  const one = await net.start(1, QUICK)
  const socket = await mute(one, 2)
  socket.write(encodeFrame([], 0, 0))
  await one.observer.until(() => one.observer.silent.length === 1)
  await sleep(200)
  expect(one.observer.silent).toEqual([2])
  socket.write(encodeFrame([], 0, 0))
  await one.observer.until(() => one.observer.silent.length === 2)
  expect(one.observer.silent).toEqual([2, 2])
  socket.destroy()
})

test('a newer link takes the place of the older one without silence', async () => {
  const one = await net.start(1, { limits: { aliveIntervalMs: 60_000 } })
  const older = await mute(one, 2)
  older.write(encodeFrame([], 0, 0))
  const closed = once(older, 'close')
  const newer = await mute(one, 2)
  newer.write(encodeFrame([], 0, 0))
  await closed
  expect(one.observer.silent).toEqual([])
  newer.destroy()
  await one.observer.until(() => one.observer.silent.length === 1)
})

test('a store that closes itself tells of no silence', async () => {
  const [one, two] = [await net.start(1, QUICK), await net.start(2, QUICK)]
  one.transport.send(envelope(2))
  one.transport.flush()
  await two.observer.until(() => two.observer.received.length === 1)
  await two.transport.close()
  await sleep(100)
  expect(two.observer.silent).toEqual([])
})
