/** The writes of a round that will become one raft entry: the entry's bytes and who waits for it. */

import { assert } from '../base/assert.ts'
import { withItem } from '../base/lazy-list.ts'
import { columnFamilyNumber } from '../command/column-family.ts'
import { deleteBytes, putBytes } from '../command/command.ts'
import { RequestBuilder } from '../command/request-builder.ts'
import { RawKind, type RawRequest } from '../protocol/raw.ts'

export class PendingWrites {
  readonly #builder: RequestBuilder
  #requests: RawRequest[] | undefined = undefined

  constructor(entryBytesMax: number) {
    this.#builder = new RequestBuilder(entryBytesMax)
  }

  get length(): number {
    return this.#requests === undefined ? 0 : this.#requests.length
  }

  /** True when an entry cannot hold a write of `bytes`, not even alone. */
  isTooLarge(bytes: number): boolean {
    return !this.#builder.fitsEntry(bytes)
  }

  /** True when a write of `bytes` has to wait for the next entry. */
  isFullFor(bytes: number): boolean {
    return this.#requests !== undefined && !this.#builder.canAdd(bytes)
  }

  // @hot bench: store
  add(request: RawRequest, epochVersion: number): void {
    const builder = this.#builder
    if (this.#requests === undefined) builder.begin(epochVersion)
    const cf = columnFamilyNumber(request.cf)
    assert(cf !== undefined, `column family ${request.cf} was validated`)
    switch (request.kind) {
      case RawKind.Put:
        builder.put(cf, request.key, request.value)
        break
      case RawKind.Delete:
        builder.delete(cf, request.key)
        break
      case RawKind.BatchPut:
        for (let i = 0; i < request.keys.length; i++) {
          builder.put(cf, request.keys[i]!, request.values[i]!)
        }
        break
      case RawKind.BatchDelete:
        for (const key of request.keys) builder.delete(cf, key)
        break
      default:
        assert(false, `kind ${request.kind} is not a write`)
    }
    this.#requests = withItem(this.#requests, request)
  }

  take(): { data: Buffer; requests: RawRequest[] } {
    const requests = this.#requests ?? []
    this.#requests = undefined
    return { data: this.#builder.take(), requests }
  }

  takeRequests(): RawRequest[] {
    return this.take().requests
  }
}

/** Bytes that a write adds to an entry; the sum of its operations. */
export function writeBytes(request: RawRequest): number {
  switch (request.kind) {
    case RawKind.Put:
      return putBytes(request.key.length, request.value.length)
    case RawKind.Delete:
      return deleteBytes(request.key.length)
    default:
      return batchBytes(request)
  }
}

function batchBytes({ kind, keys, values }: RawRequest): number {
  let bytes = 0
  for (let i = 0; i < keys.length; i++) {
    const keyLength = keys[i]!.length
    bytes +=
      kind === RawKind.BatchPut ? putBytes(keyLength, values[i]!.length) : deleteBytes(keyLength)
  }
  return bytes
}
