/**
 * Frames: what a TCP link between two stores is made of.
 *
 *   link   := hello-frame answer-frame batch-frame*      (hello and batches one way, answer back)
 *   frame  := u32 length | u32 crc32c(payload) | payload[length]           little-endian
 *
 * INVARIANTS
 * - A payload is given out only whole and with a matching checksum; anything else is Corruption,
 *   after which the reader is of no use: the link has to be closed.
 * - Memory is bound by what has arrived, not by what a length field promises.
 * - A payload that arrived in one chunk is a view into that chunk: no copy.
 */
import { crc32c } from '../base/crc32c.ts'
import { PolyraftError } from '../base/errors.ts'

export const FRAME_HEADER_BYTES = 8

/** Fills in the header of a frame whose payload begins behind FRAME_HEADER_BYTES. */
export function sealFrame(frame: Buffer): Buffer {
  const payload = frame.subarray(FRAME_HEADER_BYTES)
  frame.writeUInt32LE(payload.length, 0)
  frame.writeUInt32LE(crc32c(payload), 4)
  return frame
}

export function frameOf(payload: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + payload.length)
  frame.set(payload, FRAME_HEADER_BYTES)
  return sealFrame(frame)
}

/** Cuts a byte stream into payloads: push() each chunk, then next() until it is undefined. */
export class FrameReader {
  /** Chunks before the last join; `#bytes` holds what is being cut. */
  #waiting: Buffer[] = []
  #waitingBytes = 0
  #bytes: Buffer = Buffer.alloc(0)
  #offset = 0
  #payloadBytesMax: number

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax
  }

  /** A handshake is small; batches may be large. */
  setPayloadBytesMax(bytes: number): void {
    this.#payloadBytesMax = bytes
  }

  push(chunk: Buffer): void {
    this.#waiting.push(chunk)
    this.#waitingBytes += chunk.length
  }

  next(): Buffer | undefined {
    if (!this.#require(FRAME_HEADER_BYTES)) return undefined
    const length = this.#bytes.readUInt32LE(this.#offset)
    if (length > this.#payloadBytesMax) {
      throw new PolyraftError(
        'Corruption',
        `a frame of ${length} bytes, at most ${this.#payloadBytesMax} are allowed here`,
      )
    }
    if (!this.#require(FRAME_HEADER_BYTES + length)) return undefined
    const start = this.#offset + FRAME_HEADER_BYTES
    const payload = this.#bytes.subarray(start, start + length)
    if (crc32c(payload) !== this.#bytes.readUInt32LE(this.#offset + 4)) {
      throw new PolyraftError('Corruption', `a frame of ${length} bytes with a wrong checksum`)
    }
    this.#offset = start + length
    return payload
  }

  /** Makes `count` bytes from the offset available in one piece, if they have arrived. */
  #require(count: number): boolean {
    const rest = this.#bytes.length - this.#offset
    if (rest >= count) return true
    if (rest + this.#waitingBytes < count) return false
    if (rest > 0) this.#waiting.unshift(this.#bytes.subarray(this.#offset))
    this.#bytes = this.#waiting.length === 1 ? this.#waiting[0]! : Buffer.concat(this.#waiting)
    this.#offset = 0
    this.#waiting = []
    this.#waitingBytes = 0
    return true
  }
}
