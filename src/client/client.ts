/** The client over stores and a placement driver: input checks, then one call per public method. */
import { EMPTY_BYTES } from '../base/bytes.ts'
import type { PolyraftError } from '../base/errors.ts'
import { RawKind, RawRequest } from '../protocol/raw.ts'
import { Batch, type BatchKind, type Found, sortKeys } from './batch.ts'
import { type Reject, type Resolve, runCallback } from './call.ts'
import { Dispatcher, type DispatcherOptions } from './dispatcher.ts'
import {
  checkKey,
  checkKeyOptions,
  checkPutOptions,
  checkValue,
  mustBeBuffer,
  mustBeCallback,
  toIterable,
  toKey,
  toPairs,
  toScanRange,
  toValue,
  unsupported,
} from './input.ts'
import type {
  Bytes,
  CompareAndSwap,
  KeyOptions,
  KvCallback,
  KvClient,
  PutOptions,
  Scan,
  ScanOptions,
  SwapResult,
} from './kv-client.ts'
import { RegionScan } from './scan.ts'

export interface ClientOptions extends DispatcherOptions {
  /** Runs last in `close`: there the owner closes `pd`, which the client itself does not. */
  readonly onClosed?: () => Promise<void>
}

export function createClient(options: ClientOptions): KvClient {
  return new Client(new Dispatcher(options), options.onClosed)
}

type Single = typeof RawKind.Get | typeof RawKind.Put | typeof RawKind.Delete

class Client implements KvClient {
  #dispatcher: Dispatcher
  #resolve: Resolve | undefined = undefined
  #reject: Reject | undefined = undefined

  #closing: Promise<void> | undefined = undefined
  #onClosed: (() => Promise<void>) | undefined

  constructor(dispatcher: Dispatcher, onClosed: (() => Promise<void>) | undefined) {
    this.#dispatcher = dispatcher
    this.#onClosed = onClosed
  }

  put(key: Bytes, value: Bytes, options?: PutOptions): Promise<void> {
    try {
      const cf = checkPutOptions('put', options)
      return this.#single(RawKind.Put, toKey(key), toValue(value), cf) as Promise<never>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  get(key: Bytes, options?: KeyOptions): Promise<Buffer | undefined> {
    try {
      const cf = checkKeyOptions('get', options)
      return this.#single(RawKind.Get, toKey(key), EMPTY_BYTES, cf)
    } catch (error) {
      return Promise.reject(error)
    }
  }

  delete(key: Bytes, options?: KeyOptions): Promise<void> {
    try {
      const cf = checkKeyOptions('delete', options)
      return this.#single(RawKind.Delete, toKey(key), EMPTY_BYTES, cf) as Promise<never>
    } catch (error) {
      return Promise.reject(error)
    }
  }

  async batchPut(
    pairs: Iterable<readonly [key: Bytes, value: Bytes]>,
    options?: PutOptions,
  ): Promise<void> {
    const cf = checkPutOptions('batchPut', options)
    const keys: Buffer[] = []
    const values: Buffer[] = []
    for (const [key, value] of toPairs(pairs)) {
      keys.push(toKey(key))
      values.push(toValue(value))
    }
    await this.#batch(RawKind.BatchPut, keys, values, cf)
  }

  async batchGet(keys: Iterable<Bytes>, options?: KeyOptions): Promise<(Buffer | undefined)[]> {
    const cf = checkKeyOptions('batchGet', options)
    const wanted = Array.from(toIterable(keys), toKey)
    const found = await this.#batch(RawKind.BatchGet, wanted, undefined, cf)
    return wanted.map((key) => found.get(key.toString('latin1')))
  }

  async batchDelete(keys: Iterable<Bytes>, options?: KeyOptions): Promise<void> {
    const cf = checkKeyOptions('batchDelete', options)
    await this.#batch(RawKind.BatchDelete, Array.from(toIterable(keys), toKey), undefined, cf)
  }

  scan(options: ScanOptions = {}): Scan {
    return new RegionScan(this.#dispatcher, toScanRange(options))
  }

  async deleteRange(_start: Bytes, _end: Bytes, _options?: KeyOptions): Promise<void> {
    throw unsupported('deleteRange')
  }

  async compareAndSwap(_key: Bytes, _swap: CompareAndSwap): Promise<SwapResult> {
    throw unsupported('compareAndSwap')
  }

  async ttl(_key: Bytes, _options?: KeyOptions): Promise<number | undefined> {
    throw unsupported('ttl')
  }

  // @hot
  putCallback(key: Buffer, value: Buffer, callback: KvCallback): void {
    this.#withCallback(RawKind.Put, key, value, callback)
  }

  // @hot
  getCallback(key: Buffer, callback: KvCallback): void {
    this.#withCallback(RawKind.Get, key, EMPTY_BYTES, callback)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    try {
      await this.#dispatcher.close()
    } finally {
      await this.#onClosed?.()
    }
  }

  /** One request and one promise; `#capture` is shared, so there is no closure per call. */
  // @hot
  #single(kind: Single, key: Buffer, value: Buffer, cf: string): Promise<Buffer | undefined> {
    const dispatcher = this.#dispatcher
    const request = new RawRequest(kind, dispatcher, 0)
    request.key = key
    request.value = value
    request.cf = cf
    const nowMs = dispatcher.nowMs()
    const call = dispatcher.take(nowMs + dispatcher.timeoutMs)
    const promise = new Promise<Buffer | undefined>(this.#capture)
    call.resolve = this.#resolve
    call.reject = this.#reject
    dispatcher.submit(call, request, nowMs)
    return promise
  }

  #capture = (resolve: Resolve, reject: Reject): void => {
    this.#resolve = resolve
    this.#reject = reject
  }

  // @hot
  #withCallback(kind: Single, key: Buffer, value: Buffer, callback: KvCallback): void {
    const dispatcher = this.#dispatcher
    mustBeCallback(callback)
    try {
      mustBeBuffer(key)
      mustBeBuffer(value)
      checkKey(key)
      checkValue(value)
      const nowMs = dispatcher.nowMs()
      const call = dispatcher.take(nowMs + dispatcher.timeoutMs)
      const request = new RawRequest(kind, dispatcher, 0)
      request.key = key
      request.value = value
      call.callback = callback
      dispatcher.submit(call, request, nowMs)
    } catch (error) {
      runCallback(callback, error as PolyraftError, undefined)
    }
  }

  #batch(
    kind: BatchKind,
    keys: Buffer[],
    values: Buffer[] | undefined,
    cf: string,
  ): Promise<Found> {
    const sorted = sortKeys(keys, values)
    return new Promise((resolve, reject) => {
      new Batch(this.#dispatcher, kind, cf, sorted, resolve, reject).start()
    })
  }
}
