/** The channel over a stream that stands in for a socket: what it does with what comes. */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { beforeEach, describe, expect, it } from 'vitest'
import { frameOf } from '../../src/transport/frame.ts'
import { FrameChannel } from '../../src/transport/frame-channel.ts'

const TIMEOUT_MS = 2000

let socket: Duplex
let channel: FrameChannel

beforeEach(() => {
  socket = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
  channel = new FrameChannel(socket as Socket, 100, TIMEOUT_MS)
})

const cases: [string, Buffer][] = [
  ['a length beyond the limit', Buffer.from([0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0])],
  ['a length just beyond the limit', frameOf(Buffer.alloc(101))],
  ['a wrong checksum', Buffer.from([1, 0, 0, 0, 1, 2, 3, 4, 9])],
]

describe.each(cases)('%s', (_what, bytes) => {
  it('fails who waits, and closes', async () => {
    const received = channel.receive()
    socket.push(bytes)
    await expect(received).rejects.toMatchObject({ code: 'Corruption' })
    expect(socket.destroyed).toBe(true)
  })

  it('fails who waits next, when nobody did', async () => {
    const first = channel.receive()
    socket.push(Buffer.concat([frameOf(Buffer.from('good')), bytes]))
    expect((await first).toString()).toBe('good')
    await expect(channel.receive()).rejects.toMatchObject({ code: 'Corruption' })
    expect(socket.destroyed).toBe(true)
  })

  it('fails what is sent afterwards', async () => {
    const received = channel.receive()
    socket.push(bytes)
    await expect(received).rejects.toThrow()
    await expect(channel.send(Buffer.from('late'))).rejects.toMatchObject({ code: 'Corruption' })
  })
})

it('a frame that came apart is one frame', async () => {
  const frame = frameOf(Buffer.from('payload'))
  const received = channel.receive()
  for (const byte of frame) socket.push(Buffer.from([byte]))
  expect((await received).toString()).toBe('payload')
  channel.destroy()
})
