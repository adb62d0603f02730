/** Clients that do not take the answers of their unary calls: what waits for them is bounded. */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { type RawRequest, SinkRoom } from '../../src/protocol/raw.ts'
import { encode } from '../protocol/kvproto.ts'
import { FakeStore, type RunningServer, startServer, until } from './fake-store.ts'

const MIB = 1024 * 1024
const WINDOW_BYTES = 64 * MIB

let store: FakeStore
let server: RunningServer
let sessions: ClientHttp2Session[]

beforeEach(async () => {
  store = new FakeStore()
  server = await startServer(store, {
    batchStreamLimits: { waitingBytesMax: 4 * MIB, backlogBytesMax: 5 * MIB },
  })
  sessions = []
})

afterEach(async () => {
  for (const session of sessions) session.destroy()
  await server.stop()
})

/** A connection whose calls take no answer until it is opened. */
async function connection(): Promise<ClientHttp2Session> {
  const session = connect(`http://${server.address}`, { settings: { initialWindowSize: 0 } })
  sessions.push(session)
  await new Promise((resolve) => session.once('remoteSettings', resolve))
  session.setLocalWindowSize(WINDOW_BYTES)
  return session
}

function open(session: ClientHttp2Session): void {
  session.settings({ initialWindowSize: WINDOW_BYTES })
}

/** A RawGet of the value that has the key's bytes, and the request as the store has it. */
async function get(
  session: ClientHttp2Session,
  key: string,
): Promise<{ call: ClientHttp2Stream; request: RawRequest }> {
  const call = session.request({
    ':method': 'POST',
    ':path': '/tikvpb.Tikv/RawGet',
    'content-type': 'application/grpc',
    te: 'trailers',
  })
  call.resume()
  const message = encode('RawGetRequest', { key: Buffer.from(key) })
  call.end(Buffer.concat([Buffer.from([0, 0, 0, 0, message.length]), message]))
  const count = store.held.length
  await until(() => store.held.length > count)
  return { call, request: store.held[count]! }
}

it('of one connection and of all together, as they are for streams', async () => {
  store.rows.set('3', Buffer.alloc(3 * MIB))
  store.rows.set('1', Buffer.alloc(MIB + 1))
  store.rows.set('0', Buffer.alloc(1024))
  store.holding = true
  const [one, two] = [await connection(), await connection()]
  const room = ({ request }: { request: RawRequest }) => request.sink.room!()
  const first = await get(one, '3')
  const other = await get(two, '1')
  const waiting = await get(one, '0')
  const free = await get(two, '0')
  expect([waiting, free].map(room)).toEqual([SinkRoom.Free, SinkRoom.Free])

  first.request.sink.respond(first.request, store.answer(first.request))
  expect([waiting, free].map(room)).toEqual([SinkRoom.Free, SinkRoom.Free])
  const second = await get(one, '1')
  second.request.sink.respond(second.request, store.answer(second.request))
  expect([waiting, free].map(room)).toEqual([SinkRoom.Full, SinkRoom.Free])
  other.request.sink.respond(other.request, store.answer(other.request))
  expect([waiting, free].map(room)).toEqual([SinkRoom.Full, SinkRoom.Full])

  open(one)
  await until(() => room(waiting) === SinkRoom.Free && room(free) === SinkRoom.Free)
  free.call.close()
  await until(() => room(free) === SinkRoom.Gone)
})

it('count until their client has them or is gone, and no longer', async () => {
  store.rows.set('3', Buffer.alloc(3 * MIB))
  store.holding = true
  const [one, two] = [await connection(), await connection()]
  open(two)
  for (let i = 0; i < 4; i++) {
    const { call, request } = await get(two, '3')
    request.sink.respond(request, store.answer(request))
    await new Promise((resolve) => call.once('close', resolve))
    const waiting = await get(two, '0')
    await until(() => waiting.request.sink.room!() === SinkRoom.Free)
  }
  const lost = [await get(one, '3'), await get(one, '3')]
  for (const { request } of lost) request.sink.respond(request, store.answer(request))
  const waiting = await get(one, '0')
  expect(waiting.request.sink.room!()).toBe(SinkRoom.Full)
  for (const { call } of lost) call.close()
  await until(() => waiting.request.sink.room!() === SinkRoom.Free)
})
