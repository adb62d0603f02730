/**
 * Snapshots over TCP: each on a connection of its own, so that a large one holds up no message. Who
 * may send or receive how many at once is not decided here.
 *
 * INVARIANT: whatever arrives, or fails to, ends one transfer and nothing else; the sink hears of
 * every end.
 */
import type { Socket } from 'node:net'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import { FRAME_BYTES_MAX } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { FrameChannel } from './frame-channel.ts'
import type { RaftEnvelope, SnapshotOutcome, SnapshotSource, TransportEvents } from './port.ts'
import {
  decodeStreamFrame,
  encodeChunk,
  encodeEnd,
  encodeOffer,
  encodeStreamAnswer,
  isRefusal,
  SnapshotVerdict,
  sendChunks,
} from './snapshot-stream.ts'

/** How long the receiver may take to bring what it got to disk. */
const FINISH_MS_MAX = 120_000

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
  ): Promise<{ verdict: number; reason: string }> {
    const channel = this.#open(await connect(this.#abort.signal))
    try {
      await channel.send(encodeOffer(envelope))
      const answer = await receiveAnswer(channel, this.#stallTimeoutMs)
      if (answer.verdict !== SnapshotVerdict.Ok) return answer
      await sendChunks(source, (file, offset, bytes) =>
        channel.send(encodeChunk(file, offset, bytes)),
      )
      await channel.send(encodeEnd())
      return await receiveAnswer(channel, FINISH_MS_MAX)
    } finally {
      channel.destroy()
      this.#channels.delete(channel)
    }
  }

  async #receive(channel: FrameChannel): Promise<void> {
    const offer = decodeStreamFrame(await channel.receive())
    if (offer.kind !== 'offer') throw unexpected(offer.kind)
    const sink = this.#events.onSnapshotOffer?.(offer.envelope) ?? {
      busy: false,
      reason: 'snapshots are not taken here',
    }
    if (isRefusal(sink)) {
      const verdict = sink.busy ? SnapshotVerdict.Busy : SnapshotVerdict.Refused
      await channel.send(encodeStreamAnswer(verdict, sink.reason))
    } else {
      try {
        await channel.send(encodeStreamAnswer(SnapshotVerdict.Ok, ''))
        for (let more = true; more; ) {
          const frame = decodeStreamFrame(await channel.receive())
          if (frame.kind === 'chunk') await sink.write(frame.file, frame.offset, frame.bytes)
          else if (frame.kind === 'end') more = false
          else throw unexpected(frame.kind)
        }
        await sink.finish()
      } catch (error) {
        sink.abort()
        throw error
      }
      await channel.send(encodeStreamAnswer(SnapshotVerdict.Ok, ''))
    }
    channel.end()
    this.#channels.delete(channel)
  }
}

async function receiveAnswer(
  channel: FrameChannel,
  timeoutMs: number,
): Promise<{ verdict: number; reason: string }> {
  const frame = decodeStreamFrame(await channel.receive(timeoutMs))
  if (frame.kind !== 'answer') throw unexpected(frame.kind)
  return frame
}

function unexpected(kind: string): PolyraftError {
  return new PolyraftError('Corruption', `snapshot link: a frame of kind ${kind} out of place`)
}
