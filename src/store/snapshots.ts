/**
 * Snapshots of a store, on the main thread: decides how many are made, sent and received at once,
 * and carries orders and outcomes between peers, links and the snapshot worker.
 *
 *   made here   peer ─ reserve ─▶ apply builds ─▶ peer ─ send ─▶ [ queue ] ─▶ link ─▶ SnapshotSent
 *   received    link ─ onOffer ─▶ sink ─▶ worker writes, verifies ─▶ message to the peer
 *   installed   peer ─ install ─▶ worker records, ingests ─▶ peer ─ complete ─▶ worker ─▶ peer
 *
 * INVARIANTS
 * - Sets made here: at most setsMax, from reserve() to release(). Sends and receipts are bounded too.
 * - One receipt of a region at a time, and none while the region installs.
 */
import type { SnapshotResult } from '../apply/port.ts'
import { asBuffer } from '../base/bytes.ts'
import type { Clock, Later } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import { type PeerSignal, PeerTag } from '../peer/messages.ts'
import type { Peer } from '../peer/peer.ts'
import type { SnapshotService } from '../peer/ports.ts'
import type { Region } from '../region/region.ts'
import type { SnapshotState } from '../region/state.ts'
import { decodeMeta, type SnapshotMeta, snapshotBytes, snapshotName } from '../snap/format.ts'
import type {
  RaftEnvelope,
  SnapshotOutcome,
  SnapshotRefusal,
  SnapshotSink,
  Transport,
} from '../transport/port.ts'
import { RateLimit } from './rate-limit.ts'
import type { SnapCalls } from './snap-tasks.ts'

export interface SnapshotsConfig {
  readonly concurrentSendSnapLimit: number
  readonly concurrentRecvSnapLimit: number
  readonly snapIoMaxBytesPerSec: number
}

export interface SnapshotsOptions {
  readonly config: SnapshotsConfig
  readonly pool: SnapCalls
  readonly transport: Transport
  /** Bytes that may be written without making the store short of space. */
  readonly room: () => number
  readonly clock: Clock
  readonly later: Later
  readonly logger: Logger
  readonly peer: (regionId: RegionId) => Peer | undefined
  readonly notify: (regionId: RegionId, signal: PeerSignal) => void
  /** The engine or its disk failed. */
  readonly fail: (error: Error) => void
}

/** A receiver that is busy is asked again after this, and so many times. */
const BUSY_WAIT_MS = 500
const BUSY_TRIES = 20
/** Times its size that a received snapshot takes: as files, and as the data itself. */
const SPACE_FACTOR = 2

interface Send {
  readonly envelope: RaftEnvelope
  tries: number
}

export class Snapshots implements SnapshotService {
  readonly #options: SnapshotsOptions
  readonly #rate: RateLimit
  readonly #queue: Send[] = []
  readonly #receiving = new Set<RegionId>()
  /** Regions of which a set made here is being removed. */
  readonly #removing = new Set<RegionId>()
  /** Each takes a timer back. */
  readonly #timers = new Set<() => void>()
  #sets = 0
  #sending = 0
  #lastTransfer = 0
  #closed = false
  readonly counts = {
    built: 0,
    failed: 0,
    sent: 0,
    sendsFailed: 0,
    received: 0,
    installed: 0,
    refusedDiskFull: 0,
  }
  #bytesSent = 0
  #bytesReceived = 0

  constructor(options: SnapshotsOptions) {
    this.#options = options
    this.#rate = new RateLimit(options.config.snapIoMaxBytesPerSec, options.clock, options.later)
  }

  stats(): Record<string, number> {
    return {
      snapshots_held: this.#sets,
      snapshots_sending: this.#sending,
      snapshots_send_queue: this.#queue.length,
      snapshots_receiving: this.#receiving.size,
      snapshots_built: this.counts.built,
      snapshots_build_failures: this.counts.failed,
      snapshots_sent: this.counts.sent,
      snapshots_send_failures: this.counts.sendsFailed,
      snapshots_received: this.counts.received,
      snapshots_installed: this.counts.installed,
      snapshots_refused_disk_full: this.counts.refusedDiskFull,
      snapshots_sent_bytes: this.#bytesSent,
      snapshots_received_bytes: this.#bytesReceived,
    }
  }

  reserve(regionId: RegionId): boolean {
    // Its files may have the names of the new ones.
    if (this.#removing.has(regionId)) return false
    if (this.#sets >= this.#options.config.concurrentSendSnapLimit * 2) return false
    this.#sets++
    return true
  }

  release(data: Uint8Array | undefined): void {
    this.#sets--
    if (data !== undefined) this.discardBuilt(data)
  }

  discardBuilt(data: Uint8Array): void {
    this.#remove('gen', data)
  }

  accepted(regionId: RegionId): void {
    this.#receiving.delete(regionId)
  }

  discard(data: Uint8Array): void {
    this.#remove('rev', data)
  }

  regionOf(data: Uint8Array): Region {
    return decodeMeta(asBuffer(data)).region
  }

  /** Apply has built one, or could not. */
  onBuilt({ regionId, id, meta, error }: SnapshotResult): void {
    if (meta === undefined) this.counts.failed++
    else this.counts.built++
    const built = meta === undefined ? undefined : decodeMeta(asBuffer(meta))
    const result =
      meta === undefined || built === undefined
        ? undefined
        : { data: meta, region: built.region, index: built.index, term: built.term }
    if (this.#options.peer(regionId) === undefined) {
      // The replica was destroyed, but not its reservation.
      this.release(meta)
      return
    }
    this.#options.notify(regionId, { tag: PeerTag.SnapshotBuilt, id, result, error })
  }

  send(envelope: RaftEnvelope): void {
    this.#queue.push({ envelope, tries: 0 })
    this.#sendNext()
  }

  install(regionId: RegionId, data: Uint8Array, state: SnapshotState | undefined): void {
    this.#install(regionId, data, state).catch((error: unknown) => {
      this.#onInstallFailed(regionId, error)
    })
  }

  complete(regionId: RegionId, data: Uint8Array): void {
    const { pool } = this.#options
    pool.call({ op: 'complete', meta: data }).then(
      () => {
        this.counts.installed++
        this.discard(data)
        this.#tell(regionId, 'installed')
      },
      (error: unknown) => this.#onInstallFailed(regionId, error),
    )
  }

  cancel(regionId: RegionId): void {
    this.#options.pool.call({ op: 'cancel', regionId }).catch((error: unknown) => {
      this.#onInstallFailed(regionId, error)
    })
  }

  onOffer(envelope: RaftEnvelope): SnapshotSink | SnapshotRefusal {
    const { config, room, logger } = this.#options
    const meta = metaOf(envelope)
    const { regionId } = envelope
    const refusal = this.#refusalOf(envelope, meta)
    if (refusal !== undefined) return { busy: false, reason: refusal }
    const peer = this.#options.peer(regionId)!
    if (this.#receiving.has(regionId) || !peer.takesSnapshot) {
      return { busy: true, reason: `region ${regionId} is receiving or installing a snapshot` }
    }
    if (this.#receiving.size >= config.concurrentRecvSnapLimit) {
      return { busy: true, reason: `${this.#receiving.size} snapshots are being received` }
    }
    const bytes = snapshotBytes(meta)
    if (room() < bytes * SPACE_FACTOR) {
      this.counts.refusedDiskFull++
      logger.warn({ region: regionId, bytes }, 'no room on disk for a snapshot')
      return { busy: true, reason: `no room on disk for ${bytes} bytes` }
    }
    return this.#sinkOf(envelope)
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const cancel of this.#timers) cancel()
    await this.#options.pool.close()
  }

  #refusalOf(envelope: RaftEnvelope, meta: SnapshotMeta): string | undefined {
    const peer = this.#options.peer(envelope.regionId)
    if (peer === undefined) return `region ${envelope.regionId} is not on this store`
    if (envelope.to.id !== peer.self.id) return `the peer here is ${peer.self.id}`
    if (meta.region.id !== envelope.regionId) return 'it is of another region'
    const stale = meta.index < peer.raft.commitIndex
    return stale ? `everything up to ${peer.raft.commitIndex} is here` : undefined
  }

  #sinkOf(envelope: RaftEnvelope): SnapshotSink {
    const { pool, logger, notify } = this.#options
    const { regionId } = envelope
    const transfer = ++this.#lastTransfer
    const startMs = this.#options.clock.monotonicMs()
    const meta = envelope.message.snapshot!.data
    this.#receiving.add(regionId)
    const begun = pool.call({ op: 'begin', transfer, meta })
    // Whoever writes next hears of it.
    begun.catch(() => {})
    return {
      write: async (file, offset, bytes) => {
        await begun
        this.#bytesReceived += bytes.length
        const own = Uint8Array.from(bytes)
        await pool.call({ op: 'write', transfer, file, offset, bytes: own }, [own.buffer])
      },
      finish: async () => {
        await begun
        await pool.call({ op: 'finish', transfer })
        this.counts.received++
        const ms = Math.round(this.#options.clock.monotonicMs() - startMs)
        logger.info({ region: regionId, ms }, 'received a snapshot')
        if (this.#options.peer(regionId) === undefined) {
          this.accepted(regionId)
          this.discard(meta)
          return
        }
        // Receiving until the peer has it in its care.
        notify(regionId, { tag: PeerTag.SnapshotArrived, envelope })
      },
      abort: () => {
        this.#receiving.delete(regionId)
        // At close there is no worker any more; the next start removes what is left.
        pool.call({ op: 'abort', transfer }).catch(() => {})
      },
    }
  }

  #sendNext(): void {
    const { config, transport } = this.#options
    while (this.#sending < config.concurrentSendSnapLimit && !this.#closed) {
      const send = this.#queue.shift()
      if (send === undefined) return
      this.#sending++
      const data = send.envelope.message.snapshot!.data
      const { files } = metaOf(send.envelope)
      const source = {
        sizes: files.map(({ bytes }) => bytes),
        read: (file: number, offset: number, length: number) =>
          this.#read(data, file, offset, length),
      }
      transport.sendSnapshot(send.envelope, source, (outcome, reason) => {
        this.#sending--
        this.#onSendEnd(send, outcome, reason)
        this.#sendNext()
      })
    }
  }

  async #read(meta: Uint8Array, file: number, offset: number, length: number): Promise<Uint8Array> {
    await this.#rate.take(length)
    const bytes = await this.#options.pool.call({ op: 'read', meta, file, offset, length })
    if (bytes === undefined) throw new PolyraftError('Internal', 'a read answers bytes')
    this.#bytesSent += length
    return bytes
  }

  #onSendEnd(send: Send, outcome: SnapshotOutcome, reason: string): void {
    const { regionId, to } = send.envelope
    if (outcome === 'busy' && send.tries < BUSY_TRIES && !this.#closed) {
      send.tries++
      const cancel = this.#options.later(BUSY_WAIT_MS, () => {
        this.#timers.delete(cancel)
        this.#queue.push(send)
        this.#sendNext()
      })
      this.#timers.add(cancel)
      return
    }
    const ok = outcome === 'sent'
    if (ok) this.counts.sent++
    else this.counts.sendsFailed++
    const fields = { region: regionId, to: to.storeId, reason }
    if (ok) this.#options.logger.info(fields, 'sent a snapshot')
    else this.#options.logger.warn(fields, 'sending a snapshot failed')
    this.#options.notify(regionId, { tag: PeerTag.SnapshotSent, to: to.id, ok })
  }

  async #install(
    regionId: RegionId,
    meta: Uint8Array,
    state: SnapshotState | undefined,
  ): Promise<void> {
    const { pool } = this.#options
    if (state !== undefined) {
      await pool.call({ op: 'record', meta, state })
      this.#tell(regionId, 'recorded')
    }
    await pool.call({ op: 'ingest', meta })
    this.#tell(regionId, 'ingested')
  }

  #tell(regionId: RegionId, phase: 'recorded' | 'ingested' | 'installed' | 'failed'): void {
    this.#options.notify(regionId, { tag: PeerTag.SnapshotInstall, phase })
  }

  /** Damaged files mean another snapshot; anything else means that the engine cannot be trusted. */
  #onInstallFailed(regionId: RegionId, error: unknown): void {
    const { logger, fail } = this.#options
    const code = error instanceof PolyraftError ? error.code : 'Internal'
    if (this.#closed || code === 'Closed') return
    const fields = { region: regionId, error: errorMessage(error) }
    if (code === 'Cancelled') {
      this.#tell(regionId, 'failed')
    } else if (code === 'Corruption') {
      logger.error(fields, 'a received snapshot is damaged: another one is asked for')
      this.#tell(regionId, 'failed')
    } else {
      logger.error(fields, 'installing a snapshot failed')
      fail(error instanceof Error ? error : new Error(errorMessage(error)))
    }
  }

  #remove(origin: 'gen' | 'rev', data: Uint8Array): void {
    const { pool, logger } = this.#options
    if (this.#closed) return
    const meta = decodeMeta(asBuffer(data))
    const name = snapshotName(origin, meta)
    if (origin === 'gen') this.#removing.add(meta.region.id)
    pool
      .call({ op: 'remove', name })
      .catch((error: unknown) => {
        if (!this.#closed) logger.warn({ name, error: errorMessage(error) }, 'files stay behind')
      })
      .finally(() => this.#removing.delete(meta.region.id))
  }
}

/** What came from another store is not trusted: throws Corruption, which ends its transfer. */
function metaOf(envelope: RaftEnvelope): SnapshotMeta {
  const data = envelope.message.snapshot?.data
  if (data === undefined) throw new PolyraftError('Corruption', 'a snapshot offer without one')
  return decodeMeta(asBuffer(data))
}
