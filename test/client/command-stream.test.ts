import { EventEmitter } from 'node:events'
import type { ClientDuplexStream } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { Ring } from '../../src/base/ring.ts'
import { CommandStream } from '../../src/client/command-stream.ts'
import { type BatchCommand, readBatchRequest } from '../../src/protocol/batch-commands.ts'
import { ProtoReader } from '../../src/protocol/proto-reader.ts'
import { RawKind, RawRequest, setDeadline } from '../../src/protocol/raw.ts'

const sink = { respond: () => {} }

/** A stream whose messages are looked at, and whose answers are given by hand. */
class Wire extends EventEmitter {
  readonly messages: Buffer[] = []
  nowMs = 1_000
  readonly queue = new Ring<RawRequest>(4)
  readonly stream: CommandStream

  constructor() {
    super()
    const call = this as unknown as ClientDuplexStream<Buffer, Buffer>
    const clock = { monotonicMs: () => this.nowMs, wallMs: () => 0 }
    this.stream = new CommandStream(call, 16, clock, {
      onWritable: () => {
        if (this.queue.length > 0 && this.stream.writable) this.stream.writeFrom(this.queue)
      },
      onBroken: () => {},
    })
  }

  write(message: Buffer, done: () => void): void {
    this.messages.push(Buffer.from(message))
    done()
  }

  put(key: string, expiresAtMs: number): RawRequest {
    const request = new RawRequest(RawKind.Put, sink, 0)
    request.key = Buffer.from(key)
    request.value = Buffer.from('v')
    request.expiresAtMs = expiresAtMs
    this.queue.push(request)
    return request
  }

  /** 1000, in the field of the clock. */
  tellClock(): void {
    this.emit('data', Buffer.from('c03ee807', 'hex'))
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
  expect(wire.commands().map(({ key }) => key.toString())).toEqual(['a'])
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
  expect(wire.commands().map(({ key }) => key.toString())).toEqual(['wanted'])
  expect(gone.sent).toBe(false)
  expect(wanted.sent).toBe(true)

  wire.put('also gone', 3_000).dropped = true
  const before = wire.messages.length
  wire.stream.writeFrom(wire.queue)
  expect(wire.messages).toHaveLength(before)
})
