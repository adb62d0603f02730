/**
 * The region heartbeat stream of a process, kept alive: when it breaks it is opened again after a
 * moment, and the latest heartbeat of every region is sent anew, since a PD that restarted no longer
 * knows the leaders. An old heartbeat does no harm: PD refuses lower terms and epochs.
 *
 * Bounded: one heartbeat a region is kept, for a few heartbeat periods, whatever the stream does.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js'
import { errorMessage } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type {
  RegionHeartbeatRequest,
  RegionHeartbeatResponse,
  RequestHeader,
} from '../protocol/pd-messages.ts'
import { heartbeatToWire, orderFromWire } from './convert.ts'
import type { RegionHeartbeat, RegionOrder } from './port.ts'

type Stream = ClientDuplexStream<RegionHeartbeatRequest, RegionHeartbeatResponse>

const REOPEN_MS_MIN = 100
const REOPEN_MS_MAX = 2000
/** Longer than two heartbeat periods of a region that does not change. */
const REMEMBER_MS = 150_000
const PRUNE_SIZE_MIN = 1024

export interface HeartbeatStreamOptions {
  readonly open: () => Stream
  readonly header: RequestHeader
  readonly onOrder: (order: RegionOrder) => void
  readonly logger: Logger
}

interface Remembered {
  readonly heartbeat: RegionHeartbeat
  readonly atMs: number
}

export class HeartbeatStream {
  readonly #options: HeartbeatStreamOptions
  readonly #latest = new Map<RegionId, Remembered>()
  /** Regions whose latest heartbeat is not sent yet, as the stream is down or full. */
  readonly #unsent = new Set<RegionId>()
  #stream: Stream | undefined
  #reopen: NodeJS.Timeout | undefined
  #reopenMs = REOPEN_MS_MIN
  #openedAtMs = 0
  #pruneSize = PRUNE_SIZE_MIN
  #closed = false

  constructor(options: HeartbeatStreamOptions) {
    this.#options = options
  }

  send(heartbeat: RegionHeartbeat): void {
    if (this.#closed) return
    const { id } = heartbeat.region
    this.#latest.set(id, { heartbeat, atMs: performance.now() })
    this.#unsent.add(id)
    if (this.#latest.size > this.#pruneSize) this.#prune()
    if (this.#stream === undefined && this.#reopen === undefined) this.#open()
    this.#flush()
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#reopen)
    this.#stream?.cancel()
    this.#stream = undefined
    this.#latest.clear()
    this.#unsent.clear()
  }

  #open(): void {
    const stream = this.#options.open()
    this.#stream = stream
    this.#openedAtMs = performance.now()
    stream.on('data', (response: RegionHeartbeatResponse) => this.#onResponse(response))
    stream.on('drain', () => this.#flush())
    stream.on('error', (error: unknown) => this.#onBroken(stream, errorMessage(error)))
    stream.on('end', () => this.#onBroken(stream, 'the PD ended it'))
  }

  #flush(): void {
    for (const id of this.#unsent) {
      if (this.#stream === undefined || this.#stream.writableNeedDrain) return
      this.#unsent.delete(id)
      const { heartbeat } = this.#latest.get(id)!
      this.#stream.write(heartbeatToWire(heartbeat, this.#options.header))
    }
  }

  #onBroken(stream: Stream, reason: string): void {
    if (stream !== this.#stream || this.#closed) return
    this.#options.logger.debug({ reason }, 'the region heartbeat stream broke')
    this.#stream = undefined
    if (performance.now() - this.#openedAtMs > REOPEN_MS_MAX) this.#reopenMs = REOPEN_MS_MIN
    this.#prune()
    for (const id of this.#latest.keys()) this.#unsent.add(id)
    this.#reopen = setTimeout(() => {
      this.#reopen = undefined
      this.#open()
      this.#flush()
    }, this.#reopenMs)
    this.#reopen.unref()
    this.#reopenMs = Math.min(2 * this.#reopenMs, REOPEN_MS_MAX)
  }

  #onResponse(response: RegionHeartbeatResponse): void {
    const error = response.header?.error
    if (error == null) this.#options.onOrder(orderFromWire(response))
    else {
      const fields = { regionId: response.regionId, error: error.message }
      this.#options.logger.debug(fields, 'the PD refused a region heartbeat')
    }
  }

  /** Forgets regions that this process stopped leading a while ago. */
  #prune(): void {
    const since = performance.now() - REMEMBER_MS
    for (const [id, { atMs }] of this.#latest) {
      if (atMs >= since) continue
      this.#latest.delete(id)
      this.#unsent.delete(id)
    }
    this.#pruneSize = Math.max(PRUNE_SIZE_MIN, 2 * this.#latest.size)
  }
}
