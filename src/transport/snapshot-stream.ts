/**
 * What travels on a snapshot link behind its handshake, each in a frame with its own checksum:
 *
 *   sender     offer    u8 1 | the message, as in any batch of messages
 *   receiver   answer   u8 2 | u8 verdict: 0 go on, 1 busy, 2 refused | text reason
 *   sender     chunk    u8 3 | u32 file | u64 offset | bytes                            many times
 *   sender     end      u8 4
 *   receiver   answer   u8 2 | u8 verdict: 0 it is durable and on its way to the peer | text reason
 *
 * A transfer that breaks begins anew: the receiver throws away what it got.
 */
import { asBuffer, writeU64LE } from '../base/bytes.ts'
import { ByteReader, ByteWriter } from '../base/codec.ts'
import { PolyraftError } from '../base/errors.ts'
import { KIB } from '../base/limits.ts'
import { decodeEnvelopes, encodeFrame } from './envelope-codec.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'
import type { RaftEnvelope, SnapshotRefusal, SnapshotSink, SnapshotSource } from './port.ts'

/** Small enough that the main thread, which passes chunks on, is never held up. */
export const CHUNK_BYTES = 128 * KIB
const OFFER = 1
const ANSWER = 2
const CHUNK = 3
const END = 4
const CHUNK_HEADER_BYTES = 13
/** In front of a chunk's bytes: what a source leaves free, so that nothing is copied. */
export const CHUNK_HEADROOM_BYTES = FRAME_HEADER_BYTES + CHUNK_HEADER_BYTES

export const SnapshotVerdict = { Ok: 0, Busy: 1, Refused: 2 } as const

export type StreamFrame =
  | { readonly kind: 'offer'; readonly envelope: RaftEnvelope }
  | { readonly kind: 'answer'; readonly verdict: number; readonly reason: string }
  | {
      readonly kind: 'chunk'
      readonly file: number
      readonly offset: number
      readonly bytes: Buffer
    }
  | { readonly kind: 'end' }

export function encodeOffer(envelope: RaftEnvelope): Buffer {
  const message = encodeFrame([envelope], 0, 1).subarray(FRAME_HEADER_BYTES)
  return new ByteWriter(1 + message.length).u8(OFFER).raw(message).take()
}

export function encodeStreamAnswer(verdict: number, reason: string): Buffer {
  return new ByteWriter(64).u8(ANSWER).u8(verdict).text(reason).take()
}

function encodeChunk(file: number, offset: number, bytes: Uint8Array): Buffer {
  const payload = Buffer.allocUnsafeSlow(CHUNK_HEADER_BYTES + bytes.length)
  payload.set(bytes, CHUNK_HEADER_BYTES)
  return writeChunkHeader(payload, file, offset)
}

/** The same in place: CHUNK_HEADER_BYTES in front of `bytes` are overwritten. */
function encodeChunkInPlace(file: number, offset: number, bytes: Uint8Array): Buffer {
  const start = bytes.byteOffset - CHUNK_HEADER_BYTES
  const payload = Buffer.from(bytes.buffer, start, CHUNK_HEADER_BYTES + bytes.length)
  return writeChunkHeader(payload, file, offset)
}

function writeChunkHeader(payload: Buffer, file: number, offset: number): Buffer {
  payload[0] = CHUNK
  payload.writeUInt32LE(file, 1)
  writeU64LE(payload, offset, 5)
  return payload
}

/** A chunk to send, and how much of its memory in front is still free. */
export function chunkOf(
  { headroomBytes = 0 }: SnapshotSource,
  file: number,
  offset: number,
  bytes: Uint8Array,
): { readonly payload: Buffer; readonly headroomBytes: number } {
  if (headroomBytes < CHUNK_HEADER_BYTES) {
    return { payload: encodeChunk(file, offset, bytes), headroomBytes: 0 }
  }
  const payload = encodeChunkInPlace(file, offset, bytes)
  return { payload, headroomBytes: headroomBytes - CHUNK_HEADER_BYTES }
}

export function encodeEnd(): Buffer {
  return Buffer.from([END])
}

/** Throws Corruption. */
export function decodeStreamFrame(payload: Buffer): StreamFrame {
  const reader = new ByteReader(payload, 'snapshot link')
  const kind = reader.u8()
  switch (kind) {
    case OFFER: {
      const envelope = decodeEnvelopes(payload.subarray(1))[0]
      if (envelope === undefined) throw corrupt('an offer of nothing')
      return { kind: 'offer', envelope }
    }
    case ANSWER:
      return { kind: 'answer', verdict: reader.u8(), reason: reader.text() }
    case CHUNK:
      return {
        kind: 'chunk',
        file: reader.u32(),
        offset: readOffset(reader),
        bytes: asBuffer(reader.raw(reader.remaining)),
      }
    case END:
      return { kind: 'end' }
    default:
      throw corrupt(`a frame of kind ${kind}`)
  }
}

/** Reads the source from its beginning to its end, a chunk at a time. */
export async function sendChunks(
  source: SnapshotSource,
  send: (file: number, offset: number, bytes: Buffer) => Promise<void>,
  chunkBytesMax = CHUNK_BYTES,
): Promise<void> {
  const chunkBytes = Math.min(chunkBytesMax, source.chunkBytesMax ?? CHUNK_BYTES)
  for (let file = 0; file < source.sizes.length; file++) {
    const size = source.sizes[file]!
    for (let offset = 0; offset < size; offset += chunkBytes) {
      const bytes = await source.read(file, offset, Math.min(chunkBytes, size - offset))
      await send(file, offset, asBuffer(bytes))
    }
  }
}

export function isRefusal(answer: SnapshotSink | SnapshotRefusal): answer is SnapshotRefusal {
  return 'busy' in answer
}

function readOffset(reader: ByteReader): number {
  try {
    return reader.u64()
  } catch (error) {
    throw new PolyraftError(
      'Corruption',
      'snapshot link: an offset out of range',
      {},
      { cause: error },
    )
  }
}

function corrupt(what: string): PolyraftError {
  return new PolyraftError('Corruption', `snapshot link: ${what}`)
}
