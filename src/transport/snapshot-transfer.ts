/**
 * One transfer of a snapshot, from its offer to the last answer, over a channel of frames: see
 * snapshot-stream.ts for what travels.
 *
 * INVARIANT: the sink hears of every end: finish() once, or abort().
 */
import { PolyraftError } from '../base/errors.ts'
import type { RaftEnvelope, SnapshotSource, TransportEvents } from './port.ts'
import {
  CHUNK_BYTES,
  chunkOf,
  decodeStreamFrame,
  encodeEnd,
  encodeOffer,
  encodeStreamAnswer,
  isRefusal,
  SnapshotVerdict,
  sendChunks,
} from './snapshot-stream.ts'

/** How long the receiver may take to bring what it got to disk. */
const FINISH_MS_MAX = 120_000

export interface SnapshotChannel {
  /** Resolves when another frame may be sent; see FrameChannel for `headroomBytes`. */
  send(payload: Uint8Array, headroomBytes?: number): Promise<void>
  /** The next frame's payload. Rejects when none comes for `timeoutMs` (default: the channel's). */
  receive(timeoutMs?: number): Promise<Buffer>
}

export interface SnapshotAnswer {
  readonly verdict: number
  readonly reason: string
}

export async function sendTransfer(
  channel: SnapshotChannel,
  envelope: RaftEnvelope,
  source: SnapshotSource,
  chunkBytes = CHUNK_BYTES,
): Promise<SnapshotAnswer> {
  await channel.send(encodeOffer(envelope))
  const answer = await receiveAnswer(channel)
  if (answer.verdict !== SnapshotVerdict.Ok) return answer
  await sendChunks(
    source,
    (file, offset, bytes) => {
      const { payload, headroomBytes } = chunkOf(source, file, offset, bytes)
      return channel.send(payload, headroomBytes)
    },
    chunkBytes,
  )
  await channel.send(encodeEnd())
  return receiveAnswer(channel, FINISH_MS_MAX)
}

export async function receiveTransfer(
  channel: SnapshotChannel,
  events: Pick<TransportEvents, 'onSnapshotOffer'>,
): Promise<void> {
  const offer = decodeStreamFrame(await channel.receive())
  if (offer.kind !== 'offer') throw unexpected(offer.kind)
  const sink = events.onSnapshotOffer?.(offer.envelope) ?? {
    busy: false,
    reason: 'snapshots are not taken here',
  }
  if (isRefusal(sink)) {
    const verdict = sink.busy ? SnapshotVerdict.Busy : SnapshotVerdict.Refused
    await channel.send(encodeStreamAnswer(verdict, sink.reason))
    return
  }
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

async function receiveAnswer(
  channel: SnapshotChannel,
  timeoutMs?: number,
): Promise<SnapshotAnswer> {
  const frame = decodeStreamFrame(await channel.receive(timeoutMs))
  if (frame.kind !== 'answer') throw unexpected(frame.kind)
  return frame
}

function unexpected(kind: string): PolyraftError {
  return new PolyraftError('Corruption', `snapshot link: a frame of kind ${kind} out of place`)
}
