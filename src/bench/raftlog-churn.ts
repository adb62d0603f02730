/**
 * `raftlog churn`: many generations of segments while most regions lag. A tenth of the regions is
 * busy and compacts behind itself; the others get an entry now and then and never compact, so each
 * would keep a segment for ever; a few only grow, until the log asks for their compaction.
 *
 * Operations are entries; latency is a round's. Space amplification: disk use by live entries;
 * write amplification: bytes written by bytes of entries.
 */
import { build } from 'hdr-histogram-js'
import { MIB } from '../base/limits.ts'
import { silentLogger } from '../base/logger.ts'
import { nodeFileSystem } from '../env/node-fs.ts'
import { openRaftLog } from '../raftlog/open.ts'
import type { RaftLog } from '../raftlog/port.ts'
import { ENTRY_BYTES, HARD_STATE } from './raftlog-load.ts'
import type { BenchReport } from './report.ts'
import { withScratch } from './scratch.ts'

const REGIONS = 1000
const BUSY = 100
const GROWING = 5
const KEPT = 100
const SEGMENT_BYTES = 4 * MIB
const PURGE_BYTES = 16 * MIB
const GENERATIONS_PER_SECOND = 25

export async function runChurn(report: BenchReport, seconds: number): Promise<void> {
  await withScratch('churn', async (scratch) => {
    const churn = await scratch.open(Churn.open(scratch.dir))
    await churn.run(Math.ceil(seconds * GENERATIONS_PER_SECOND), report)
  })
}

class Churn {
  readonly #log: RaftLog
  readonly #data = Buffer.alloc(ENTRY_BYTES, 'e')
  readonly #histogram = build({ highestTrackableValue: 60_000_000_000 })
  #onPersisted: (() => void) | undefined
  #readyNumber = 0
  #entries = 0
  #asked = 0
  #diskMax = 0

  static async open(dir: string): Promise<Churn> {
    let churn: Churn | undefined
    const log = await openRaftLog({
      dir,
      fs: nodeFileSystem,
      writers: 1,
      segmentBytes: SEGMENT_BYTES,
      purgeBytes: PURGE_BYTES,
      cacheBytes: MIB,
      logger: silentLogger,
      events: {
        onPersisted: (region) => {
          if (region === BUSY) churn!.#onPersisted!()
        },
        onFailed: (error) => {
          throw error
        },
      },
    })
    churn = new Churn(log)
    return churn
  }

  private constructor(log: RaftLog) {
    this.#log = log
    for (let region = 1; region <= REGIONS; region++) log.create(region, 5, 5, HARD_STATE)
  }

  async run(generations: number, report: BenchReport): Promise<void> {
    for (let region = BUSY + 1; region <= REGIONS; region++) this.#append(region)
    const start = performance.now()
    let told = 0
    for (let round = 1; this.#purged() < generations; round++) {
      const before = performance.now()
      await this.#round(round)
      this.#histogram.recordValue(Math.round((performance.now() - before) * 1e6))
      if (this.#purged() - told < generations / 4) continue
      told = this.#purged()
      this.#report(report, (performance.now() - start) / 1000)
    }
    this.#report(report, (performance.now() - start) / 1000)
  }

  close(): Promise<void> {
    return this.#log.close()
  }

  async #round(round: number): Promise<void> {
    const durable = new Promise<void>((resolve) => {
      this.#onPersisted = resolve
    })
    for (let region = 1; region <= BUSY; region++) {
      this.#append(region)
      const { lastIndex } = this.#log.state(region)!
      if (round % KEPT === region % KEPT && lastIndex - KEPT > 5) {
        this.#log.compact(region, lastIndex - KEPT)
      }
    }
    this.#append(BUSY + 1 + (round % (REGIONS - BUSY)))
    for (let i = 1; i <= GROWING; i++) this.#append(REGIONS + 1 - i)
    this.#log.flush()
    for (const { regionId, index } of this.#log.regionsToCompact()) {
      this.#log.compact(regionId, index)
      this.#asked++
    }
    await durable
    this.#diskMax = Math.max(this.#diskMax, this.#log.stats().raftlog_disk_bytes!)
  }

  #append(regionId: number): void {
    const index = this.#log.state(regionId)!.lastIndex + 1
    const entries = [{ index, term: 6, type: 0 as const, data: this.#data }]
    const hardState = { term: 6, vote: 1, commit: index - 1 }
    this.#log.write({ regionId, readyNumber: ++this.#readyNumber, entries, hardState })
    this.#entries++
  }

  #purged(): number {
    return this.#log.stats().raftlog_segments_purged!
  }

  #report(report: BenchReport, seconds: number): void {
    const stats = this.#log.stats()
    const disk = stats.raftlog_disk_bytes!
    const payload = this.#entries * ENTRY_BYTES
    report.add({
      suite: 'raftlog',
      case: `churn, ${REGIONS} regions`,
      system: 'polyraft',
      opsPerSec: this.#entries / seconds,
      p50Ms: this.#histogram.getValueAtPercentile(50) / 1e6,
      p99Ms: this.#histogram.getValueAtPercentile(99) / 1e6,
      n: this.#entries,
      config: {
        generations: stats.raftlog_segments_purged,
        diskMiB: Math.round(disk / MIB),
        diskMaxMiB: Math.round(this.#diskMax / MIB),
        purgeMiB: PURGE_BYTES / MIB,
        liveMiB: Math.round(stats.raftlog_live_bytes! / MIB),
        spaceAmplification: round(disk / stats.raftlog_live_bytes!),
        writeAmplification: round(stats.raftlog_written_bytes! / payload),
        rewrittenShare: round(stats.raftlog_rewritten_bytes! / stats.raftlog_written_bytes!),
        compactionsAsked: this.#asked,
      },
    })
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}
