/**
 * How long one attempt of a call may take.
 *
 * It is counted from the moment at which it leaves, and what is on the way to the same store takes
 * its time before it: bytes that are not answered yet count, at a rate that any store keeps up. Each
 * attempt that a store leaves unanswered doubles the time of the next. Too short a time is worse than
 * none: the bytes are sent again, and hold up those that are still under way.
 */
import { MIB } from '../base/limits.ts'
import type { RawRequest } from '../protocol/raw.ts'

/** A store that says nothing at all for this long is left for another replica. */
const SILENT_MS_MAX = 1000
/**
 * One that answers others, but not this attempt. No longer than an election takes: what was lost with a
 * leader has expired by then, so that no outcome has to be held back for it.
 */
const ATTEMPT_MS_MAX = 1000
/** 1, 2, 4, 8, 16 s. */
const DOUBLINGS_MAX = 4
/** A store in trouble: what three of them on two busy processors replicate is a few times that. */
const BYTES_PER_MS_LEAST = (4 * MIB) / 1000

/** Behind `unanswered` attempts, without the time for bytes. */
export function attemptMsMax(unanswered: number): number {
  return ATTEMPT_MS_MAX * 2 ** Math.min(unanswered, DOUBLINGS_MAX)
}

export function silentMsMax(bytesUnderWay: number): number {
  return SILENT_MS_MAX + transferMs(bytesUnderWay)
}

/** The request leaves; `bytesUnderWay` to the same store are its own and those before it. @hot */
export function beginAttempt(request: RawRequest, nowMs: number, bytesUnderWay: number): void {
  request.sent = true
  if (request.expiresAtMs === 0) return
  const msMax = request.attemptMsMax + transferMs(bytesUnderWay)
  request.expiresAtMs = Math.min(request.expiresAtMs, nowMs + msMax)
  request.durationMsMax = Math.max(1, Math.ceil(request.expiresAtMs - nowMs))
}

function transferMs(bytes: number): number {
  return bytes / BYTES_PER_MS_LEAST
}
