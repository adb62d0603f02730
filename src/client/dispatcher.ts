/**
 * Carries calls to their outcome: locate the region, send to its leader, learn from refusals, back
 * off, try again, until an answer or the deadline.
 *
 *   submit ─▶ dispatch ─▶ in flight ─▶ answer ─▶ settle
 *               ▲  │          │
 *               │  └▶ PD ─┐   ├─ refused: learn, again at once or backed off
 *               └─────────┴───┴─ connection lost, or silent for too long
 *
 * INVARIANTS
 * - A request that was given up unanswered is never sent again: the next attempt gets a new object,
 *   so a late answer finds nobody. A call settles exactly once.
 * - When a write settles, no attempt of it can be executed any more: each expires on the store, by
 *   the store's clock, and the outcome is held back (Fenced) until those that were lost have. Else
 *   bytes that the network kept could undo what the caller writes next.
 */
import type { Clock, Random } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import type { PdClient } from '../pd/port.ts'
import { isWrite, RawRequest, type RawResponse, type ResponseSink } from '../protocol/raw.ts'
import { attemptMsMax, silentMsMax } from './attempt.ts'
import {
  type BackoffCurve,
  backoffMs,
  CONNECTION_BACKOFF,
  ELECTION_BACKOFF,
  PD_BACKOFF,
} from './backoff.ts'
import {
  type Call,
  CallState,
  CallTable,
  CLOSED,
  closedError,
  lostError,
  refusalError,
  runCallback,
  timeoutError,
} from './call.ts'
import { Locator, locate } from './locator.ts'
import { type CachedRegion, RegionCache } from './region-cache.ts'
import { Learner, Next, type Reaction, refusalOf } from './region-errors.ts'
import { type ConnectStore, type StoreLink, StoreLinks } from './store-links.ts'
import { SWEEP_MS, Sweeper } from './sweeper.ts'

/** Beyond an attempt's time, for what is rounded and for clocks that differ. */
const FENCE_SLACK_MS = 10
const PD_ANSWER_MS_MAX = 2000
const IMMEDIATE_RETRIES_MAX = 3
const PENDING_MAX = 1 << 17
/** Values below this fraction of their message are copied out of it. */
const DETACH_RATIO = 4

export interface DispatcherOptions {
  readonly pd: PdClient
  readonly connect: ConnectStore
  readonly clock: Clock
  readonly random: Random
  readonly timeoutMs: number
  /** Writes whose outcome is not known are sent again; else they fail with Undetermined. */
  readonly retryWrites: boolean
}

export class Dispatcher implements ResponseSink {
  readonly timeoutMs: number
  readonly #retryWrites: boolean
  #clock: Clock
  #random: Random
  #calls = new CallTable(PENDING_MAX)
  #cache = new RegionCache()
  #links: StoreLinks
  #locator: Locator
  #learner: Learner
  #sweeper: Sweeper
  /** The last sweep, or when sweeping began. */
  #sweptAtMs = 0
  #closed = false

  constructor(options: DispatcherOptions) {
    this.timeoutMs = options.timeoutMs
    this.#retryWrites = options.retryWrites
    this.#clock = options.clock
    this.#random = options.random
    this.#links = new StoreLinks(options.pd, options.connect, {
      onOpen: (requests) => this.#dispatchAll(requests),
      onGone: (storeId, requests) => this.#onStoreGone(storeId, requests),
      onOpenFailed: (requests, reason) => this.#retryAllLater(requests, reason),
      onConnectionFailed: (link, requests, error) =>
        this.#onConnectionFailed(link, requests, error),
    })
    this.#locator = new Locator(options.pd, this.#cache, options.clock, {
      isWaiting: (request) => this.#calls.of(request) !== undefined,
      onLocated: (request) => this.#redispatch(request),
      onNotLocated: (request, reason) => this.#retryAllLater([request], reason),
    })
    this.#learner = new Learner(this.#cache, this.#links)
    this.#sweeper = new Sweeper(
      () => this.#sweep(),
      () => this.#clock.monotonicMs(),
    )
  }

  nowMs(): number {
    return this.#clock.monotonicMs()
  }

  /** A slot for a call that ends at `deadlineMs`. The caller sets the way out, then `submit`s. */
  // @hot
  take(deadlineMs: number): Call {
    if (this.#closed) throw new PolyraftError('Closed', CLOSED)
    const call = this.#calls.take()
    call.deadlineMs = deadlineMs
    return call
  }

  // @hot
  submit(call: Call, request: RawRequest, nowMs: number): void {
    request.sink = this
    request.token = call.slot
    call.request = request
    if (!this.#sweeper.running) this.#startSweeping(nowMs)
    this.#dispatch(call, request, nowMs)
  }

  #startSweeping(nowMs: number): void {
    this.#sweptAtMs = nowMs
    this.#sweeper.wake(nowMs + SWEEP_MS, nowMs)
  }

  // @hot
  #dispatch(call: Call, request: RawRequest, nowMs: number): void {
    call.state = CallState.Locating
    const entry = locate(this.#cache, request)
    if (entry === undefined) return this.#locator.wait(request)
    if (call.settler !== undefined) call.settler.fit(call, request, entry.region)
    const link = this.#links.get(this.#target(entry, nowMs))
    if (link.connection === undefined) return this.#links.open(link, request, nowMs)
    this.#send(call, request, entry, link, nowMs)
  }

  /** The leader's store, or another replica's while that one is suspect. */
  // @hot
  #target(entry: CachedRegion, nowMs: number): StoreId {
    if (this.#links.isSuspect(entry.leader.storeId, nowMs)) this.#learner.rotate(entry, nowMs)
    return entry.leader.storeId
  }

  // @hot
  #send(
    call: Call,
    request: RawRequest,
    entry: CachedRegion,
    link: StoreLink,
    nowMs: number,
  ): void {
    const region = entry.region
    request.regionId = region.id
    request.confVer = region.epoch.confVer
    request.version = region.epoch.version
    request.peerId = entry.leader.id
    request.storeId = entry.leader.storeId
    request.expiresAtMs = call.deadlineMs
    request.attemptMsMax = this.#isOnlyOne(request)
      ? call.deadlineMs - nowMs
      : attemptMsMax(call.unanswered)
    request.sent = false
    call.link = link
    call.attempts++
    call.sentAtMs = nowMs
    call.state = CallState.InFlight
    link.connection!.execute(request)
  }

  // @hot
  respond(request: RawRequest, response: RawResponse): void {
    const call = this.#calls.of(request)
    if (call === undefined || call.state === CallState.Fenced) return
    if (call.link !== undefined) call.link.heard = true
    if (response.regionError !== undefined) {
      this.#react(call, request, this.#learner.learn(request, response.regionError, this.nowMs()))
    } else if (response.error !== '') {
      this.#fail(call, refusalError(call, request, new PolyraftError('Internal', response.error)))
    } else {
      this.#succeed(call, request, response)
    }
  }

  // @hot
  #succeed(call: Call, request: RawRequest, response: RawResponse): void {
    if (call.fencedUntilMs > 0 && this.#hold(call, undefined, response)) return
    const { resolve, callback, settler } = call
    this.#calls.release(call)
    if (resolve !== undefined) resolve(detached(response.value))
    else if (callback !== undefined) runCallback(callback, undefined, response.value)
    else settler!.succeed(request, response)
  }

  #fail(call: Call, error: PolyraftError): void {
    if (call.fencedUntilMs > 0 && this.#hold(call, error, undefined)) return
    this.#failNow(call, error)
  }

  #failNow(call: Call, error: PolyraftError): void {
    const { reject, callback, settler } = call
    this.#calls.release(call)
    if (reject !== undefined) reject(error)
    else if (callback !== undefined) runCallback(callback, error, undefined)
    else settler!.fail(error)
  }

  /** Keeps the outcome back while an attempt that was given up may still be taken. */
  #hold(call: Call, error: PolyraftError | undefined, answer: RawResponse | undefined): boolean {
    const nowMs = this.nowMs()
    if (nowMs >= call.fencedUntilMs) return false
    call.state = CallState.Fenced
    call.outcome = error
    call.answer = answer
    this.#sweeper.wake(call.fencedUntilMs, nowMs)
    return true
  }

  /** When the outcome can be told, after telling it if that is now. */
  #sweepFenced(call: Call, request: RawRequest, nowMs: number): number {
    if (nowMs < call.fencedUntilMs) return call.fencedUntilMs
    if (call.answer !== undefined) this.#succeed(call, request, call.answer)
    else this.#failNow(call, call.outcome!)
    return Number.POSITIVE_INFINITY
  }

  #react(call: Call, request: RawRequest, reaction: Reaction): void {
    call.lastError = reaction.reason
    call.diskFull = reaction.error.code === 'DiskFull'
    if (reaction.undetermined && isWrite(request.kind)) {
      call.mayHaveExecuted = true
      if (!this.#retryWrites) return this.#fail(call, lostError(call))
    }
    if (reaction.next === Next.Fail) {
      this.#fail(call, refusalError(call, request, refusalOf(reaction)))
    } else if (reaction.next === Next.RetryNow && call.immediateRetries < IMMEDIATE_RETRIES_MAX) {
      call.immediateRetries++
      this.#dispatch(call, request, this.nowMs())
    } else {
      this.#retryLater(call, reaction.curve, reaction.backoffMsMin)
    }
  }

  #retryLater(call: Call, curve: BackoffCurve, backoffMsMin: number): void {
    const waitMs = Math.max(backoffMsMin, backoffMs(curve, call.failures, this.#random))
    const nowMs = this.nowMs()
    call.failures++
    call.state = CallState.BackingOff
    call.wakeAtMs = nowMs + waitMs
    this.#sweeper.wake(Math.min(call.wakeAtMs, call.deadlineMs), nowMs)
  }

  #dispatchAll(requests: readonly RawRequest[]): void {
    for (const request of requests) this.#redispatch(request)
  }

  #redispatch(request: RawRequest): void {
    const call = this.#locating(request)
    if (call !== undefined) this.#dispatch(call, request, this.nowMs())
  }

  #locating(request: RawRequest): Call | undefined {
    const call = this.#calls.of(request)
    return call?.state === CallState.Locating ? call : undefined
  }

  #retryAllLater(requests: readonly RawRequest[], reason: string): void {
    for (const request of requests) {
      const call = this.#locating(request)
      if (call === undefined) continue
      call.lastError = reason
      this.#retryLater(call, PD_BACKOFF, 0)
    }
  }

  #onStoreGone(storeId: StoreId, requests: readonly RawRequest[]): void {
    for (const request of requests) {
      const entry = locate(this.#cache, request)
      if (entry !== undefined && entry.leader.storeId === storeId) this.#cache.remove(entry)
    }
    this.#retryAllLater(requests, `store ${storeId} is gone`)
  }

  #onConnectionFailed(link: StoreLink, failed: readonly RawRequest[], error: Error): void {
    const nowMs = this.nowMs()
    link.heard = false
    this.#links.suspect(link, nowMs)
    const reason = `store ${link.storeId}: ${error.message}`
    for (const request of failed) {
      const call = this.#calls.of(request)
      if (call?.state === CallState.InFlight) this.#onLost(call, request, reason)
    }
  }

  /** The attempt ended without an answer, and no answer can come. */
  #onLost(call: Call, request: RawRequest, reason: string): void {
    call.lastError = reason
    const lost = request.sent && isWrite(request.kind)
    if (lost) fence(call, request)
    this.#learner.onUnanswered(request, call.failures, this.nowMs())
    this.#tryAgain(call, lost, CONNECTION_BACKOFF)
  }

  /** The attempt is given up, but its answer may still come: the next one is another request. */
  #abandon(call: Call, reason: string, nowMs: number): void {
    const abandoned = call.request!
    const lost = abandoned.sent && isWrite(abandoned.kind)
    if (lost) fence(call, abandoned)
    call.lastError = reason
    giveUp(call, abandoned)
    call.unanswered++
    call.request = copyRequest(abandoned)
    this.#learner.onUnanswered(abandoned, call.failures, nowMs)
    this.#tryAgain(call, lost, ELECTION_BACKOFF)
  }

  /** `lost`: a write of which nobody knows what became. */
  #tryAgain(call: Call, lost: boolean, curve: BackoffCurve): void {
    if (lost && !this.#retryWrites) this.#fail(call, lostError(call))
    else this.#retryLater(call, curve, 0)
  }

  #sweep(): number | undefined {
    const nowMs = this.nowMs()
    this.#links.sweep(nowMs, this.#sweptAtMs, PD_ANSWER_MS_MAX)
    this.#locator.sweep(nowMs, PD_ANSWER_MS_MAX)
    this.#sweptAtMs = nowMs
    let nextMs = nowMs + SWEEP_MS
    for (let slot = 0; slot < this.#calls.slots; slot++) {
      const call = this.#calls.at(slot)
      if (call.state !== CallState.Free) nextMs = Math.min(nextMs, this.#sweepCall(call, nowMs))
    }
    return this.#calls.used === 0 ? undefined : nextMs
  }

  /** When this call wants to be looked at again. */
  #sweepCall(call: Call, nowMs: number): number {
    const request = call.request!
    if (call.state === CallState.Fenced) return this.#sweepFenced(call, request, nowMs)
    if (nowMs >= call.deadlineMs) {
      if (call.state === CallState.InFlight) {
        this.#suspectWhenSilent(call, nowMs)
        if (request.sent && isWrite(request.kind)) fence(call, request)
        giveUp(call, request)
      }
      this.#fail(call, timeoutError(call, request, this.timeoutMs))
    } else if (call.state === CallState.BackingOff) {
      if (nowMs < call.wakeAtMs) return Math.min(call.wakeAtMs, call.deadlineMs)
      this.#dispatch(call, request, nowMs)
    } else if (call.state === CallState.InFlight) {
      this.#sweepAttempt(call, nowMs)
    }
    return call.deadlineMs > nowMs ? call.deadlineMs : Number.POSITIVE_INFINITY
  }

  #sweepAttempt(call: Call, nowMs: number): void {
    const request = call.request!
    const { sent, expiresAtMs, storeId } = request
    const silent = this.#suspectWhenSilent(call, nowMs)
    // What has not left yet waits for its turn, and is worth no more elsewhere.
    if (!silent && (!sent || nowMs < expiresAtMs)) return
    if (sent && this.#isOnlyOne(request)) return
    const ageMs = Math.round(nowMs - call.sentAtMs)
    this.#abandon(call, `store ${storeId} did not answer in ${ageMs} ms`, nowMs)
  }

  /** Nothing is sent in its place: there is no reason not to wait for its answer. */
  #isOnlyOne(request: RawRequest): boolean {
    return !this.#retryWrites && isWrite(request.kind)
  }

  #suspectWhenSilent(call: Call, nowMs: number): boolean {
    const link = call.link
    if (link === undefined || link.heardAtMs > call.sentAtMs) return false
    const msMax = silentMsMax(link.connection?.bytesUnderWay ?? 0)
    if (nowMs - call.sentAtMs < msMax) return false
    this.#links.suspect(link, nowMs, msMax)
    return true
  }

  /** Once. */
  async close(): Promise<void> {
    this.#closed = true
    this.#sweeper.stop()
    this.#locator.close()
    for (let slot = 0; slot < this.#calls.slots; slot++) {
      const call = this.#calls.at(slot)
      if (call.state !== CallState.Free) this.#failNow(call, closedError(call))
    }
    this.#cache.clear()
    await this.#links.close()
  }
}

/** A small value must not keep the whole message alive that it came in. */
function detached(value: Buffer | undefined): Buffer | undefined {
  if (value === undefined || value.length * DETACH_RATIO >= value.buffer.byteLength) return value
  return Buffer.from(value)
}

/** The attempt is given up, but its store may take it as long as its time lasts. */
function fence(call: Call, attempt: RawRequest): void {
  call.mayHaveExecuted = true
  call.fencedUntilMs = Math.max(call.fencedUntilMs, attempt.expiresAtMs + FENCE_SLACK_MS)
}

/** Nobody waits for this attempt any more. */
function giveUp(call: Call, attempt: RawRequest): void {
  attempt.dropped = true
  call.link?.connection?.giveUp(attempt)
}

function copyRequest(from: RawRequest): RawRequest {
  const to = new RawRequest(from.kind, from.sink, from.token)
  to.cf = from.cf
  to.key = from.key
  to.value = from.value
  to.keys = from.keys
  to.values = from.values
  to.ttls = from.ttls
  to.endKey = from.endKey
  to.limit = from.limit
  to.keyOnly = from.keyOnly
  to.reverse = from.reverse
  return to
}
