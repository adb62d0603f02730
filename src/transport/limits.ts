/** Bounds and times of the TCP transport, with their defaults. */
import { assert } from '../base/assert.ts'
import { ENTRY_BYTES_MAX, FRAME_BYTES_MAX, MIB } from '../base/limits.ts'

export interface TransportLimits {
  /** What may wait for one store. */
  readonly queueMessagesMax: number
  readonly queueBytesMax: number
  /** Bytes that the socket may hold before the queue waits for it to drain. */
  readonly socketBytesMax: number
  /** A round's messages beyond this go into another frame. */
  readonly frameBytesTarget: number
  /** From connecting to the answer of the handshake, on both sides. */
  readonly handshakeTimeoutMs: number
  /** A peer that takes no data for so long, with data waiting, is given up. */
  readonly stallTimeoutMs: number
  /** Something goes over every open link at least so often; four times that without a word is silence. */
  readonly aliveIntervalMs: number
  /** A link over which nothing came for so long is closed: not even a sign of life did. */
  readonly silentTimeoutMs: number
  /** First and longest pause after a failure. */
  readonly backoffMs: number
  readonly backoffMsMax: number
}

export function defaultTransportLimits(): TransportLimits {
  return {
    queueMessagesMax: 65_536,
    queueBytesMax: 64 * MIB,
    socketBytesMax: 4 * MIB,
    frameBytesTarget: 2 * ENTRY_BYTES_MAX,
    handshakeTimeoutMs: 5000,
    stallTimeoutMs: 10_000,
    aliveIntervalMs: 300,
    silentTimeoutMs: 60_000,
    backoffMs: 100,
    backoffMsMax: 3000,
  }
}

assert(defaultTransportLimits().frameBytesTarget <= FRAME_BYTES_MAX, 'a full frame can be read')
