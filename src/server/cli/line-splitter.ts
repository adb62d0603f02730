/**
 * Lines out of a stream of chunks, without ever holding more than one line beyond the chunk. The
 * newline and one carriage return before it are not part of a line. Lines are views of their chunk where they can be.
 */
import { EMPTY_BYTES } from '../../base/bytes.ts'

const NEWLINE = 0x0a
const CARRIAGE_RETURN = 0x0d

export class LineSplitter {
  #lineBytesMax: number
  #parts: Buffer[] = []
  #partBytes = 0
  #tooLong = false
  #number = 0
  #chunk: Buffer = EMPTY_BYTES
  #at = 0

  constructor(lineBytesMax: number) {
    this.#lineBytesMax = lineBytesMax
  }

  /** Number of the line that `next` gave last, from 1. */
  get number(): number {
    return this.#number
  }

  /** Hands over the next chunk, once `next` has said that the last one is used up. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** The next whole line; null when it was too long; undefined when another chunk is needed. */
  next(): Buffer | null | undefined {
    const end = this.#chunk.indexOf(NEWLINE, this.#at)
    if (end < 0) {
      this.#keep(this.#chunk.subarray(this.#at))
      this.#at = this.#chunk.length
      return undefined
    }
    const piece = this.#chunk.subarray(this.#at, end)
    this.#at = end + 1
    return this.#finish(piece)
  }

  /** What follows the last newline; undefined when nothing does. */
  end(): Buffer | null | undefined {
    return this.#partBytes === 0 && !this.#tooLong ? undefined : this.#finish(EMPTY_BYTES)
  }

  #keep(piece: Buffer): void {
    if (piece.length === 0 || this.#tooLong) return
    this.#partBytes += piece.length
    if (this.#partBytes <= this.#lineBytesMax) {
      this.#parts.push(piece)
    } else {
      this.#tooLong = true
      this.#parts = []
    }
  }

  #finish(piece: Buffer): Buffer | null {
    this.#number++
    if (this.#partBytes === 0 && !this.#tooLong && piece.length <= this.#lineBytesMax) {
      return withoutReturn(piece)
    }
    this.#keep(piece)
    const line = this.#tooLong ? null : withoutReturn(Buffer.concat(this.#parts))
    this.#parts = []
    this.#partBytes = 0
    this.#tooLong = false
    return line
  }
}

function withoutReturn(line: Buffer): Buffer {
  return line.at(-1) === CARRIAGE_RETURN ? line.subarray(0, -1) : line
}
