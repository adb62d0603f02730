/**
 * Snapshots over TCP: each on a connection of its own, so that a large one holds up no message. Who
 * may send or receive how many at once is not decided here.
 *
 * INVARIANT: whatever arrives, or fails to, ends one transfer and nothing else.
 */
import type { Socket } from 'node:net'
import { errorMessage } from '../base/errors.ts'
import { FRAME_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { FrameChannel } from './frame-channel.ts'
import type { RaftEnvelope, SnapshotOutcome, SnapshotSource, TransportEvents } from './port.ts'
import { SnapshotVerdict } from './snapshot-stream.ts'
import { receiveTransfer, type SnapshotAnswer, sendTransfer } from './snapshot-transfer.ts'

type Connect = (signal: AbortSignal) => Promise<Socket>
type Done = (outcome: SnapshotOutcome, reason: string) => void

export class SnapshotLinks {
  readonly #events: TransportEvents
  readonly #logger: Logger
  readonly #stallTimeoutMs: number
  readonly #channels = new Set<FrameChannel>()
  readonly #abort = new AbortController()

  constructor(events: TransportEvents, logger: Logger, stallTimeoutMs: number) {
    this.#events = events
    this.#logger = logger
    this.#stallTimeoutMs = stallTimeoutMs
  }

  send(envelope: RaftEnvelope, source: SnapshotSource, connect: Connect, done: Done): void {
    this.#send(envelope, source, connect).then(
      (answer) => {
        if (answer.verdict === SnapshotVerdict.Ok) done('sent', '')
        else done(answer.verdict === SnapshotVerdict.Busy ? 'busy' : 'failed', answer.reason)
      },
      (error: unknown) => done('failed', errorMessage(error)),
    )
  }

  /** Takes over an accepted connection. */
  receive(socket: Socket): void {
    const channel = this.#open(socket)
    this.#receive(channel).catch((error: unknown) => {
      this.#logger.warn({ reason: errorMessage(error) }, 'receiving a snapshot failed')
      channel.destroy()
      this.#channels.delete(channel)
    })
  }

  close(): void {
    this.#abort.abort()
    for (const channel of this.#channels) channel.destroy()
  }

  #open(socket: Socket): FrameChannel {
    const channel = new FrameChannel(socket, FRAME_BYTES_MAX, this.#stallTimeoutMs)
    this.#channels.add(channel)
    if (this.#abort.signal.aborted) channel.destroy()
    return channel
  }

  async #send(
    envelope: RaftEnvelope,
    source: SnapshotSource,
    connect: Connect,
  ): Promise<SnapshotAnswer> {
    const channel = this.#open(await connect(this.#abort.signal))
    try {
      return await sendTransfer(channel, envelope, source)
    } finally {
      channel.destroy()
      this.#channels.delete(channel)
    }
  }

  async #receive(channel: FrameChannel): Promise<void> {
    await receiveTransfer(channel, this.#events)
    channel.end()
    this.#channels.delete(channel)
  }
}
