import { EventEmitter } from 'node:events'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import { describe, expect, test } from 'vitest'
import { MIB } from '../../src/base/limits.ts'
import { Ring } from '../../src/base/ring.ts'
import { CommandStream } from '../../src/client/command-stream.ts'
import {
  type BatchCommand,
  readBatchRequest,
  writeBatchIds,
  writeBatchResponseCommand,
} from '../../src/protocol/batch-commands.ts'
import { ProtoReader } from '../../src/protocol/proto-reader.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import { OK_RESPONSE, RawKind, RawRequest, setDeadline } from '../../src/protocol/raw.ts'

const sink = { respond: () => {} }

/** A stream whose messages are looked at, and whose answers are given by hand. */
class Wire extends EventEmitter {
  readonly messages: Buffer[] = []
  nowMs = 1_000
  readonly queue = new Ring<RawRequest>(4)
  readonly stream: CommandStream
  unanswered: RawRequest[] = []

  constructor() {
    super()
    const call = this as unknown as ClientDuplexStream<Buffer, Buffer>
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 }
    this.stream = new CommandStream(call, 16, clock, {
      onWritable: () => this.flush(),
      onBroken: (unanswered) => {
        this.unanswered = unanswered
      },
    })
  }

  cancel(): void {}

  flush(): void {
    while (this.queue.length > 0 && this.stream.writable) this.stream.writeFrom(this.queue)
  }

  write(message: Buffer, done: () => void): void {
    this.messages.push(Buffer.from(message))
    done()
  }

  put(key: string, expiresAtMs: number, value = Buffer.from('v')): RawRequest {
    const request = new RawRequest(RawKind.Put, sink, 0)
    request.key = Buffer.from(key)
    request.value = value
    request.expiresAtMs = expiresAtMs
    request.attemptMsMax = 2_000
    this.queue.push(request)
    return request
  }

  /** 1000, in the field of the clock. */
  tellClock(): void {
    this.emit('data', Buffer.from('c03ee807', 'hex'))
  }

  /** To the command of this id, in an answer to a put. */
  answer(id: number): void {
    const writer = new ProtoWriter()
    writeBatchResponseCommand(writer, RawKind.Put, OK_RESPONSE)
    writeBatchIds(writer, [id])
    this.emit('data', Buffer.from(writer.view()))
  }

  keys(): string[] {
    return this.commands().map(({ key }) => key.toString())
  }

  commands(): RawRequest[] {
    const all: BatchCommand[] = []
    for (const message of this.messages) {
      all.push(...readBatchRequest(new ProtoReader(message), sink).commands)
    }
    return all as RawRequest[]
  }
}

test('nothing leaves before the store has told its clock', () => {
  const wire = new Wire()
  const request = wire.put('a', 3_000)
  expect(wire.stream.writable).toBe(false)
  expect(wire.messages).toHaveLength(1)
  expect(readBatchRequest(new ProtoReader(wire.messages[0]!), sink)).toEqual({
    commands: [],
    asksClock: true,
  })
  wire.tellClock()
  expect(wire.keys()).toEqual(['a'])
  expect(request.sent).toBe(true)
})

test('a request has the time that is left to it, from the moment at which it leaves', () => {
  const wire = new Wire()
  wire.tellClock()
  // It waited in the queue for 1.5 of its 2 seconds.
  wire.put('a', 3_000)
  wire.nowMs = 2_500
  wire.stream.writeFrom(wire.queue)
  const [request] = wire.commands()
  expect(request!.durationMsMax).toBe(500)
  // The store's clock then: told 1000 at 1000, and it may be a little slow.
  expect(request!.sentAfterMs).toBe(2_498)
  setDeadline(request!, 9_000)
  expect(request!.deadlineMs).toBe(2_998)
  // A clock that cannot be is not believed.
  setDeadline(request!, 2_000)
  expect(request!.deadlineMs).toBe(2_500)
})

test('a request that nobody waits for any more is not written', () => {
  const wire = new Wire()
  wire.tellClock()
  const [gone, wanted] = [wire.put('gone', 3_000), wire.put('wanted', 3_000)]
  gone.dropped = true
  wire.stream.writeFrom(wire.queue)
  expect(wire.keys()).toEqual(['wanted'])
  expect(gone.sent).toBe(false)
  expect(wanted.sent).toBe(true)

  wire.put('also gone', 3_000).dropped = true
  const before = wire.messages.length
  wire.stream.writeFrom(wire.queue)
  expect(wire.messages).toHaveLength(before)
})

describe('large requests', () => {
  const large = Buffer.alloc(3 * MIB)

  test('are under way a few at a time, and the next leaves when one is answered', () => {
    const wire = new Wire()
    wire.tellClock()
    for (const key of ['a', 'b', 'c', 'd', 'e']) wire.put(key, 60_000, large)
    wire.flush()
    // The third begins below the limit of 8 MiB.
    expect(wire.keys()).toEqual(['a', 'b', 'c'])
    expect(wire.stream.bytesUnderWay).toBeGreaterThan(9 * MIB)
    wire.answer(0)
    expect(wire.keys()).toEqual(['a', 'b', 'c', 'd'])
    wire.answer(2)
    wire.answer(1)
    expect(wire.keys()).toEqual(['a', 'b', 'c', 'd', 'e'])
  })

  test('give way when nobody waits for them any more, once', () => {
    const wire = new Wire()
    wire.tellClock()
    const [a, b] = ['a', 'b', 'c', 'd'].map((key) => wire.put(key, 60_000, large))
    wire.flush()
    expect(wire.keys()).toEqual(['a', 'b', 'c'])
    wire.stream.giveUp(a!)
    expect(wire.keys()).toEqual(['a', 'b', 'c', 'd'])
    const before = wire.stream.bytesUnderWay
    wire.stream.giveUp(a!)
    wire.answer(0)
    expect(wire.stream.bytesUnderWay).toBe(before)
    wire.stream.giveUp(b!)
    expect(wire.stream.bytesUnderWay).toBeLessThan(before - 3 * MIB)
  })

  test('have time for what is before them', () => {
    const wire = new Wire()
    wire.tellClock()
    const [small, first, second] = [
      wire.put('small', 60_000),
      wire.put('first', 60_000, large),
      wire.put('second', 60_000, large),
    ]
    wire.nowMs = 5_000
    wire.flush()
    expect(small.expiresAtMs).toBeCloseTo(7_000, -1)
    // 3 and 6 MiB at 4 MiB a second.
    expect(first.expiresAtMs).toBeCloseTo(7_750, -1)
    expect(second.expiresAtMs).toBeCloseTo(8_500, -1)
    expect(second.durationMsMax).toBe(Math.ceil(second.expiresAtMs - 5_000))
  })

  test('count no more when the stream breaks', async () => {
    const wire = new Wire()
    wire.tellClock()
    const request = wire.put('a', 60_000, large)
    wire.flush()
    wire.emit('error', new Error('broken'))
    expect(wire.unanswered).toEqual([request])
    expect(wire.stream.bytesUnderWay).toBe(0)
    wire.stream.giveUp(request)
    expect(wire.stream.bytesUnderWay).toBe(0)
  })
})
