/**
 * One public call, or one piece of a larger one, from submission to its outcome. Calls live in
 * slots and are used again; a request object is not. So whoever holds a request can always tell
 * whether the call still waits for it: `calls.of(request)` is undefined for anything late.
 */
import { assert } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import { isWrite, type RawRequest, type RawResponse } from '../protocol/raw.ts'
import type { Region } from '../region/region.ts'
import type { KvCallback } from './kv-client.ts'
import type { StoreLink } from './store-links.ts'

export const CallState = {
  Free: 0,
  /** Waits for PD: the region, or the address of its store. */
  Locating: 1,
  InFlight: 2,
  /** Waits for `wakeAtMs`. */
  BackingOff: 3,
  /** Its outcome is known, and told once no earlier attempt can be executed any more. */
  Fenced: 4,
} as const
export type CallState = (typeof CallState)[keyof typeof CallState]

/** The outcome of calls that are part of something larger: a batch, a scan. */
export interface Settler {
  succeed(request: RawRequest, response: RawResponse): void
  fail(error: PolyraftError): void
  /** Before each attempt: makes the request fit the region that it will be sent to. */
  fit(call: Call, request: RawRequest, region: Region): void
}

export type Resolve = (value: Buffer | undefined) => void
export type Reject = (error: unknown) => void

export class Call {
  readonly slot: number
  state: CallState = CallState.Free
  request: RawRequest | undefined = undefined
  /** Monotonic. */
  deadlineMs = 0
  sentAtMs = 0
  wakeAtMs = 0
  attempts = 0
  /** Attempts that ended in a wait: what back-off grows with. */
  failures = 0
  /** Attempts that a store, though alive, left unanswered: the next one has more time. */
  unanswered = 0
  /** Retries made without a wait: only a few, or two wrong beliefs would chase each other. */
  immediateRetries = 0
  /** A write that reached, or may have reached, a store without a definite answer. */
  mayHaveExecuted = false
  /** Until then a store may still take an attempt of this write that was given up. */
  fencedUntilMs = 0
  /** While Fenced: why it failed, or undefined and the answer. */
  outcome: PolyraftError | undefined = undefined
  answer: RawResponse | undefined = undefined
  lastError = ''
  /** The last refusal was for want of disk space. */
  diskFull = false
  link: StoreLink | undefined = undefined
  // Exactly one of these three ways out is set.
  resolve: Resolve | undefined = undefined
  reject: Reject | undefined = undefined
  callback: KvCallback | undefined = undefined
  settler: Settler | undefined = undefined

  constructor(slot: number) {
    this.slot = slot
  }
}

export class CallTable {
  #calls: Call[] = []
  #free: Call[] = []
  #used = 0
  #usedMax: number

  constructor(usedMax: number) {
    this.#usedMax = usedMax
  }

  get used(): number {
    return this.#used
  }

  /** Slots ever used, for sweeps over `at`. */
  get slots(): number {
    return this.#calls.length
  }

  at(slot: number): Call {
    return this.#calls[slot]!
  }

  // @hot
  take(): Call {
    if (this.#used >= this.#usedMax) {
      throw new PolyraftError(
        'ServerIsBusy',
        `this client has ${this.#used} requests pending: wait for some before sending more`,
      )
    }
    this.#used++
    const free = this.#free.pop()
    if (free !== undefined) return free
    const call = new Call(this.#calls.length)
    this.#calls.push(call)
    return call
  }

  /** The call that still waits for this very request. */
  // @hot
  of(request: RawRequest): Call | undefined {
    const call = this.#calls[request.token]
    return call !== undefined && call.request === request ? call : undefined
  }

  // @hot
  release(call: Call): void {
    assert(call.state !== CallState.Free, 'a call is released once')
    call.state = CallState.Free
    call.request!.dropped = true
    call.request = undefined
    call.attempts = 0
    call.failures = 0
    call.unanswered = 0
    call.immediateRetries = 0
    call.mayHaveExecuted = false
    call.fencedUntilMs = 0
    call.outcome = undefined
    call.answer = undefined
    call.lastError = ''
    call.diskFull = false
    call.link = undefined
    call.resolve = undefined
    call.reject = undefined
    call.callback = undefined
    call.settler = undefined
    this.#used--
    this.#free.push(call)
  }
}

/** Tells the way out of a released call that it succeeded. */
export function runCallback(
  callback: KvCallback,
  error: PolyraftError | undefined,
  value: Buffer | undefined,
): void {
  try {
    callback(error, value)
  } catch (thrown) {
    // A fault of the caller's code: it must surface, but not inside a connection's read loop.
    queueMicrotask(() => {
      throw thrown
    })
  }
}

/**
 * Past the deadline: a write that may have happened says so, one that no disk had room for too;
 * anything else is a plain time-out.
 */
export function timeoutError(call: Call, request: RawRequest, timeoutMs: number): PolyraftError {
  const data = { attempts: call.attempts, lastError: call.lastError, timeoutMs }
  const reason = call.lastError === '' ? 'no answer came' : `the last failure: ${call.lastError}`
  const tried = `${attempts(call)} in ${timeoutMs} ms; ${reason}`
  if (!isWrite(request.kind)) {
    return new PolyraftError('Timeout', `the read was not answered after ${tried}`, data)
  }
  if (call.mayHaveExecuted) {
    const message = `the write may or may not have happened after ${tried}. Read it back or repeat it`
    return new PolyraftError('Undetermined', message, data)
  }
  const code = call.diskFull ? 'DiskFull' : 'Timeout'
  return new PolyraftError(code, `the write was not executed after ${tried}`, data)
}

/** Of a write that is not sent again: its only attempt was lost. */
export function lostError(call: Call): PolyraftError {
  const message =
    `the write may or may not have happened: ${call.lastError}. It was not sent again, ` +
    'because the client was told not to: read it back or repeat it'
  return new PolyraftError('Undetermined', message, {
    attempts: call.attempts,
    lastError: call.lastError,
  })
}

export const CLOSED = 'the client was closed'

/** Of a call that was under way; like one that is late, it may have had its effect. */
export function closedError(call: Call): PolyraftError {
  const request = call.request!
  const isOut = call.state === CallState.InFlight && request.sent
  if (!isWrite(request.kind) || !(call.mayHaveExecuted || isOut)) {
    return new PolyraftError('Closed', CLOSED)
  }
  return new PolyraftError('Undetermined', `the write may or may not have happened: ${CLOSED}`, {
    attempts: call.attempts,
    lastError: CLOSED,
  })
}

function attempts({ attempts: count }: Call): string {
  return count === 1 ? '1 attempt' : `${count} attempts`
}

/** A definite refusal, unless an earlier attempt of the same write may have gone through. */
export function refusalError(
  call: Call,
  request: RawRequest,
  refusal: PolyraftError,
): PolyraftError {
  if (!isWrite(request.kind) || !call.mayHaveExecuted) return refusal
  return new PolyraftError(
    'Undetermined',
    `an earlier attempt of the write may have happened; the last was refused: ${refusal.message}`,
    { attempts: call.attempts, lastError: refusal.message },
    { cause: refusal },
  )
}
