/**
 * Snapshots that leave a store: a queue with few under way at a time, at a bounded rate.
 *
 *   send() ─▶ [ queue ] ─▶ link ─▶ sent                               SnapshotSent ok
 *                ▲          ├────▶ receiver busy ─ waits, longer each time ─┐
 *                └──────────│───────────────────────────────────────────────┘
 *                           ├────▶ failed ─ waits, longer each time ─▶ SnapshotSent not ok
 *                           └────▶ given up: leadership ended, …  ───▶ SnapshotSent not ok, at once
 *
 * INVARIANTS
 * - Every send() ends in one SnapshotSent, unless the store closes: also when the receiver stalls
 *   (the link's business) or this store's disk does.
 * - Raft asks again only when it has heard of a failure: telling it late is what keeps a receiver
 *   that cannot take snapshots from being tried all the time.
 */
import type { Clock, Later } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import { KIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'
import { type PeerSignal, PeerTag } from '../peer/messages.ts'
import type { Peer } from '../peer/peer.ts'
import { peerById } from '../region/region.ts'
import { type SnapshotMeta, snapshotBytes } from '../snap/format.ts'
import type { RaftEnvelope, SnapshotOutcome, SnapshotSource, Transport } from '../transport/port.ts'
import { CHUNK_HEADROOM_BYTES } from '../transport/snapshot-stream.ts'
import { RateLimit, type RestRatio } from './rate-limit.ts'
import type { SnapCalls } from './snap-tasks.ts'
import type { SnapshotProgress } from './snapshot-progress.ts'

export interface SnapshotSendsConfig {
  readonly concurrentSendSnapLimit: number
  readonly snapIoMaxBytesPerSec: number
  readonly snapGcTimeoutMs: number
}

export interface SnapshotSendsOptions {
  readonly config: SnapshotSendsConfig
  readonly pool: SnapCalls
  readonly transport: Pick<Transport, 'sendSnapshot'>
  readonly clock: Clock
  readonly later: Later
  readonly rest: RestRatio
  readonly logger: Logger
  readonly progress: SnapshotProgress
  readonly peer: (regionId: RegionId) => Pick<Peer, 'isLeader' | 'raft' | 'region'> | undefined
  readonly notify: (regionId: RegionId, signal: PeerSignal) => void
  readonly metaOf: (envelope: RaftEnvelope) => SnapshotMeta
}

/** A receiver that is busy is asked again after the first, at last after the longest of these. */
const BUSY_WAIT_MS = 500
const BUSY_WAIT_MS_MAX = 4000
/** About half a minute in all; then the set is wanted for others, perhaps. */
const BUSY_TRIES = 10
/** At a low rate a chunk is what may leave in a second, so that the receiver hears of us. */
const CHUNK_BYTES_MIN = KIB
const FAILED_WAIT_MS = 250
/** A disk that gives nothing for so long will not soon; others are waiting. */
const READ_MS_MAX = 30_000
const FAILED_WAIT_MS_MAX = 10_000

interface Send {
  readonly envelope: RaftEnvelope
  readonly startMs: number
  tries: number
  /** Why it was given up. */
  cancelled: string | undefined
}

export class SnapshotSends {
  readonly #options: SnapshotSendsOptions
  readonly #rate: RateLimit
  readonly #queue: Send[] = []
  /** Each takes a timer back. */
  readonly #timers = new Set<() => void>()
  /** Failures in a row, by region and receiver. */
  readonly #failures = new Map<string, number>()
  #running = 0
  #closed = false

  constructor(options: SnapshotSendsOptions) {
    const { config, clock, later, rest } = options
    this.#options = options
    this.#rate = new RateLimit(config.snapIoMaxBytesPerSec, clock, later, rest)
  }

  get running(): number {
    return this.#running
  }

  get queued(): number {
    return this.#queue.length
  }

  send(envelope: RaftEnvelope): void {
    const startMs = this.#options.clock.monotonicMs()
    this.#queue.push({ envelope, startMs, tries: 0, cancelled: undefined })
    this.#next()
  }

  close(): void {
    this.#closed = true
    for (const cancel of this.#timers) cancel()
    this.#rate.stop()
  }

  #next(): void {
    const { config } = this.#options
    while (this.#running < config.concurrentSendSnapLimit && !this.#closed) {
      const send = this.#queue.shift()
      if (send === undefined) return
      if (this.#isCancelled(send)) this.#report(send, false)
      else this.#start(send)
    }
  }

  #start(send: Send): void {
    const { config, transport, progress, metaOf } = this.#options
    const { envelope } = send
    const meta = metaOf(envelope)
    const { regionId, to } = envelope
    const job = progress.begin('send', regionId, snapshotBytes(meta), to.storeId)
    const source: SnapshotSource = {
      sizes: meta.files.map(({ bytes }) => bytes),
      headroomBytes: CHUNK_HEADROOM_BYTES,
      chunkBytesMax: Math.max(config.snapIoMaxBytesPerSec, CHUNK_BYTES_MIN),
      read: async (file, offset, length) => {
        const bytes = await this.#read(send, file, offset, length)
        progress.add(job, length)
        return bytes
      },
    }
    this.#running++
    transport.sendSnapshot(envelope, source, (outcome, reason) => {
      this.#running--
      // Being told to come later is no failure.
      if (outcome === 'busy') progress.drop(job)
      else progress.end(job, outcome === 'sent')
      this.#onEnd(send, outcome, reason)
      this.#next()
    })
  }

  async #read(send: Send, file: number, offset: number, length: number): Promise<Uint8Array> {
    await this.#rate.take(length)
    if (this.#isCancelled(send)) throw new PolyraftError('Cancelled', send.cancelled!)
    const meta = send.envelope.message.snapshot!.data
    const { pool } = this.#options
    const bytes = await this.#inTime(pool.call({ op: 'read', meta, file, offset, length }))
    if (bytes === undefined) throw new PolyraftError('Internal', 'a read answers bytes')
    return bytes
  }

  #inTime<T>(reading: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const inTime = this.#after(READ_MS_MAX, () => {
        const seconds = READ_MS_MAX / 1000
        reject(new PolyraftError('Timeout', `its files were not read within ${seconds} s`))
      })
      reading.then(resolve, reject).finally(inTime)
    })
  }

  /** Looked at before each chunk: nothing has to be told when a region changes. */
  #isCancelled(send: Send): boolean {
    const { peer: find, clock, config } = this.#options
    const { regionId, to, message } = send.envelope
    const peer = find(regionId)
    if (peer === undefined || !peer.isLeader || peer.raft.term !== message.term) {
      send.cancelled = 'leadership ended'
    } else if (peerById(peer.region, to.id) === undefined) {
      send.cancelled = 'the receiver is no replica any more'
    } else if (clock.monotonicMs() - send.startMs > config.snapGcTimeoutMs) {
      send.cancelled = 'it takes longer than snap-gc-timeout'
    }
    return send.cancelled !== undefined
  }

  #onEnd(send: Send, outcome: SnapshotOutcome, reason: string): void {
    const { regionId, to } = send.envelope
    const key = `${regionId} ${to.id}`
    const fields = { region: regionId, to: to.storeId, reason: send.cancelled ?? reason }
    if (outcome === 'sent') {
      this.#failures.delete(key)
      this.#options.logger.info(fields, 'sent a snapshot')
      this.#report(send, true)
      return
    }
    if (outcome === 'busy' && send.tries < BUSY_TRIES) {
      const waitMs = Math.min(BUSY_WAIT_MS * 2 ** send.tries++, BUSY_WAIT_MS_MAX)
      this.#after(waitMs, () => {
        this.#queue.push(send)
        this.#next()
      })
      return
    }
    this.#options.logger.warn(fields, 'sending a snapshot failed')
    if (send.cancelled !== undefined) {
      this.#failures.delete(key)
      this.#report(send, false)
      return
    }
    const failures = this.#failures.get(key) ?? 0
    this.#failures.set(key, failures + 1)
    const waitMs = Math.min(FAILED_WAIT_MS * 2 ** failures, FAILED_WAIT_MS_MAX)
    this.#after(waitMs, () => this.#report(send, false))
  }

  #report({ envelope: { regionId, to } }: Send, ok: boolean): void {
    this.#options.notify(regionId, { tag: PeerTag.SnapshotSent, to: to.id, ok })
  }

  /** Answers what takes it back. */
  #after(delayMs: number, run: () => void): () => void {
    if (this.#closed) return () => {}
    const cancel = this.#options.later(delayMs, () => {
      this.#timers.delete(cancel)
      run()
    })
    this.#timers.add(cancel)
    return () => {
      this.#timers.delete(cancel)
      cancel()
    }
  }
}
