/**
 * The sending half of a store pair: a bounded queue in front of one TCP connection that is made on
 * demand and made again, later and later, when it fails.
 *
 *   idle ── send() ──▶ connecting ── accepted ──▶ open
 *    ▲                     │ failed                │ broke
 *    └── time is up, or ── backoff ◀───────────────┘
 *        the peer called
 *
 * INVARIANTS
 * - Messages leave in the order of send(), or not at all: what is queued when a link fails is
 *   dropped, since raft repairs a gap but must not wait for old messages.
 * - queued ≤ limits.queueMessagesMax and queueBytesMax; the socket holds at most one flush more than
 *   limits.socketBytesMax.
 * - onUnreachable is told once for each failed attempt or broken connection.
 */
import type { Socket } from 'node:net'
import { assert } from '../base/assert.ts'
import type { Random } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { FRAME_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { dial } from './dial.ts'
import { encodeFrame, envelopeBytes } from './envelope-codec.ts'
import type { Hello } from './handshake.ts'
import type { TransportLimits } from './limits.ts'
import type { AddressResolver, RaftEnvelope } from './port.ts'
import type { TransportStats } from './stats.ts'

/** Envelopes above this could make a frame that no reader takes; the rest is the array header. */
const ENVELOPE_BYTES_MAX = FRAME_BYTES_MAX - 64

export interface LinkContext {
  readonly limits: TransportLimits
  readonly resolve: AddressResolver
  readonly random: Random
  readonly logger: Logger
  readonly stats: TransportStats
  onUnreachable(storeId: StoreId): void
}

type State =
  | { readonly kind: 'idle' }
  | { readonly kind: 'connecting'; readonly abort: AbortController }
  | { readonly kind: 'open'; readonly socket: Socket }
  | { readonly kind: 'backoff'; readonly timer: NodeJS.Timeout }
  | { readonly kind: 'closed' }

export class OutboundLink {
  readonly #context: LinkContext
  readonly #hello: Hello
  readonly #storeId: StoreId
  #state: State = { kind: 'idle' }
  #queue: RaftEnvelope[] = []
  #queueBytes = 0
  /** Waits for the socket to drain. */
  #blocked = false
  /** A frame has left since the last sign of life was due. */
  #spoke = false
  #failures = 0
  /** Last failure that was logged as a warning: the same one is not logged again. */
  #warned = ''

  constructor(context: LinkContext, hello: Hello) {
    this.#context = context
    this.#hello = hello
    this.#storeId = hello.toStoreId
  }

  get queuedMessages(): number {
    return this.#queue.length
  }

  get queuedBytes(): number {
    return this.#queueBytes
  }

  get isOpen(): boolean {
    return this.#state.kind === 'open'
  }

  /** Takes the envelope, or answers false when there is no room or no link to hope for. */
  send(envelope: RaftEnvelope): boolean {
    const { limits, stats } = this.#context
    const bytes = envelopeBytes(envelope)
    const full =
      this.#queue.length >= limits.queueMessagesMax ||
      (this.#queue.length > 0 && this.#queueBytes + bytes > limits.queueBytesMax)
    if (full || bytes > ENVELOPE_BYTES_MAX || !this.#canQueue()) {
      stats.messagesDropped++
      return false
    }
    this.#queue.push(envelope)
    this.#queueBytes += bytes
    return true
  }

  flush(): void {
    if (this.#queue.length === 0) return
    const state = this.#state
    if (state.kind === 'idle') this.#connect()
    else if (state.kind === 'open' && !this.#blocked) this.#writeQueue(state.socket)
  }

  /** A sign of life is due: an empty frame, unless others have left. */
  stayAlive(): void {
    const state = this.#state
    if (state.kind === 'open' && !this.#spoke && !this.#blocked) {
      this.#writeFrame(state.socket, encodeFrame([], 0, 0), 0)
    }
    this.#spoke = false
  }

  /** The other side was heard of: it is worth trying again at once. */
  hurry(): void {
    if (this.#state.kind !== 'backoff') return
    clearTimeout(this.#state.timer)
    this.#failures = 0
    this.#state = { kind: 'idle' }
  }

  /** Writes what can be written, then ends the connection. */
  close(): Socket | undefined {
    const state = this.#state
    if (state.kind === 'open') this.flush()
    this.#state = { kind: 'closed' }
    this.#dropQueue()
    if (state.kind === 'backoff') clearTimeout(state.timer)
    if (state.kind === 'connecting') state.abort.abort()
    if (state.kind !== 'open') return undefined
    state.socket.end()
    return state.socket
  }

  #owns(socket: Socket): boolean {
    return this.#state.kind === 'open' && this.#state.socket === socket
  }

  #canQueue(): boolean {
    return this.#state.kind !== 'backoff' && this.#state.kind !== 'closed'
  }

  #writeQueue(socket: Socket): void {
    const queue = this.#queue
    const { limits } = this.#context
    let low = 0
    const one = this.#queueBytes <= limits.frameBytesTarget
    while (low < queue.length) {
      const high = one ? queue.length : frameEnd(queue, low, limits.frameBytesTarget)
      this.#writeFrame(socket, encodeFrame(queue, low, high), high - low)
      low = high
    }
    this.#queue = []
    this.#queueBytes = 0
    this.#blocked = socket.writableLength > limits.socketBytesMax
  }

  #writeFrame(socket: Socket, frame: Buffer, messages: number): void {
    const { stats } = this.#context
    socket.write(frame)
    this.#spoke = true
    stats.framesSent++
    stats.messagesSent += messages
    stats.bytesSent += frame.length
  }

  #connect(): void {
    assert(this.#state.kind === 'idle', 'a link is dialled only when it is idle')
    const abort = new AbortController()
    this.#state = { kind: 'connecting', abort }
    this.#dial(abort.signal).then(
      (socket) => this.#onOpen(socket, abort),
      (error: unknown) => {
        if (!abort.signal.aborted) this.#onFailure(error)
      },
    )
  }

  async #dial(signal: AbortSignal): Promise<Socket> {
    const address = await this.#context.resolve(this.#storeId)
    signal.throwIfAborted()
    return dial(address, this.#hello, this.#context.limits.handshakeTimeoutMs, signal)
  }

  #onOpen(socket: Socket, abort: AbortController): void {
    if (abort.signal.aborted) {
      socket.destroy()
      return
    }
    const { logger, stats } = this.#context
    this.#state = { kind: 'open', socket }
    this.#blocked = false
    this.#failures = 0
    this.#warned = ''
    stats.linksOpened++
    logger.info({ peerStoreId: this.#storeId }, 'link to store opened')
    this.#listenTo(socket)
    socket.resume()
    this.flush()
  }

  #listenTo(socket: Socket): void {
    socket.on('drain', () => this.#onDrain(socket))
    socket.on('data', () => socket.destroy(new Error('the peer sent data on a one-way link')))
    socket.setTimeout(this.#context.limits.stallTimeoutMs, () => this.#onQuiet(socket))
    let cause: unknown = new PolyraftError('Unavailable', 'the peer closed the link')
    socket.on('error', (error) => {
      cause = error
    })
    socket.on('close', () => {
      if (this.#owns(socket)) this.#onFailure(cause)
    })
  }

  #onDrain(socket: Socket): void {
    if (!this.#owns(socket)) return
    this.#blocked = false
    this.flush()
  }

  /** Silence is normal on an idle link, but not with bytes waiting to leave. */
  #onQuiet(socket: Socket): void {
    if (socket.writableLength === 0) return
    const waited = this.#context.limits.stallTimeoutMs
    socket.destroy(new Error(`the peer took no data for ${waited} ms`))
  }

  #onFailure(error: unknown): void {
    const delayMs = this.#nextDelayMs()
    const timer = setTimeout(() => {
      this.#state = { kind: 'idle' }
    }, delayMs)
    timer.unref()
    this.#state = { kind: 'backoff', timer }
    this.#dropQueue()
    this.#context.stats.linkFailures++
    this.#logFailure(errorMessage(error), delayMs)
    this.#context.onUnreachable(this.#storeId)
  }

  #logFailure(reason: string, retryInMs: number): void {
    const fields = { peerStoreId: this.#storeId, reason, retryInMs }
    if (reason === this.#warned) {
      this.#context.logger.debug(fields, 'no link to store')
      return
    }
    this.#warned = reason
    this.#context.logger.warn(fields, 'no link to store')
  }

  /** Doubles with each failure in a row; half of it is chance, so that stores do not dial in step. */
  #nextDelayMs(): number {
    const { backoffMs, backoffMsMax } = this.#context.limits
    const delay = Math.min(backoffMsMax, backoffMs * 2 ** Math.min(this.#failures, 20))
    this.#failures++
    return Math.ceil(delay / 2) + this.#context.random.below(Math.ceil(delay / 2) + 1)
  }

  #dropQueue(): void {
    this.#context.stats.messagesDropped += this.#queue.length
    this.#queue = []
    this.#queueBytes = 0
    this.#blocked = false
  }
}

/** End of a frame that begins at `low`: at least one envelope, else within the target. */
function frameEnd(queue: readonly RaftEnvelope[], low: number, bytesTarget: number): number {
  let high = low + 1
  let bytes = envelopeBytes(queue[low]!)
  while (high < queue.length) {
    bytes += envelopeBytes(queue[high]!)
    if (bytes > bytesTarget) break
    high++
  }
  return high
}
