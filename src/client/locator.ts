/**
 * Asks PD for regions that the cache lacks: a few questions at a time, and every answer lets go all
 * requests that it locates, so that a thousand misses on one region cost one question.
 */
import { EMPTY_BYTES, equalBytes } from '../base/bytes.ts'
import type { Clock } from '../base/clock.ts'
import { errorMessage } from '../base/errors.ts'
import { KEY_BYTES_MAX } from '../base/limits.ts'
import type { PdClient, RegionInfo } from '../pd/port.ts'
import type { RawRequest } from '../protocol/raw.ts'
import { RawKind } from '../protocol/raw.ts'
import type { CachedRegion, RegionCache } from './region-cache.ts'

const LOOKUPS_MAX = 4
/** No key sorts above it, so it lies in the last region. */
const HIGHEST_KEY: Buffer = Buffer.alloc(KEY_BYTES_MAX, 0xff)

export interface LocatorEvents {
  onLocated(request: RawRequest): void
  onNotLocated(request: RawRequest, reason: string): void
  /** False when nobody waits for this request any more. */
  isWaiting(request: RawRequest): boolean
}

interface Lookup {
  readonly request: RawRequest
  readonly startedMs: number
}

/** The region that the next attempt of a request goes to, as far as it is known. */
// @hot
export function locate(cache: RegionCache, request: RawRequest): CachedRegion | undefined {
  if (request.kind === RawKind.Scan && request.reverse) return cache.locateBefore(request.key)
  return cache.locate(routingKey(request))
}

function routingKey(request: RawRequest): Buffer {
  switch (request.kind) {
    case RawKind.BatchGet:
    case RawKind.BatchPut:
    case RawKind.BatchDelete:
      return request.keys[0] ?? EMPTY_BYTES
    default:
      return request.key
  }
}

export class Locator {
  #pd: PdClient
  #cache: RegionCache
  #clock: Clock
  #events: LocatorEvents
  #waiting: RawRequest[] = []
  #lookups = new Set<Lookup>()

  constructor(pd: PdClient, cache: RegionCache, clock: Clock, events: LocatorEvents) {
    this.#pd = pd
    this.#cache = cache
    this.#clock = clock
    this.#events = events
  }

  wait(request: RawRequest): void {
    this.#waiting.push(request)
    this.#pump()
  }

  /** Gives up questions that PD has not answered in time. */
  sweep(nowMs: number, lookupMsMax: number): void {
    for (const lookup of this.#lookups) {
      if (nowMs - lookup.startedMs < lookupMsMax) continue
      this.#lookups.delete(lookup)
      this.#giveBack(lookup.request, 'PD did not answer')
    }
    this.#pump()
  }

  close(): void {
    this.#waiting = []
    this.#lookups.clear()
  }

  #pump(): void {
    while (this.#lookups.size < LOOKUPS_MAX) {
      const request = this.#waiting.shift()
      if (request === undefined) return
      if (this.#events.isWaiting(request)) this.#start(request)
    }
  }

  #start(request: RawRequest): void {
    const lookup = { request, startedMs: this.#clock.monotonicMs() }
    this.#lookups.add(lookup)
    this.#ask(request).then(
      (info) => {
        if (this.#lookups.delete(lookup)) this.#onAnswer(lookup, info)
      },
      (error) => {
        if (!this.#lookups.delete(lookup)) return
        this.#giveBack(lookup.request, `PD: ${errorMessage(error)}`)
        this.#pump()
      },
    )
  }

  #ask(request: RawRequest): Promise<RegionInfo | undefined> {
    if (request.kind === RawKind.Scan && request.reverse) return this.#askBefore(request.key)
    return this.#pd.getRegion(routingKey(request))
  }

  async #askBefore(bound: Buffer): Promise<RegionInfo | undefined> {
    if (bound.length === 0) return this.#pd.getRegion(HIGHEST_KEY)
    const info = await this.#pd.getRegion(bound)
    if (info === undefined || !equalBytes(info.region.startKey, bound)) return info
    return this.#pd.getPrevRegion(bound)
  }

  #onAnswer(lookup: Lookup, info: RegionInfo | undefined): void {
    if (info !== undefined) this.#cache.insert(info.region, info.leader)
    this.#letGo(lookup.request, info === undefined ? 'PD knows no such region' : 'PD is behind')
    const waiting = this.#waiting
    this.#waiting = []
    for (const request of waiting) {
      if (!this.#events.isWaiting(request)) continue
      if (locate(this.#cache, request) === undefined) this.#waiting.push(request)
      else this.#events.onLocated(request)
    }
    this.#pump()
  }

  #letGo(request: RawRequest, reason: string): void {
    if (!this.#events.isWaiting(request)) return
    if (locate(this.#cache, request) !== undefined) this.#events.onLocated(request)
    else this.#events.onNotLocated(request, reason)
  }

  #giveBack(request: RawRequest, reason: string): void {
    if (this.#events.isWaiting(request)) this.#events.onNotLocated(request, reason)
  }
}
