/** Snapshots between two stores over real sockets, also through one that breaks or lies. */
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseAddress } from '../../src/base/address.ts'
import { KIB, MIB } from '../../src/base/limits.ts'
import { eventLoopScheduler } from '../../src/base/node-clock.ts'
import { MessageType } from '../../src/raft/types.ts'
import { frameOf } from '../../src/transport/frame.ts'
import {
  encodeAnswer,
  encodeHello,
  TRANSPORT_VERSION,
  Verdict,
} from '../../src/transport/handshake.ts'
import { LoopbackHub } from '../../src/transport/loopback.ts'
import type {
  RaftEnvelope,
  SnapshotRefusal,
  SnapshotSink,
  SnapshotSource,
  Transport,
} from '../../src/transport/port.ts'
import { CHUNK_HEADROOM_BYTES } from '../../src/transport/snapshot-stream.ts'
import { envelope, Observer, TestNet, type TestStore } from './fixtures.ts'

class MemorySink implements SnapshotSink {
  readonly files = new Map<number, Buffer[]>()
  finished = false
  aborted = false
  onWrite: () => Promise<void> = async () => {}
  onFinish: () => Promise<void> = async () => {}

  async write(file: number, offset: number, bytes: Buffer): Promise<void> {
    const chunks = this.files.get(file) ?? []
    expect(offset).toBe(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
    chunks.push(Buffer.from(bytes))
    this.files.set(file, chunks)
    await this.onWrite()
  }

  async finish(): Promise<void> {
    await this.onFinish()
    this.finished = true
  }

  abort(): void {
    this.aborted = true
  }

  contents(): Buffer[] {
    return [...this.files.values()].map((chunks) => Buffer.concat(chunks))
  }
}

const files = [Buffer.alloc(3 * MIB + 5, 'ab'), Buffer.alloc(1, 'c'), Buffer.alloc(MIB, 'd')]
const source: SnapshotSource = {
  sizes: files.map(({ length }) => length),
  read: async (file, offset, length) => files[file]!.subarray(offset, offset + length),
}

function offer(to = 2): RaftEnvelope {
  const metadata = {
    index: 9,
    term: 7,
    confState: {
      voters: [101, 102],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  }
  return envelope(to, {
    type: MessageType.Snapshot,
    snapshot: { metadata, data: Buffer.from('meta') },
  })
}

function send(transport: Transport, from = source, to = 2): Promise<[string, string]> {
  return new Promise((resolve) => {
    transport.sendSnapshot(offer(to), from, (outcome, reason) => resolve([outcome, reason]))
  })
}

/** Passes bytes on from a port of its own, changing or cutting them at a place. */
class FaultyLink {
  readonly #server: Server
  readonly #sockets: Socket[] = []

  static async start(to: string, at: number, fault: 'flip' | 'cut'): Promise<[FaultyLink, string]> {
    const server = createServer()
    const proxy = new FaultyLink(server, to, at, fault)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return [proxy, `127.0.0.1:${(server.address() as { port: number }).port}`]
  }

  private constructor(server: Server, to: string, at: number, fault: 'flip' | 'cut') {
    this.#server = server
    server.on('connection', (inbound) => {
      const outbound = connect(parseAddress(to))
      let seen = 0
      inbound.on('data', (chunk: Buffer) => {
        const hits = seen <= at && at < seen + chunk.length
        if (hits && fault === 'cut') inbound.destroy()
        if (hits && fault === 'flip') chunk[at - seen]! ^= 1
        seen += chunk.length
        if (!inbound.destroyed) outbound.write(chunk)
      })
      outbound.pipe(inbound)
      for (const [a, b] of [[inbound, outbound] as const, [outbound, inbound] as const]) {
        this.#sockets.push(a)
        a.on('error', () => {})
        a.on('close', () => b.destroy())
      }
    })
  }

  close(): void {
    for (const socket of this.#sockets) socket.destroy()
    this.#server.close()
  }
}

let net: TestNet
let sender: TestStore
let receiver: TestStore
let sink: MemorySink
let answer: SnapshotSink | SnapshotRefusal
let offers: RaftEnvelope[]

beforeEach(async () => {
  net = new TestNet()
  sender = await net.start(1, { limits: { stallTimeoutMs: 2000 } })
  receiver = await net.start(2, { limits: { stallTimeoutMs: 2000 } })
  sink = new MemorySink()
  answer = sink
  offers = []
  receiver.observer.onSnapshotOffer = (offered) => {
    offers.push(offered)
    return answer
  }
})

afterEach(async () => {
  await net.closeAll()
})

describe('over TCP', () => {
  it('the message and every byte of every file arrive', async () => {
    expect(await send(sender.transport)).toEqual(['sent', ''])
    expect(offers).toHaveLength(1)
    expect(offers[0]!.message.snapshot!.metadata.index).toBe(9)
    expect(offers[0]!.message.snapshot!.data.toString()).toBe('meta')
    expect(sink.contents().map((bytes, i) => bytes.equals(files[i]!))).toEqual([true, true, true])
    expect([sink.finished, sink.aborted]).toEqual([true, false])
  })

  it('a set without files is only its message', async () => {
    const empty = { sizes: [], read: source.read }
    expect(await send(sender.transport, empty)).toEqual(['sent', ''])
    expect(sink.finished).toBe(true)
  })

  it('a refusal says whether it is worth asking again', async () => {
    answer = { busy: true, reason: 'later' }
    expect(await send(sender.transport)).toEqual(['busy', 'later'])
    answer = { busy: false, reason: 'never' }
    expect(await send(sender.transport)).toEqual(['failed', 'never'])
  })

  it('a receiver that fails at the end, or at a chunk, fails the transfer', async () => {
    sink.onFinish = () => Promise.reject(new Error('wrong checksum'))
    expect((await send(sender.transport))[0]).toBe('failed')
    expect(sink.aborted).toBe(true)
    const second = new MemorySink()
    second.onWrite = () => Promise.reject(new Error('disk full'))
    answer = second
    expect((await send(sender.transport))[0]).toBe('failed')
    expect(second.aborted).toBe(true)
  })

  it('a source that fails ends the transfer on both sides', async () => {
    const broken = { ...source, read: () => Promise.reject(new Error('unreadable')) }
    expect(await send(sender.transport, broken)).toEqual(['failed', 'unreadable'])
    await expect.poll(() => sink.aborted).toBe(true)
  })

  it.each([
    ['flip', 1.5 * MIB],
    ['cut', 1.5 * MIB],
    ['cut', 200],
  ] as const)('a link that %ss a byte loses the transfer, nothing more', async (fault, at) => {
    const [proxy, address] = await FaultyLink.start(net.addresses.get(2)!, at, fault)
    try {
      const direct = net.addresses.get(2)!
      net.addresses.set(2, address)
      expect((await send(sender.transport))[0]).toBe('failed')
      await expect.poll(() => sink.aborted || offers.length === 0).toBe(true)
      expect(sink.finished).toBe(false)
      net.addresses.set(2, direct)
      answer = new MemorySink()
      expect((await send(sender.transport))[0]).toBe('sent')
    } finally {
      proxy.close()
    }
  })

  it('messages are not held up by a snapshot that is', async () => {
    let release = (): void => {}
    sink.onWrite = () =>
      new Promise((resolve) => {
        release = resolve
      })
    const sending = send(sender.transport)
    await expect.poll(() => sink.files.size).toBe(1)
    sender.transport.send(envelope(2))
    sender.transport.flush()
    await receiver.observer.until(() => receiver.observer.received.length === 1)
    expect(sink.finished).toBe(false)
    sink.onWrite = async () => {}
    release()
    expect((await sending)[0]).toBe('sent')
  })

  it('closing either side ends what is under way', async () => {
    sink.onWrite = () => new Promise(() => {})
    const sending = send(sender.transport)
    await expect.poll(() => sink.files.size).toBe(1)
    await sender.transport.close()
    expect((await sending)[0]).toBe('failed')
  })

  it('a source that leaves room for headers is not copied, and arrives the same', async () => {
    const roomy: SnapshotSource = {
      sizes: source.sizes,
      headroomBytes: CHUNK_HEADROOM_BYTES,
      chunkBytesMax: 100_000,
      read: async (file, offset, length) => {
        expect(length).toBeLessThanOrEqual(100_000)
        const memory = Buffer.allocUnsafeSlow(CHUNK_HEADROOM_BYTES + length)
        files[file]!.copy(memory, CHUNK_HEADROOM_BYTES, offset, offset + length)
        return memory.subarray(CHUNK_HEADROOM_BYTES)
      },
    }
    expect(await send(sender.transport, roomy)).toEqual(['sent', ''])
    expect(sink.contents().map((bytes, i) => bytes.equals(files[i]!))).toEqual([true, true, true])
  })

  it('a receiver that takes no more is given up, and so is a sender that gives no more', async () => {
    const quick = await net.start(3, { limits: { stallTimeoutMs: 200 } })
    // More than sockets hold: the sender has to wait for the receiver.
    const large = { ...source, sizes: Array.from({ length: 24 }, () => MIB) }
    const filler = { ...large, read: async () => Buffer.alloc(256 * KIB) }
    sink.onWrite = () => new Promise(() => {})
    expect((await send(quick.transport, filler))[0]).toBe('failed')
    await expect.poll(() => sink.files.size).toBe(1)
    const silent = new MemorySink()
    quick.observer.onSnapshotOffer = () => silent
    const never = { ...source, read: () => new Promise<Uint8Array>(() => {}) }
    void send(sender.transport, never, 3)
    await expect.poll(() => silent.aborted).toBe(true)
    expect(silent.finished).toBe(false)
  })

  const TOO_LONG = Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])
  const accepted = frameOf(encodeAnswer({ verdict: Verdict.Accepted, reason: '' }))

  it('a frame header of any length ends that transfer at the receiver, and no other', async () => {
    const hello = { version: TRANSPORT_VERSION, clusterId: 9, fromStoreId: 3, toStoreId: 2 }
    const socket = connect(parseAddress(receiver.transport.address))
    socket.on('error', () => {})
    socket.once('data', () => socket.write(TOO_LONG))
    socket.write(frameOf(encodeHello(hello, true)))
    await once(socket, 'close')
    expect(receiver.lines.map((line) => line.fields.reason)).toContain(
      'a frame of 4294967295 bytes, at most 67108864 are allowed here',
    )
    expect(await send(sender.transport)).toEqual(['sent', ''])
  })

  it('a frame header of any length ends that transfer at the sender, and no other', async () => {
    const liar = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.write(accepted)
        socket.once('data', () => socket.write(TOO_LONG))
      })
    })
    liar.listen(0, '127.0.0.1')
    await once(liar, 'listening')
    net.addresses.set(3, `127.0.0.1:${(liar.address() as { port: number }).port}`)
    const [outcome, reason] = await send(sender.transport, source, 3)
    liar.close()
    expect([outcome, reason]).toEqual(['failed', expect.stringContaining('4294967295 bytes')])
    expect(await send(sender.transport)).toEqual(['sent', ''])
  })

  it('nobody at the address is a failure', async () => {
    net.addresses.delete(2)
    expect(await send(sender.transport)).toEqual(['failed', 'store 2 is not known'])
  })
})

describe('in one process', () => {
  it('goes the same way', async () => {
    const hub = new LoopbackHub(eventLoopScheduler)
    const from = hub.attach(1, new Observer())
    expect((await send(from))[0]).toBe('failed')
    const observer = new Observer()
    hub.attach(2, observer)
    expect((await send(from))[0]).toBe('failed')
    observer.onSnapshotOffer = () => answer
    expect(await send(from)).toEqual(['sent', ''])
    expect(sink.contents().map((bytes, i) => bytes.equals(files[i]!))).toEqual([true, true, true])
    answer = { busy: true, reason: 'later' }
    expect(await send(from)).toEqual(['busy', 'later'])
  })
})
