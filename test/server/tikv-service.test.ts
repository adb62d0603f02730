import {
  Client,
  type ClientDuplexStream,
  credentials,
  Metadata,
  type ServiceError,
  type StatusObject,
  status,
} from '@grpc/grpc-js'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ENTRY_BYTES_MAX, GET_BYTES_MAX } from '../../src/base/limits.ts'
import { machineClock } from '../../src/base/node-clock.ts'
import { writeBatchGreeting } from '../../src/protocol/batch-commands.ts'
import { ProtoWriter } from '../../src/protocol/proto-writer.ts'
import { SinkRoom } from '../../src/protocol/raw.ts'
import {
  type BatchStreamLimits,
  DEFAULT_BATCH_STREAM_LIMITS,
} from '../../src/server/batch-stream.ts'
import { decode, encode, type Fields } from '../protocol/kvproto.ts'
import { FakeStore, type RunningServer, startServer, turns, until } from './fake-store.ts'

const same = (bytes: Buffer): Buffer => bytes
const bytes = (text: string): Buffer => Buffer.from(text)

let store: FakeStore
let server: RunningServer
let client: Client

async function start(limits: Partial<BatchStreamLimits> = {}, clock = machineClock): Promise<void> {
  store = new FakeStore()
  server = await startServer(store, { batchStreamLimits: limits, clock })
  client = new Client(server.address, credentials.createInsecure(), {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  })
}

afterEach(async () => {
  client.close()
  await server.stop()
})

function unaryBytes(method: string, request: Buffer): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    client.makeUnaryRequest(`/tikvpb.Tikv/${method}`, same, same, request, (error, answer) => {
      if (error) reject(error)
      else resolve(answer!)
    })
  })
}

async function unary(method: string, request: Fields): Promise<Fields> {
  return decode(`${method}Response`, await unaryBytes(method, encode(`${method}Request`, request)))
}

async function statusOf(answer: Promise<unknown>): Promise<{ code: status; details: string }> {
  const error = (await answer.then(
    () => undefined,
    (failure: unknown) => failure,
  )) as ServiceError
  return { code: error.code, details: error.details }
}

/** A stream with what came back on it. */
class Stream {
  readonly call: ClientDuplexStream<Buffer, Buffer>
  readonly answers = new Map<number, Fields>()
  messages = 0
  end: StatusObject | undefined

  constructor() {
    const path = '/tikvpb.Tikv/BatchCommands'
    this.call = client.makeBidiStreamRequest(path, same, same, new Metadata(), {})
    this.call.on('data', (message: Buffer) => this.#onMessage(message))
    this.call.on('error', () => undefined) // told by 'status' too
    this.call.on('status', (end: StatusObject) => {
      this.end = end
    })
  }

  send(commands: Record<number, Fields>): void {
    const requests = Object.values(commands)
    const request_ids = Object.keys(commands).map(Number)
    this.call.write(encode('BatchCommandsRequest', { requests, request_ids }))
  }

  async answer(id: number): Promise<Fields> {
    await until(() => this.answers.has(id) || this.end !== undefined)
    return this.answers.get(id)!
  }

  async ended(): Promise<StatusObject> {
    await until(() => this.end !== undefined)
    return this.end!
  }

  #onMessage(message: Buffer): void {
    this.messages++
    const batch = decode('BatchCommandsResponse', message)
    const ids = (batch.request_ids ?? []) as number[]
    const responses = batch.responses as Fields[]
    ids.forEach((id, i) => {
      expect(this.answers.has(id)).toBe(false)
      this.answers.set(id, responses[i]!)
    })
  }
}

describe('unary calls', () => {
  beforeEach(() => start())

  it('put, get and delete', async () => {
    const key = bytes('k')
    expect(await unary('RawGet', { key })).toEqual({ not_found: true })
    expect(await unary('RawPut', { key, value: bytes('v') })).toEqual({})
    expect(await unary('RawGet', { key })).toEqual({ value: bytes('v') })
    expect(await unary('RawDelete', { key })).toEqual({})
    expect(await unary('RawGet', { key })).toEqual({ not_found: true })
  })

  it('work on many keys', async () => {
    const pairs = ['a', 'b', 'c'].map((key) => ({ key: bytes(key), value: bytes(key + key) }))
    const keys = [bytes('c'), bytes('x'), bytes('a')]
    expect(await unary('RawBatchPut', { pairs })).toEqual({})
    expect(await unary('RawBatchGet', { keys })).toEqual({ pairs: [pairs[2], pairs[0]] })
    expect(await unary('RawScan', { start_key: bytes('b'), limit: 9 })).toEqual({
      kvs: [pairs[1], pairs[2]],
    })
    expect(await unary('RawBatchDelete', { keys })).toEqual({})
    expect(await unary('RawScan', { limit: 9 })).toEqual({ kvs: [pairs[1]] })
  })

  it('say what is wrong before the store sees it', async () => {
    expect(await unary('RawGet', {})).toEqual({ error: 'key is empty' })
    const put = { key: bytes('k'), ttl: 5 }
    expect(await unary('RawPut', put)).toEqual({
      error: 'TTL is not supported by this server version',
    })
    const context = { api_version: 2 }
    expect((await unary('RawDelete', { context, key: bytes('k') })).error).toMatch(/API version 2/)
    const reversed = { start_key: bytes('b'), end_key: bytes('a') }
    expect((await statusOf(unary('RawScan', reversed))).code).toBe(status.INVALID_ARGUMENT)
    expect(await statusOf(unary('RawBatchGet', { keys: [bytes('')] }))).toEqual({
      code: status.INVALID_ARGUMENT,
      details: 'key is empty',
    })
    expect(store.executed).toBe(0)
  })

  it('with a name too long for a header are refused all the same, and others go on', async () => {
    const cf = '\u{1f600}'.repeat(100_000)
    for (const start of ['', 'x']) {
      expect(await statusOf(unary('RawScan', { limit: 1, cf: start + cf }))).toMatchObject({
        code: status.INVALID_ARGUMENT,
        details: expect.stringMatching(/^column family ".{30,70}…" does not exist/u),
      })
    }
    expect(await unary('RawGet', { key: bytes('k') })).toEqual({ not_found: true })
  })

  it('for another cluster are refused, and change nothing', async () => {
    const put = { key: bytes('k'), value: bytes('v') }
    for (const method of ['RawPut', 'RawScan']) {
      const answer = unary(method, { ...(method === 'RawPut' && put), context: { cluster_id: 2 } })
      expect(await statusOf(answer)).toEqual({
        code: status.INVALID_ARGUMENT,
        details: 'the request is for cluster 2, this store belongs to cluster 1',
      })
    }
    expect(store.rows.size).toBe(0)
    expect(await unary('RawPut', { ...put, context: { cluster_id: 1 } })).toEqual({})
    expect(store.rows.size).toBe(1)
  })

  const varint = (value: bigint): number[] =>
    value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]
  /** A RawGet of the key k whose context has a field of that value. */
  const getWithin = (field: number, value: bigint): Buffer => {
    const context = [...varint(BigInt(field * 8)), ...varint(value)]
    return Buffer.from([0x0a, context.length, ...context, 0x12, 1, 0x6b])
  }

  it('for a cluster whose id no number holds are for another cluster all the same', async () => {
    const answer = statusOf(unaryBytes('RawGet', getWithin(35, 7_000_000_000_000_000_000n)))
    expect(await answer).toEqual({
      code: status.INVALID_ARGUMENT,
      details: 'the request is for cluster 7000000000000000000, this store belongs to cluster 1',
    })
  })

  it('with a term or a time limit that no number holds are run', async () => {
    for (const field of [5, 14]) {
      const answer = await unaryBytes('RawGet', getWithin(field, 2n ** 64n - 1n))
      expect(decode('RawGetResponse', answer)).toEqual({ not_found: true })
    }
    // An id is exact, or it is none.
    const id = await statusOf(unaryBytes('RawGet', getWithin(1, 2n ** 53n)))
    expect(id.details).toMatch(/a number above 2\^53-1$/)
  })

  it('that are malformed are invalid arguments', async () => {
    const answer = await statusOf(unaryBytes('RawGet', Buffer.from('120561', 'hex')))
    expect(answer.code).toBe(status.INVALID_ARGUMENT)
    expect(answer.details).toMatch(/^malformed message at byte 1: /)
  })

  it.each(['RawDeleteRange', 'RawCompareAndSwap', 'RawGetKeyTTL', 'RawCoprocessor'])(
    '%s: the answer itself says that it is not supported, for UNIMPLEMENTED is retried',
    async (method) => {
      const error = `${method} is not supported by this server version`
      const answer = await unaryBytes(method, Buffer.alloc(0))
      expect(answer).toEqual(Buffer.concat([Buffer.from([0x12, error.length]), bytes(error)]))
    },
  )

  it('of other methods are not implemented', async () => {
    const answer = await statusOf(unaryBytes('RawChecksum', Buffer.alloc(0)))
    expect(answer.code).toBe(status.UNIMPLEMENTED)
  })
})

describe('a stream of commands', () => {
  beforeEach(() => start())

  it('answers every kind', async () => {
    const stream = new Stream()
    const pair = { key: bytes('p'), value: bytes('q') }
    stream.send({
      1: { RawPut: { key: bytes('k'), value: bytes('v') } },
      2: { RawBatchPut: { pairs: [pair] } },
      3: { RawGet: { key: bytes('k') } },
      4: { RawScan: { limit: 1 } },
      5: { RawBatchGet: { keys: [bytes('p')] } },
      6: { RawBatchDelete: { keys: [bytes('p')] } },
      7: { RawDelete: { key: bytes('k') } },
      8: { RawGet: { key: bytes('k') } },
    })
    await stream.answer(8)
    expect(Object.fromEntries(stream.answers)).toEqual({
      1: { RawPut: {} },
      2: { RawBatchPut: {} },
      3: { RawGet: { value: bytes('v') } },
      4: { RawScan: { kvs: [{ key: bytes('k'), value: bytes('v') }] } },
      5: { RawBatchGet: { pairs: [pair] } },
      6: { RawBatchDelete: {} },
      7: { RawDelete: {} },
      8: { RawGet: { not_found: true } },
    })
    expect(stream.messages).toBe(1)
    stream.call.end()
    expect((await stream.ended()).code).toBe(status.OK)
    expect(server.service.streamCount()).toBe(0)
  })

  it('goes on after commands that are not supported, invalid or empty', async () => {
    const stream = new Stream()
    stream.send({
      1: { Get: { version: 1 } },
      2: { RawDeleteRange: {} },
      3: { RawScan: { start_key: bytes('b'), end_key: bytes('a') } },
      4: { RawPut: {} },
      5: { Empty: { test_id: 9 } },
    })
    await stream.answer(5)
    expect(Object.fromEntries(stream.answers)).toEqual({
      1: {
        Get: { region_error: { message: 'command 1 is not supported by this server version' } },
      },
      2: { RawDeleteRange: { error: 'RawDeleteRange is not supported by this server version' } },
      3: { RawScan: { region_error: { message: expect.stringMatching(/wrong way round/) } } },
      4: { RawPut: { error: 'key is empty' } },
      5: { Empty: { test_id: 9 } },
    })
    stream.send({ 6: { RawGet: { key: bytes('k') } } })
    expect(await stream.answer(6)).toEqual({ RawGet: { not_found: true } })
    expect(store.executed).toBe(1)
  })

  it('ends when a command is for another cluster, without executing it', async () => {
    const stream = new Stream()
    const put = { key: bytes('k'), value: bytes('v') }
    stream.send({ 1: { RawPut: { ...put, context: { cluster_id: 1 } } } })
    expect(await stream.answer(1)).toEqual({ RawPut: {} })
    stream.send({ 2: { RawPut: { ...put, key: bytes('other'), context: { cluster_id: 2 } } } })
    const end = await stream.ended()
    expect(end.code).toBe(status.INVALID_ARGUMENT)
    expect(end.details).toContain('for cluster 2')
    expect([...store.rows.keys()]).toEqual(['k'])
  })

  it('ends when a message holds more commands than may run, without executing one', async () => {
    const stream = new Stream()
    const command = Buffer.from('0a026a00', 'hex')
    const count = DEFAULT_BATCH_STREAM_LIMITS.commandsMax + 1
    const ids = Buffer.concat([Buffer.from('128180', 'hex'), Buffer.from([1]), Buffer.alloc(count)])
    stream.call.write(Buffer.concat([Buffer.alloc(command.length * count, command), ids]))
    const end = await stream.ended()
    expect(end).toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: 'a message holds more than 16384 commands: send fewer at once',
    })
    expect(store.executed).toBe(0)
  })

  it('ends when the frame of a message is malformed', async () => {
    const stream = new Stream()
    stream.call.write(Buffer.from('0aff', 'hex'))
    const end = await stream.ended()
    expect(end.code).toBe(status.INVALID_ARGUMENT)
    expect(end.details).toMatch(/^malformed message at byte 1: /)
    await until(() => server.service.streamCount() === 0)
  })

  it('that is cancelled drops its late answers', async () => {
    store.holding = true
    const stream = new Stream()
    stream.send({ 1: { RawPut: { key: bytes('k'), value: bytes('v') } } })
    await until(() => store.held.length === 1)
    stream.call.cancel()
    await until(() => server.service.streamCount() === 0)
    store.release()
    expect((await stream.ended()).code).toBe(status.CANCELLED)
    const next = new Stream()
    next.send({ 1: { RawGet: { key: bytes('k') } } })
    expect(await next.answer(1)).toEqual({ RawGet: { value: bytes('v') } })
  })

  it('is answered in full when the client has closed its half', async () => {
    store.holding = true
    const stream = new Stream()
    stream.send({ 1: { RawPut: { key: bytes('k') } }, 2: { RawPut: { key: bytes('l') } } })
    stream.call.end()
    await until(() => store.held.length === 2)
    await turns(20)
    expect(stream.end).toBeUndefined()
    store.release()
    expect((await stream.ended()).code).toBe(status.OK)
    expect(stream.answers.size).toBe(2)
  })

  it('stops when the store does, behind the answers that it owes', async () => {
    store.holding = true
    const stream = new Stream()
    stream.send({ 1: { RawPut: { key: bytes('k') } } })
    await until(() => store.held.length === 1)
    server.service.stopStreams()
    store.release()
    expect(await stream.ended()).toMatchObject({
      code: status.UNAVAILABLE,
      details: 'the store is stopping',
    })
    expect([...stream.answers.keys()]).toEqual([1])
  })
})

describe('a machine that was suspended', () => {
  let wallMs: number

  beforeEach(async () => {
    wallMs = 1_700_000_000_000
    await start({}, { monotonicMs: () => 5_000, wallMs: () => wallMs })
  })

  it('runs nothing that expires by the clock that it told before', async () => {
    const stream = new Stream()
    const greeting = new ProtoWriter()
    writeBatchGreeting(greeting)
    stream.call.write(Buffer.from(greeting.view()))
    stream.send({ 1: { RawPut: { key: bytes('k'), value: bytes('v2') } } })
    await stream.answer(1)
    // By its client's clock it has expired, and what was sent in its place was overwritten.
    wallMs += 10_000
    stream.send({ 2: { RawPut: { key: bytes('k'), value: bytes('v1') } }, 3: { Empty: {} } })
    const refused = { RawPut: { region_error: { server_is_busy: {} } } }
    expect(await stream.answer(2)).toMatchObject(refused)
    expect(await stream.ended()).toMatchObject({ code: status.UNAVAILABLE })
    expect(stream.answers.size).toBe(3)
    expect(store.executed).toBe(1)
  })

  it('goes on with clients that were told none', async () => {
    const stream = new Stream()
    stream.send({ 1: { RawPut: { key: bytes('k'), value: bytes('v') } } })
    await stream.answer(1)
    wallMs += 10_000
    stream.send({ 2: { RawGet: { key: bytes('k') } } })
    expect(await stream.answer(2)).toEqual({ RawGet: { value: bytes('v') } })
  })
})

describe('back-pressure', () => {
  it('bounds the commands that run', async () => {
    await start({ commandsMax: 8 })
    store.holding = true
    const stream = new Stream()
    for (let id = 0; id < 100; id++) {
      stream.send({
        [id * 2]: { RawGet: { key: bytes('k') } },
        [id * 2 + 1]: { RawGet: { key: bytes('k') } },
      })
    }
    await until(() => store.held.length >= 8)
    await turns(200)
    // gRPC keeps one message that it has read already.
    expect(store.held.length).toBeLessThanOrEqual(10)
    store.release()
    await until(() => stream.answers.size === 200)
  })

  it('bounds the answers that wait for a client that does not read', async () => {
    await start({ waitingBytesMax: 1024 * 1024 })
    store.rows.set('k', Buffer.alloc(256 * 1024, 1))
    const stream = new Stream()
    stream.call.pause()
    for (let id = 0; id < 200; id++) stream.send({ [id]: { RawGet: { key: bytes('k') } } })
    await until(() => store.executed >= 4)
    await turns(500)
    expect(store.executed).toBeLessThan(50)
    stream.call.resume()
    await until(() => stream.answers.size === 200)
    expect(store.executed).toBe(200)
  })

  it('tells the store that a client has enough to take, or is gone', async () => {
    await start({ waitingBytesMax: 1024 * 1024 })
    store.rows.set('k', Buffer.alloc(8 * 1024 * 1024, 1))
    store.holding = true
    const stream = new Stream()
    stream.call.pause()
    stream.send({ 1: { RawGet: { key: bytes('k') } } })
    stream.send({ 2: { RawGet: { key: bytes('k') } } })
    await until(() => store.held.length === 2)
    const { sink } = store.held[0]!
    expect(sink.room!()).toBe(SinkRoom.Free)
    store.release()
    expect(sink.room!()).toBe(SinkRoom.Full)
    await turns(100)
    expect(sink.room!()).toBe(SinkRoom.Full)
    stream.call.resume()
    await until(() => stream.answers.size === 2)
    await until(() => sink.room!() === SinkRoom.Free)
    stream.call.cancel()
    await until(() => sink.room!() === SinkRoom.Gone)
  })

  it('bounds what waits for all clients together', async () => {
    await start({ backlogBytesMax: 4 * 1024 * 1024 })
    store.rows.set('large', Buffer.alloc(8 * 1024 * 1024, 1))
    store.rows.set('small', Buffer.alloc(1024 * 1024, 1))
    store.holding = true
    const streams = ['large', 'small', 'none'].map((key, id) => {
      const stream = new Stream()
      stream.call.pause()
      stream.send({ [id]: { RawGet: { key: bytes(key) } } })
      return stream
    })
    await until(() => store.held.length === 3)
    const sinkOf = (key: string) => store.held.find((each) => each.key.toString() === key)!.sink
    const [large, small, none] = [sinkOf('large'), sinkOf('small'), sinkOf('none')]
    store.release()
    const rooms = () => [large, small, none].map((sink) => sink.room!())
    expect(rooms()).toEqual([SinkRoom.Full, SinkRoom.Full, SinkRoom.Free])
    streams[0]!.call.cancel()
    await until(() => large.room!() === SinkRoom.Gone)
    expect(rooms()).toEqual([SinkRoom.Gone, SinkRoom.Free, SinkRoom.Free])
    streams[1]!.call.resume()
    await until(() => streams[1]!.answers.size === 1)
  })

  it('the largest answer leaves, and others in front of it', async () => {
    await start()
    const key = bytes('k')
    store.rows.set('k', Buffer.alloc(ENTRY_BYTES_MAX - 1024, 1))
    store.rows.set('small', Buffer.alloc(1000 * 1024, 1))
    const keys = Array.from({ length: GET_BYTES_MAX / ENTRY_BYTES_MAX }, () => key)
    const stream = new Stream()
    stream.send({ 1: { RawGet: { key: bytes('small') } }, 2: { RawBatchGet: { keys } } })
    await until(() => stream.answers.size === 2)
    expect(stream.messages).toBe(1)
  })

  it('cuts answers into messages', async () => {
    await start({ messageBytesMax: 64 * 1024 })
    store.rows.set('k', Buffer.alloc(40 * 1024, 1))
    const stream = new Stream()
    const gets = Array.from({ length: 20 }, (_, id) => [id, { RawGet: { key: bytes('k') } }])
    stream.send(Object.fromEntries(gets))
    await until(() => stream.answers.size === 20)
    expect(stream.messages).toBe(10)
  })
})
