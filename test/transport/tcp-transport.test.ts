import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { parseAddress } from '../../src/base/address.ts'
import { MIB } from '../../src/base/limits.ts'
import { frameOf } from '../../src/transport/frame.ts'
import { encodeAnswer, encodeHello, TRANSPORT_VERSION } from '../../src/transport/handshake.ts'
import { append, envelope, TestNet, type TestStore } from './fixtures.ts'

let net: TestNet
beforeEach(() => {
  net = new TestNet()
})
afterEach(() => net.closeAll())

function indexes(store: TestStore): number[] {
  return store.observer.received.map((each) => each.message.entries[0]!.index)
}

/** Sends appends until one of them arrives: what raft's own retries do. */
async function sendUntilReceived(from: TestStore, to: TestStore, index: number): Promise<void> {
  let arrived = false
  const arrival = to.observer.until(() => indexes(to).includes(index))
  void arrival.then(() => {
    arrived = true
  })
  while (!arrived) {
    from.transport.send(append(to.id, index, Buffer.from('x'), from.id))
    from.transport.flush()
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('delivery', () => {
  test('one frame a flush and store, both ways at once', async () => {
    const [one, two, three] = [await net.start(1), await net.start(2), await net.start(3)]
    for (let index = 1; index <= 100; index++) {
      expect(one.transport.send(append(2, index, Buffer.from(`v${index}`)))).toBe(true)
      one.transport.send(append(3, index, Buffer.from('to three')))
      two.transport.send(append(1, index, Buffer.from('back'), 2))
    }
    one.transport.flush()
    two.transport.flush()
    await two.observer.until(() => two.observer.received.length === 100)
    await three.observer.until(() => three.observer.received.length === 100)
    await one.observer.until(() => one.observer.received.length === 100)
    expect(two.observer.frames).toEqual([100])
    expect(three.observer.frames).toEqual([100])
    expect(two.observer.received[41]).toEqual(append(2, 42, Buffer.from('v42')))
  })

  test('in order over many frames', async () => {
    const [one, two] = [await net.start(1), await net.start(2)]
    const count = 5000
    for (let index = 1; index <= count; index++) {
      one.transport.send(append(2, index, Buffer.alloc(100)))
      if (index % 7 === 0) one.transport.flush()
      if (index % 500 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    one.transport.flush()
    await two.observer.until(() => two.observer.received.length === count)
    expect(indexes(two)).toEqual(Array.from({ length: count }, (_, i) => i + 1))
  })

  test('entries of 8 MiB, and rounds larger than a frame', async () => {
    const [one, two] = [await net.start(1), await net.start(2)]
    const data = Buffer.alloc(8 * MIB, 'abcdefgh')
    for (let index = 1; index <= 5; index++)
      expect(one.transport.send(append(2, index, data))).toBe(true)
    one.transport.flush()
    await two.observer.until(() => two.observer.received.length === 5)
    expect(indexes(two)).toEqual([1, 2, 3, 4, 5])
    expect(two.observer.frames.length).toBeGreaterThan(1)
    expect(data.equals(two.observer.received[4]!.message.entries[0]!.data)).toBe(true)
  })

  test('close lets the last frame leave', async () => {
    const [one, two] = [await net.start(1), await net.start(2)]
    await sendUntilReceived(one, two, 1)
    one.transport.send(append(2, 99, Buffer.from('last')))
    await one.transport.close()
    await two.observer.until(() => indexes(two).includes(99))
    expect(one.transport.send(append(2, 100, Buffer.from('late')))).toBe(false)
  })
})

describe('failures', () => {
  test('an unknown store is unreachable, told once for each attempt', async () => {
    const one = await net.start(1, { limits: { backoffMs: 60_000, backoffMsMax: 60_000 } })
    one.transport.send(envelope(7))
    one.transport.flush()
    await one.observer.until(() => one.observer.unreachable.length === 1)
    expect(one.transport.send(envelope(7))).toBe(false)
    one.transport.flush()
    expect(one.observer.unreachable).toEqual([7])
    expect(one.transport.stats().transport_messages_dropped_total).toBe(2)
    expect(one.lines.filter((line) => line.level === 'warn')).toEqual([
      expect.objectContaining({
        fields: expect.objectContaining({ peerStoreId: 7, reason: 'store 7 is not known' }),
      }),
    ])
  })

  test('finds a restarted peer again, on the same port', async () => {
    const one = await net.start(1)
    const before = await net.start(2)
    await sendUntilReceived(one, before, 1)
    const { port } = parseAddress(before.transport.address)
    await before.transport.close()
    await one.observer.until(() => one.observer.unreachable.length === 1)
    const after = await net.start(2, { port })
    await sendUntilReceived(one, after, 2)
    expect(one.transport.stats().transport_links_out).toBe(1)
  })

  test('a peer that calls ends the back-off', async () => {
    const one = await net.start(1, { limits: { backoffMs: 600_000, backoffMsMax: 600_000 } })
    one.transport.send(envelope(2))
    one.transport.flush()
    await one.observer.until(() => one.observer.unreachable.length === 1)
    const two = await net.start(2)
    await sendUntilReceived(two, one, 1)
    await sendUntilReceived(one, two, 2)
  })

  test('a full queue drops, and delivers what it kept', async () => {
    const one = await net.start(1, { limits: { queueMessagesMax: 10 } })
    const two = await net.start(2)
    const taken = Array.from({ length: 15 }, (_, i) =>
      one.transport.send(append(2, i + 1, Buffer.from('x'))),
    )
    expect(taken.filter(Boolean)).toHaveLength(10)
    one.transport.flush()
    await two.observer.until(() => two.observer.received.length === 10)
    expect(one.transport.stats().transport_messages_dropped_total).toBe(5)
  })

  test('an envelope that no frame can hold is dropped', async () => {
    const one = await net.start(1)
    expect(one.transport.send(append(2, 1, Buffer.alloc(64 * MIB)))).toBe(false)
  })
})

describe('a peer that does not read', () => {
  const sockets: Socket[] = []
  let address = ''
  const server = createServer((socket) => {
    sockets.push(socket)
    socket.on('error', () => {})
    socket.once('data', () => {
      socket.pause()
      socket.write(frameOf(encodeAnswer({ verdict: 0, reason: '' })))
    })
  })

  beforeEach(async () => {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const bound = server.address()
    address = `127.0.0.1:${typeof bound === 'object' ? bound!.port : 0}`
  })
  afterEach(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
  })

  test('holds the queue at its bound, then is given up', async () => {
    const limits = { queueBytesMax: 8 * MIB, socketBytesMax: MIB, stallTimeoutMs: 300 }
    const one = await net.start(1, { limits })
    net.addresses.set(2, address)
    const data = Buffer.alloc(MIB)
    let dropped = false
    let queuedMost = 0
    for (let index = 1; index <= 200 || !dropped; index++) {
      if (!one.transport.send(append(2, index, data))) dropped = true
      one.transport.flush()
      queuedMost = Math.max(queuedMost, one.transport.stats().transport_queued_bytes!)
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(queuedMost).toBeLessThanOrEqual(8 * MIB)
    expect(queuedMost).toBeGreaterThan(6 * MIB)
    await one.observer.until(() => one.observer.unreachable.length > 0)
    const reasons = one.lines.map((line) => line.fields.reason)
    expect(reasons).toContain('the peer took no data for 300 ms')
  })
})

describe('handshake', () => {
  test.each([
    ['another cluster', 2, { clusterId: 8 }, 'this store belongs to cluster 8, not to 9'],
    ['another store', 3, {}, 'this is store 3, store 1 asked for 2'],
  ])('%s refuses, and the dialer says so once', async (_what, id, options, reason) => {
    const one = await net.start(1)
    const other = await net.start(id, options)
    net.addresses.set(2, other.transport.address)
    while (one.observer.unreachable.length < 3) {
      one.transport.send(envelope(2))
      one.transport.flush()
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(other.observer.received).toEqual([])
    const warnings = one.lines.filter((line) => line.level === 'warn')
    expect(warnings).toHaveLength(1)
    expect(warnings[0]!.fields.reason).toContain(reason)
    expect(other.transport.stats().transport_links_refused_total).toBeGreaterThanOrEqual(3)
  })
})

describe('hostile peers', () => {
  async function rawLink(store: TestStore, ...frames: Uint8Array[]): Promise<void> {
    const socket = connect(parseAddress(store.transport.address))
    socket.on('error', () => {})
    socket.resume()
    for (const frame of frames) socket.write(frame)
    if (frames.length > 0) socket.end()
    await once(socket, 'close')
  }
  const hello = frameOf(
    encodeHello({ version: TRANSPORT_VERSION, clusterId: 9, fromStoreId: 2, toStoreId: 1 }),
  )
  const flipped = frameOf(Buffer.from([0x90]))
  flipped[4]! ^= 1

  test.each([
    ['an HTTP request', [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')]],
    ['a frame with a wrong magic', [frameOf(Buffer.alloc(30))]],
    ['a short hello', [frameOf(encodeHello({ ...helloOf(), toStoreId: 1 }).subarray(0, 12))]],
    ['a wrong checksum', [hello, flipped]],
    ['a length beyond the maximum', [hello, Buffer.from([255, 255, 255, 255, 0, 0, 0, 0])]],
    ['a batch that is no array', [hello, frameOf(Buffer.from([0x01]))]],
    ['a batch of rubbish', [hello, frameOf(Buffer.from([0x93, 0xa1, 0x61, 0xc0, 0xcb]))]],
  ])('%s closes that link only', async (_what, frames) => {
    const [one, three] = [await net.start(1), await net.start(3)]
    await sendUntilReceived(three, one, 1)
    await rawLink(one, ...frames)
    expect(one.transport.stats().transport_links_corrupt_total).toBe(1)
    await sendUntilReceived(three, one, 2)
    expect(one.transport.stats().transport_links_accepted_total).toBe(frames[0] === hello ? 2 : 1)
  })

  test('random bytes behind a good hello never do more', async () => {
    const one = await net.start(1)
    let state = 12345
    for (let round = 0; round < 50; round++) {
      const junk = Buffer.alloc(64)
      for (let i = 0; i < junk.length; i++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0
        junk[i] = state >>> 16
      }
      await rawLink(
        one,
        hello,
        round % 2 === 0 ? frameOf(junk) : Buffer.concat([junk, Buffer.alloc(9)]),
      )
    }
    expect(one.observer.received).toEqual([])
    const stats = one.transport.stats()
    // A length field that is small by chance only waits for bytes that never come.
    expect(stats.transport_links_corrupt_total).toBeGreaterThan(40)
    expect(stats.transport_links_accepted_total).toBe(50)
  })

  test('a silent connection is closed after the time limit', async () => {
    const one = await net.start(1, { limits: { handshakeTimeoutMs: 50 } })
    await rawLink(one)
    expect(one.transport.stats().transport_links_corrupt_total).toBe(1)
  })

  test('so is one that says who it is and then nothing, and no link that lives', async () => {
    const limits = { silentTimeoutMs: 1000, aliveIntervalMs: 20 }
    const [one, three] = [await net.start(1, { limits }), await net.start(3, { limits })]
    await sendUntilReceived(three, one, 1)
    const silent = connect(parseAddress(one.transport.address))
    silent.on('error', () => {})
    silent.resume()
    silent.write(hello)
    await once(silent, 'close')
    expect(one.transport.stats().transport_links_corrupt_total).toBe(1)
    await expect.poll(() => one.transport.stats().transport_links_in).toBe(1)
    expect(three.observer.unreachable).toEqual([])
  })

  function helloOf() {
    return { version: TRANSPORT_VERSION, clusterId: 9, fromStoreId: 2 }
  }
})

test('a port in use is an AddressInUse error', async () => {
  const one = await net.start(1)
  const { port } = parseAddress(one.transport.address)
  await expect(net.start(2, { port })).rejects.toMatchObject({ code: 'AddressInUse' })
})
