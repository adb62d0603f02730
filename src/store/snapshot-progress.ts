/**
 * Snapshots under way on a store, how far they are, and what those that ended cost: for status
 * pages, the log and metrics.
 */
import type { Clock } from '../base/clock.ts'
import type { RegionId, StoreId } from '../base/ids.ts'
import { MIB } from '../base/limits.ts'
import type { Logger } from '../base/logger.ts'

const SNAPSHOT_PHASES = ['build', 'send', 'receive', 'install'] as const
export type SnapshotPhase = (typeof SNAPSHOT_PHASES)[number]

/** One that takes longer than this gets a line in the log, and another one each time as long. */
const LONG_MS = 10_000

export interface SnapshotProgressView {
  readonly phase: SnapshotPhase
  /** The other end of a transfer. */
  readonly storeId?: StoreId
  readonly bytes: number
  /** 0 while it is not known: of a build. */
  readonly bytesTotal: number
}

export interface SnapshotJob {
  readonly phase: SnapshotPhase
  readonly regionId: RegionId
  readonly storeId: StoreId | undefined
  readonly bytesTotal: number
  readonly startMs: number
  bytes: number
  /** Of the last line in the log. */
  toldMs: number
}

/** What has happened to one that ended: as metrics say it. */
const DONE = { build: 'built', send: 'sent', receive: 'received', install: 'installed' } as const

interface Sum {
  count: number
  seconds: number
  bytes: number
  failures: number
}

export class SnapshotProgress {
  readonly #clock: Clock
  readonly #logger: Logger
  readonly #jobs = new Set<SnapshotJob>()
  readonly #sums: Readonly<Record<SnapshotPhase, Sum>> = {
    build: { count: 0, seconds: 0, bytes: 0, failures: 0 },
    send: { count: 0, seconds: 0, bytes: 0, failures: 0 },
    receive: { count: 0, seconds: 0, bytes: 0, failures: 0 },
    install: { count: 0, seconds: 0, bytes: 0, failures: 0 },
  }

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  begin(
    phase: SnapshotPhase,
    regionId: RegionId,
    bytesTotal: number,
    storeId?: StoreId,
  ): SnapshotJob {
    const nowMs = this.#clock.monotonicMs()
    const job = { phase, regionId, storeId, bytesTotal, startMs: nowMs, bytes: 0, toldMs: nowMs }
    this.#jobs.add(job)
    return job
  }

  add(job: SnapshotJob, bytes: number): void {
    job.bytes += bytes
    this.#sums[job.phase].bytes += bytes
    const nowMs = this.#clock.monotonicMs()
    if (nowMs - job.toldMs < LONG_MS) return
    job.toldMs = nowMs
    const { phase, regionId, storeId, bytesTotal, startMs } = job
    this.#logger.info(
      {
        region: regionId,
        phase,
        ...(storeId !== undefined && { store: storeId }),
        mib: Math.round(job.bytes / MIB),
        ofMib: Math.round(bytesTotal / MIB),
        seconds: Math.round((nowMs - startMs) / 1000),
      },
      'a snapshot is on its way',
    )
  }

  /** Ends a job; only the first end of it counts. */
  end(job: SnapshotJob, ok: boolean): void {
    if (!this.#jobs.delete(job)) return
    const sum = this.#sums[job.phase]
    if (!ok) {
      sum.failures++
      return
    }
    sum.count++
    sum.seconds += (this.#clock.monotonicMs() - job.startMs) / 1000
  }

  /** It never really began. */
  drop(job: SnapshotJob): void {
    this.#jobs.delete(job)
  }

  ageMs(job: SnapshotJob): number {
    return this.#clock.monotonicMs() - job.startMs
  }

  find(phase: SnapshotPhase, regionId: RegionId): SnapshotJob | undefined {
    for (const job of this.#jobs) {
      if (job.phase === phase && job.regionId === regionId) return job
    }
    return undefined
  }

  of(regionId: RegionId): SnapshotProgressView[] {
    const own = [...this.#jobs].filter((job) => job.regionId === regionId)
    return own.map(({ phase, storeId, bytes, bytesTotal }) => {
      return { phase, ...(storeId !== undefined && { storeId }), bytes, bytesTotal }
    })
  }

  /** By phase: how many succeeded, in how many seconds, how many failed, and bytes moved by all. */
  stats(): Record<string, number> {
    const figures: Record<string, number> = {}
    for (const phase of SNAPSHOT_PHASES) {
      const { count, seconds, bytes, failures } = this.#sums[phase]
      figures[`snapshots_${DONE[phase]}`] = count
      figures[`snapshots_${DONE[phase]}_bytes`] = bytes
      figures[`snapshots_${phase}_seconds`] = seconds
      figures[`snapshots_${phase}_failures`] = failures
    }
    return figures
  }
}
