/**
 * Frames over a socket for those who await them: one at a time in, back-pressure out.
 *
 * INVARIANTS
 * - The socket is read only while somebody waits for a frame: what is not wanted stays with the
 *   sender.
 * - A socket that breaks, or is quiet for too long while somebody waits, fails every wait.
 * - Bytes that are no frame close the socket and fail every wait, and do nothing else.
 */
import type { Socket } from 'node:net'
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { FRAME_HEADER_BYTES, frameOf, sealFrame } from './frame.ts'
import { FrameAssembler } from './frame-assembler.ts'

/** Bytes that the socket may hold before a sender waits. */
const SOCKET_BYTES_MAX = 4 * 1024 * 1024

interface Waiter<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
}

export class FrameChannel {
  readonly #socket: Socket
  readonly #reader: FrameAssembler
  readonly #timeoutMs: number
  #receiver: Waiter<Buffer> | undefined = undefined
  #sender: Waiter<void> | undefined = undefined
  #timer: NodeJS.Timeout | undefined = undefined
  #error: Error | undefined = undefined

  /** The socket must be paused and without listeners. */
  constructor(socket: Socket, payloadBytesMax: number, timeoutMs: number) {
    this.#socket = socket
    this.#reader = new FrameAssembler(payloadBytesMax)
    this.#timeoutMs = timeoutMs
    socket.on('data', (chunk) => this.#onData(chunk as Buffer))
    socket.on('drain', () => this.#settle(this.#sender, undefined))
    socket.on('error', (error) => this.#fail(error))
    socket.on('close', () => this.#fail(new PolyraftError('Unavailable', 'the link was closed')))
    socket.pause()
  }

  /** The next frame's payload. Rejects when none comes for `timeoutMs` (default: the channel's). */
  receive(timeoutMs = this.#timeoutMs): Promise<Buffer> {
    assert(this.#receiver === undefined, 'one waits for a frame at a time')
    return new Promise((resolve, reject) => {
      this.#receiver = { resolve, reject }
      this.#wait(timeoutMs)
      if (!this.#tryReceive()) this.#socket.resume()
    })
  }

  /**
   * Resolves when another frame may be sent. `headroomBytes` in front of the payload are the
   * channel's: enough of them, and nothing is copied.
   */
  send(payload: Uint8Array, headroomBytes = 0): Promise<void> {
    assert(this.#sender === undefined, 'one sends at a time')
    if (this.#error !== undefined) return Promise.reject(this.#error)
    this.#socket.write(
      headroomBytes >= FRAME_HEADER_BYTES ? frameInPlace(payload) : frameOf(payload),
    )
    if (this.#socket.writableLength <= SOCKET_BYTES_MAX) return Promise.resolve()
    return new Promise((resolve, reject) => {
      this.#sender = { resolve, reject }
      this.#wait(this.#timeoutMs)
    })
  }

  /** Lets what was sent leave, then closes. */
  end(): void {
    this.#fail(new PolyraftError('Closed', 'the link was closed here'), false)
    this.#socket.end(() => this.#socket.destroy())
  }

  destroy(): void {
    this.#fail(new PolyraftError('Closed', 'the link was closed here'))
  }

  #wait(timeoutMs: number): void {
    clearTimeout(this.#timer)
    if (this.#error !== undefined) {
      this.#fail(this.#error)
      return
    }
    this.#timer = setTimeout(() => {
      this.#fail(new PolyraftError('Timeout', `nothing moved on the link for ${timeoutMs} ms`))
    }, timeoutMs)
  }

  #onData(chunk: Buffer): void {
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.#fail(error as Error)
      return
    }
    if (this.#receiver === undefined || this.#tryReceive()) this.#socket.pause()
    else this.#timer?.refresh()
  }

  /** True when nobody waits any more. */
  #tryReceive(): boolean {
    if (this.#receiver === undefined) return true
    try {
      const payload = this.#reader.next()
      if (payload === undefined) return false
      this.#settle(this.#receiver, payload)
    } catch (error) {
      this.#fail(error as Error)
    }
    return true
  }

  #settle<T>(waiter: Waiter<T> | undefined, value: T): void {
    if (waiter === undefined) return
    clearTimeout(this.#timer)
    if ((waiter as unknown) === this.#receiver) this.#receiver = undefined
    else this.#sender = undefined
    waiter.resolve(value)
  }

  #fail(error: Error, destroy = true): void {
    this.#error ??= error
    clearTimeout(this.#timer)
    const waiters = [this.#receiver, this.#sender]
    this.#receiver = undefined
    this.#sender = undefined
    for (const waiter of waiters) waiter?.reject(this.#error)
    if (destroy) this.#socket.destroy()
  }
}

function frameInPlace({ buffer, byteOffset, length }: Uint8Array): Buffer {
  const frame = Buffer.from(buffer, byteOffset - FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + length)
  return sealFrame(frame)
}
