/**
 * Bytes of requests that the store has taken and not answered: the bound that keeps a burst of large
 * writes from eating the memory. Every request costs a little more than its data.
 */
import type { RawRequest } from '../protocol/raw.ts'

const REQUEST_OVERHEAD_BYTES = 256

export class Inflight {
  readonly #bytesMax: number
  #bytes = 0
  #requests = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  get bytes(): number {
    return this.#bytes
  }

  get requests(): number {
    return this.#requests
  }

  /** False when the store is full: the request is to be refused. */
  take(request: RawRequest): boolean {
    const bytes = requestBytes(request)
    // One request always gets in, however large, or it never would.
    if (this.#requests > 0 && this.#bytes + bytes > this.#bytesMax) return false
    this.#bytes += bytes
    this.#requests++
    return true
  }

  release(request: RawRequest): void {
    this.#bytes -= requestBytes(request)
    this.#requests--
  }
}

function requestBytes(request: RawRequest): number {
  let bytes = REQUEST_OVERHEAD_BYTES + request.key.length + request.value.length
  for (const key of request.keys) bytes += key.length
  for (const value of request.values) bytes += value.length
  return bytes
}
