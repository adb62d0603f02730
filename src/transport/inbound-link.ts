/**
 * The receiving half of a store pair: one accepted connection. It judges the hello, then hands each
 * frame's envelopes on.
 *
 * INVARIANT: nothing that arrives can do more than close this one connection.
 */
import type { Socket } from 'node:net'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { ClusterId, StoreId } from '../base/ids.ts'
import { FRAME_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { decodeEnvelopes } from './envelope-codec.ts'
import { FrameReader, frameOf } from './frame.ts'
import {
  type Answer,
  decodeHello,
  encodeAnswer,
  HANDSHAKE_BYTES_MAX,
  isSnapshotHello,
  judgeHello,
  Verdict,
} from './handshake.ts'
import type { RaftEnvelope } from './port.ts'
import type { TransportStats } from './stats.ts'

export interface InboundContext {
  readonly clusterId: ClusterId
  readonly storeId: StoreId
  readonly handshakeTimeoutMs: number
  readonly silentTimeoutMs: number
  readonly logger: Logger
  readonly stats: TransportStats
  onAccepted(link: InboundLink): void
  /** A frame came, be it empty. */
  onHeard(storeId: StoreId): void
  onMessages(envelopes: RaftEnvelope[]): void
  /** The link is for a snapshot: the socket, behind an accepted handshake, is the receiver's. */
  onSnapshotLink(socket: Socket): void
  onClosed(link: InboundLink): void
}

export class InboundLink {
  /** Zero until the handshake is accepted. */
  fromStoreId: StoreId = 0
  readonly #context: InboundContext
  readonly #socket: Socket
  readonly #remote: string
  readonly #reader = new FrameReader(HANDSHAKE_BYTES_MAX)
  readonly #handshakeTimer: NodeJS.Timeout
  #handedOver = false

  constructor(context: InboundContext, socket: Socket) {
    this.#context = context
    this.#socket = socket
    this.#remote = `${socket.remoteAddress}:${socket.remotePort}`
    this.#handshakeTimer = setTimeout(() => {
      this.#closeCorrupt(new PolyraftError('Corruption', 'no hello in time'))
    }, context.handshakeTimeoutMs)
    socket.setNoDelay(true)
    socket.on('data', (chunk) => this.#onData(chunk as Buffer))
    // 'close' follows and tells all there is to tell.
    socket.on('error', () => {})
    socket.on('close', () => this.#onClose())
  }

  close(): void {
    this.#socket.destroy()
  }

  #onData(chunk: Buffer): void {
    this.#context.stats.bytesReceived += chunk.length
    this.#reader.push(chunk)
    while (!this.#socket.destroyed && !this.#handedOver) {
      const payload = this.#guard(() => this.#reader.next())
      if (payload === undefined) return
      if (this.fromStoreId === 0) this.#guard(() => this.#onHello(payload))
      else this.#onBatch(payload)
    }
  }

  /** Runs a decoder; what it throws closes the link, and the answer is undefined. */
  #guard<T>(decode: () => T): T | undefined {
    try {
      return decode()
    } catch (error) {
      if (!(error instanceof PolyraftError)) throw error
      this.#closeCorrupt(error)
      return undefined
    }
  }

  #onHello(payload: Buffer): void {
    const hello = decodeHello(payload)
    const answer = judgeHello(hello, this.#context.clusterId, this.#context.storeId)
    clearTimeout(this.#handshakeTimer)
    if (answer.verdict !== Verdict.Accepted) {
      this.#refuse(answer)
      return
    }
    this.#socket.write(frameOf(encodeAnswer(answer)))
    if (isSnapshotHello(payload)) {
      this.#handOver()
      return
    }
    this.#reader.setPayloadBytesMax(FRAME_BYTES_MAX)
    this.fromStoreId = hello.fromStoreId
    this.#socket.setTimeout(this.#context.silentTimeoutMs, () => {
      this.#closeCorrupt(
        new PolyraftError('Timeout', 'the peer said nothing, not even that it lives'),
      )
    })
    this.#context.stats.linksAccepted++
    this.#context.onAccepted(this)
  }

  /** Nothing more has come: the other side waits for the answer to its hello. */
  #handOver(): void {
    const socket = this.#socket
    this.#handedOver = true
    socket.pause()
    for (const event of ['data', 'error', 'close']) socket.removeAllListeners(event)
    this.#context.onClosed(this)
    this.#context.onSnapshotLink(socket)
  }

  #refuse(answer: Answer): void {
    const { logger, stats } = this.#context
    stats.linksRefused++
    logger.warn({ remote: this.#remote, reason: answer.reason }, 'refused a link')
    this.#socket.pause()
    this.#socket.end(frameOf(encodeAnswer(answer)), () => this.#socket.destroy())
  }

  #onBatch(payload: Buffer): void {
    const envelopes = this.#guard(() => decodeEnvelopes(payload))
    if (envelopes === undefined) return
    this.#context.onHeard(this.fromStoreId)
    this.#context.stats.framesReceived++
    this.#context.stats.messagesReceived += envelopes.length
    if (envelopes.length > 0) this.#context.onMessages(envelopes)
  }

  #closeCorrupt(error: Error): void {
    const fields = {
      remote: this.#remote,
      peerStoreId: this.fromStoreId,
      reason: errorMessage(error),
    }
    this.#context.stats.linksCorrupt++
    this.#context.logger.warn(fields, 'closed a link for what it sent')
    this.#socket.destroy()
  }

  #onClose(): void {
    clearTimeout(this.#handshakeTimer)
    this.#context.onClosed(this)
  }
}
