/**
 * Tells PD how the store and the regions it leads are doing. Region reports leave at once when a
 * leader changes and on PD's interval; the store's own on its shorter one. PD being away is normal
 * weather: it is logged once per outage, and the next report says everything anew. That another
 * process has come to speak for this store is not: two that vote under one id break every promise of
 * raft, so this one ends.
 */
import type { Clock } from '../base/clock.ts'
import { errorMessage, PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { DiskFigures } from '../env/disk-space.ts'
import type { PdClient } from '../pd/port.ts'
import type { RegionReport } from '../peer/ports.ts'

export interface StoreFigures {
  readonly regionCount: number
  readonly isBusy: boolean
}

export interface PdReporterOptions {
  readonly pd: PdClient
  readonly storeId: StoreId
  /** As it was registered: PD tells the processes of a store by it. */
  readonly startTimeS: number
  readonly disk: () => DiskFigures
  readonly clock: Clock
  readonly logger: Logger
  readonly intervalMs: number
  readonly figures: () => StoreFigures
  readonly fail: (error: Error) => void
}

export class PdReporter {
  readonly #options: PdReporterOptions
  #intervalStartS: number
  #keysWritten = 0
  #bytesWritten = 0
  #keysRead = 0
  #bytesRead = 0
  #timer: NodeJS.Timeout | undefined
  #pdIsAway = false

  constructor(options: PdReporterOptions) {
    this.#options = options
    this.#intervalStartS = options.startTimeS
  }

  start(): void {
    this.#timer = setInterval(() => this.#reportStore(), this.#options.intervalMs)
    this.#reportStore()
  }

  stop(): void {
    clearInterval(this.#timer)
  }

  reportRegion(report: RegionReport): void {
    this.#keysWritten += report.keysWritten
    this.#bytesWritten += report.bytesWritten
    this.#keysRead += report.keysRead
    this.#bytesRead += report.bytesRead
    this.#options.pd.regionHeartbeat({
      ...report,
      approximateSize: 0,
      approximateKeys: 0,
      intervalStartS: this.#intervalStartS,
      intervalEndS: Math.floor(this.#options.clock.wallMs() / 1000),
    })
  }

  #reportStore(): void {
    const { pd, storeId, startTimeS, clock, logger, figures } = this.#options
    const { totalBytes: capacity, freeBytes: available } = this.#options.disk()
    const intervalStartS = this.#intervalStartS
    this.#intervalStartS = Math.floor(clock.wallMs() / 1000)
    pd.storeHeartbeat({
      storeId,
      capacity,
      available,
      usedSize: capacity - available,
      ...figures(),
      startTime: startTimeS,
      bytesWritten: this.#bytesWritten,
      keysWritten: this.#keysWritten,
      bytesRead: this.#bytesRead,
      keysRead: this.#keysRead,
      intervalStartS,
      intervalEndS: this.#intervalStartS,
    }).then(
      () => {
        if (this.#pdIsAway) logger.info({}, 'PD answers again')
        this.#pdIsAway = false
      },
      (error: unknown) => {
        if (error instanceof PolyraftError && error.code === 'DataDirMismatch') {
          this.#options.fail(error)
        }
        if (!this.#pdIsAway) logger.warn({ error: errorMessage(error) }, 'PD does not answer')
        this.#pdIsAway = true
      },
    )
    this.#keysWritten = 0
    this.#bytesWritten = 0
    this.#keysRead = 0
    this.#bytesRead = 0
  }
}
