/**
 * Cuts a byte stream into frames (see frame.ts), each payload in memory of its own, so that it can
 * be moved to another thread. Bytes are copied as they come: a large frame costs no long pause.
 *
 * INVARIANTS
 * - A payload is given out only whole and with a matching checksum; anything else is Corruption,
 *   after which the assembler is of no use.
 * - Memory is bound by one frame beyond what arrived, and a frame by the limit given.
 */
import { crc32c } from '../base/crc32c.ts'
import { PolyraftError } from '../base/errors.ts'
import { FRAME_HEADER_BYTES } from './frame.ts'

export class FrameAssembler {
  readonly #payloadBytesMax: number
  readonly #header = Buffer.alloc(FRAME_HEADER_BYTES)
  #headerBytes = 0
  #payload: Buffer | undefined = undefined
  #payloadBytes = 0
  /** Chunks that belong to frames behind the current one. */
  #waiting: Buffer[] = []

  constructor(payloadBytesMax: number) {
    this.#payloadBytesMax = payloadBytesMax
  }

  push(chunk: Buffer): void {
    if (chunk.length > 0) this.#waiting.push(chunk)
    this.#fill()
  }

  next(): Buffer | undefined {
    this.#fill()
    const payload = this.#payload
    if (payload === undefined || this.#payloadBytes < payload.length) return undefined
    if (crc32c(payload) !== this.#header.readUInt32LE(4)) {
      throw corrupt(`a frame of ${payload.length} bytes with a wrong checksum`)
    }
    this.#payload = undefined
    this.#payloadBytes = 0
    this.#headerBytes = 0
    return payload
  }

  /** Takes what the current frame still needs. */
  #fill(): void {
    while (this.#waiting.length > 0) {
      const chunk = this.#waiting[0]!
      const taken = this.#payload === undefined ? this.#fillHeader(chunk) : this.#fillPayload(chunk)
      if (taken === 0) return
      if (taken < chunk.length) this.#waiting[0] = chunk.subarray(taken)
      else this.#waiting.shift()
    }
  }

  #fillHeader(chunk: Buffer): number {
    const taken = chunk.copy(this.#header, this.#headerBytes)
    this.#headerBytes += taken
    if (this.#headerBytes < FRAME_HEADER_BYTES) return taken
    const length = this.#header.readUInt32LE(0)
    if (length > this.#payloadBytesMax) {
      throw corrupt(`a frame of ${length} bytes, at most ${this.#payloadBytesMax} are allowed here`)
    }
    this.#payload = Buffer.allocUnsafeSlow(length)
    return taken
  }

  #fillPayload(chunk: Buffer): number {
    const taken = chunk.copy(this.#payload!, this.#payloadBytes)
    this.#payloadBytes += taken
    return taken
  }
}

function corrupt(what: string): PolyraftError {
  return new PolyraftError('Corruption', what)
}
