/**
 * Snapshots of a store, on the main thread: decides how many are made, sent and received at once,
 * and carries orders and outcomes between peers, links and the snapshot worker.
 *
 *   made here   peer ─ reserve ─▶ apply builds ─▶ peer ─ send ─▶ SnapshotSends ─▶ SnapshotSent
 *   received    link ─ onOffer ─▶ sink ─▶ worker writes, verifies ─▶ message to the peer
 *   installed   peer ─ install ─▶ worker records, ingests ─▶ peer ─ complete ─▶ worker ─▶ peer
 *
 * INVARIANTS
 * - Sets made here: at most setsMax, from reserve() to release(). Sends and receipts are bounded too.
 * - One receipt of a region at a time, and none while the region installs.
 * - A receipt is given up as soon as the snapshot is of no use any more.
 * - Files that nobody uses are removed, at the latest by the second look after that.
 */
import type { SnapshotResult } from '../apply/port.ts'
import { assert } from '../base/assert.ts'
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
import {
  decodeMeta,
  parseSetFile,
  type SnapshotMeta,
  type SnapshotOrigin,
  snapshotBytes,
  snapshotName,
} from '../snap/format.ts'
import type { RaftEnvelope, SnapshotRefusal, SnapshotSink, Transport } from '../transport/port.ts'
import { isRefusal } from '../transport/snapshot-stream.ts'
import type { RestRatio } from './rate-limit.ts'
import type { SnapCalls } from './snap-tasks.ts'
import { type SnapshotJob, SnapshotProgress } from './snapshot-progress.ts'
import { SnapshotRoom } from './snapshot-room.ts'
import { SnapshotSends, type SnapshotSendsConfig } from './snapshot-sends.ts'
import { SnapshotWaste } from './snapshot-waste.ts'

export interface SnapshotsConfig extends SnapshotSendsConfig {
  readonly concurrentRecvSnapLimit: number
  readonly snapMgrGcTickIntervalMs: number
}

export interface SnapshotsOptions {
  readonly config: SnapshotsConfig
  readonly pool: SnapCalls
  readonly transport: Transport
  /** Bytes that may be written without making the store short of space. */
  readonly room: () => number
  readonly clock: Clock
  readonly later: Later
  readonly rest: RestRatio
  readonly logger: Logger
  readonly peer: (regionId: RegionId) => Peer | undefined
  readonly notify: (regionId: RegionId, signal: PeerSignal) => void
  /** The engine or its disk failed. */
  readonly fail: (error: Error) => void
}

export class Snapshots implements SnapshotService {
  readonly progress: SnapshotProgress
  readonly #options: SnapshotsOptions
  readonly #sends: SnapshotSends
  readonly #room: SnapshotRoom
  readonly #waste: SnapshotWaste
  readonly #receiving = new Set<RegionId>()
  /** Regions of which files made here are being removed. */
  readonly #removing = new Set<RegionId>()
  /** Sets made here, whole ones, by name. */
  readonly #held = new Set<string>()
  #sets = 0
  #lastTransfer = 0
  #closed = false
  #refusedDiskFull = 0
  /** Something was made, received or removed since the last look for waste. */
  #touched = false
  #filesCollected = 0
  #refused = 0
  #cancelLook = (): void => {}

  constructor(options: SnapshotsOptions) {
    const { clock, logger, room } = options
    this.#options = options
    this.progress = new SnapshotProgress(clock, logger)
    this.#sends = new SnapshotSends({ ...options, progress: this.progress, metaOf })
    this.#room = new SnapshotRoom(room)
    this.#waste = new SnapshotWaste({
      uses: (origin, regionId, name) => this.#uses(origin, regionId, name),
    })
    this.#lookLater()
  }

  stats(): Record<string, number> {
    return {
      snapshots_held: this.#sets,
      snapshots_sending: this.#sends.running,
      snapshots_send_queue: this.#sends.queued,
      snapshots_receiving: this.#receiving.size,
      snapshots_promised_bytes: this.#room.promisedBytes,
      snapshots_refused_disk_full: this.#refusedDiskFull,
      snapshots_files_collected: this.#filesCollected,
      snapshots_offers_refused: this.#refused,
      ...this.progress.stats(),
    }
  }

  reserve(regionId: RegionId): boolean {
    // Its files may have the names of the new ones.
    if (this.#removing.has(regionId)) return false
    if (this.#sets >= this.#options.config.concurrentSendSnapLimit * 2) return false
    this.#sets++
    this.#touched = true
    this.progress.begin('build', regionId, 0)
    return true
  }

  release(data: Uint8Array | undefined): void {
    assert(this.#sets > 0, 'what is released was reserved')
    this.#sets--
    if (data !== undefined) this.discardBuilt(data)
  }

  discardBuilt(data: Uint8Array): void {
    this.#held.delete(snapshotName('gen', decodeMeta(asBuffer(data))))
    this.#remove('gen', data)
  }

  accepted(regionId: RegionId): void {
    this.#receiving.delete(regionId)
  }

  discard(data: Uint8Array): void {
    this.#room.give(this.regionOf(data).id)
    this.#remove('rev', data)
  }

  regionOf(data: Uint8Array): Region {
    return decodeMeta(asBuffer(data)).region
  }

  /** Apply has built one, or could not. */
  onBuilt({ regionId, id, meta, error }: SnapshotResult): void {
    const built = meta === undefined ? undefined : decodeMeta(asBuffer(meta))
    const result =
      meta === undefined || built === undefined
        ? undefined
        : { data: meta, region: built.region, index: built.index, term: built.term }
    const job = this.progress.find('build', regionId)
    if (job !== undefined) {
      if (built !== undefined) this.progress.add(job, snapshotBytes(built))
      this.progress.end(job, built !== undefined)
    }
    if (built !== undefined) this.#held.add(snapshotName('gen', built))
    if (this.#options.peer(regionId) === undefined) {
      // The replica was destroyed, but not its reservation.
      this.release(meta)
      return
    }
    this.#options.notify(regionId, { tag: PeerTag.SnapshotBuilt, id, result, error })
  }

  send(envelope: RaftEnvelope): void {
    this.#sends.send(envelope)
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
        this.#endInstall(regionId, true)
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
    const answer = this.#answerOffer(envelope)
    if (isRefusal(answer)) this.#refused++
    return answer
  }

  #answerOffer(envelope: RaftEnvelope): SnapshotSink | SnapshotRefusal {
    const { config, logger } = this.#options
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
    if (!this.#room.take(regionId, bytes)) {
      this.#refusedDiskFull++
      logger.warn({ region: regionId, bytes }, 'no room on disk for a snapshot')
      return { busy: true, reason: `no room on disk for ${bytes} bytes` }
    }
    return this.#sinkOf(envelope, meta)
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#cancelLook()
    this.#sends.close()
    await this.#options.pool.close()
  }

  #refusalOf(envelope: RaftEnvelope, meta: SnapshotMeta): string | undefined {
    const peer = this.#options.peer(envelope.regionId)
    if (peer === undefined) return `region ${envelope.regionId} is not on this store`
    if (envelope.to.id !== peer.self.id) return `the peer here is ${peer.self.id}`
    if (meta.region.id !== envelope.regionId) return 'it is of another region'
    const { term, commitIndex } = peer.raft
    if (envelope.message.term < term)
      return `it was sent in term ${envelope.message.term}, before ${term}`
    return meta.index < commitIndex ? `everything up to ${commitIndex} is here` : undefined
  }

  #sinkOf(envelope: RaftEnvelope, meta: SnapshotMeta): SnapshotSink {
    const { pool, logger, notify } = this.#options
    const { regionId, from, message } = envelope
    const transfer = ++this.#lastTransfer
    const job = this.progress.begin('receive', regionId, snapshotBytes(meta), from.storeId)
    this.#receiving.add(regionId)
    this.#touched = true
    const begun = pool.call({ op: 'begin', transfer, meta: message.snapshot!.data })
    // Whoever writes next hears of it.
    begun.catch(() => {})
    return {
      write: async (file, offset, bytes) => {
        await begun
        this.#mustBeOfUse(envelope, meta, job)
        const { length } = bytes
        // The memory is ours, so it moves on.
        const memory = bytes.buffer as ArrayBuffer
        await pool.call({ op: 'write', transfer, file, offset, bytes }, [memory])
        this.progress.add(job, length)
        this.#room.onWritten(regionId, length)
      },
      finish: async () => {
        await begun
        await pool.call({ op: 'finish', transfer })
        logger.info(
          { region: regionId, ms: Math.round(this.progress.ageMs(job)) },
          'received a snapshot',
        )
        this.progress.end(job, true)
        if (this.#options.peer(regionId) === undefined) {
          this.accepted(regionId)
          this.discard(message.snapshot!.data)
          return
        }
        // Receiving until the peer has it in its care.
        notify(regionId, { tag: PeerTag.SnapshotArrived, envelope })
      },
      abort: () => {
        this.progress.end(job, false)
        this.#receiving.delete(regionId)
        this.#room.give(regionId)
        // At close there is no worker any more; the next start removes what is left.
        pool.call({ op: 'abort', transfer }).catch(() => {})
      },
    }
  }

  /** Before each chunk: a region that is gone, or has caught up otherwise, takes no more. */
  #mustBeOfUse(envelope: RaftEnvelope, meta: SnapshotMeta, job: SnapshotJob): void {
    const late = this.progress.ageMs(job) > this.#options.config.snapGcTimeoutMs
    const why = this.#refusalOf(envelope, meta) ?? (late && 'it takes longer than snap-gc-timeout')
    if (why) throw new PolyraftError('Cancelled', why)
  }

  async #install(
    regionId: RegionId,
    meta: Uint8Array,
    state: SnapshotState | undefined,
  ): Promise<void> {
    const { pool } = this.#options
    this.#touched = true
    const bytesTotal = snapshotBytes(decodeMeta(asBuffer(meta)))
    const job = this.progress.begin('install', regionId, bytesTotal)
    if (state !== undefined) {
      await pool.call({ op: 'record', meta, state })
      this.#tell(regionId, 'recorded')
    }
    await pool.call({ op: 'ingest', meta }, [], (bytes) => {
      this.progress.add(job, bytes)
      this.#room.onWritten(regionId, bytes)
    })
    this.#tell(regionId, 'ingested')
  }

  #tell(regionId: RegionId, phase: 'recorded' | 'ingested' | 'installed' | 'failed'): void {
    this.#options.notify(regionId, { tag: PeerTag.SnapshotInstall, phase })
  }

  #endInstall(regionId: RegionId, ok: boolean): void {
    const job = this.progress.find('install', regionId)
    if (job !== undefined) this.progress.end(job, ok)
  }

  /** Damaged files mean another snapshot; anything else means that the engine cannot be trusted. */
  #onInstallFailed(regionId: RegionId, error: unknown): void {
    const { logger, fail } = this.#options
    this.#endInstall(regionId, false)
    this.#room.give(regionId)
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
    this.#touched = true
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

  #lookLater(): void {
    const { config, later } = this.#options
    this.#cancelLook = later(config.snapMgrGcTickIntervalMs, () => {
      this.#collectWaste().then(
        () => this.#lookAgain(),
        (error: unknown) => {
          const fields = { error: errorMessage(error) }
          if (!this.#closed) this.#options.logger.warn(fields, 'snapshot files stay behind')
          this.#lookAgain()
        },
      )
    })
  }

  #lookAgain(): void {
    if (!this.#closed) this.#lookLater()
  }

  /** A store that has to do with no snapshots does not look, and needs no thread for it. */
  async #collectWaste(): Promise<void> {
    const { pool, logger } = this.#options
    if (!this.#touched && !this.#waste.hasSuspects) return
    this.#touched = false
    const names = asBuffer((await pool.call({ op: 'list' }))!).toString()
    const files = this.#waste.look(names === '' ? [] : names.split('\n'))
    // What is in use now may be waste at the next look.
    if (names !== '') this.#touched = true
    if (files.length === 0) return
    const regions = files.map(regionOfFile)
    for (const id of regions) this.#removing.add(id)
    try {
      await pool.call({ op: 'remove-files', files })
    } finally {
      for (const id of regions) this.#removing.delete(id)
    }
    this.#filesCollected += files.length
    logger.info({ files: files.length }, 'removed snapshot files that nobody uses')
  }

  #uses(origin: SnapshotOrigin, regionId: RegionId, name: string): boolean {
    if (origin === 'gen') {
      return this.#held.has(name) || this.progress.find('build', regionId) !== undefined
    }
    const peer = this.#options.peer(regionId)
    const isAccepted = peer?.heldSnapshot !== undefined || peer?.install !== undefined
    return this.#receiving.has(regionId) || isAccepted
  }
}

function regionOfFile(file: string): RegionId {
  return parseSetFile(file)?.regionId ?? 0
}

/** What came from another store is not trusted: throws Corruption, which ends its transfer. */
function metaOf(envelope: RaftEnvelope): SnapshotMeta {
  const data = envelope.message.snapshot?.data
  if (data === undefined) throw new PolyraftError('Corruption', 'a snapshot offer without one')
  return decodeMeta(asBuffer(data))
}
