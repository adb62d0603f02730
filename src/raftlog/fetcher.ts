/**
 * Brings entries that left the cache back from disk, off the calling thread, and keeps what came
 * until the caller asks for it again.
 *
 * INVARIANTS
 * - A kept answer is given out once, and never after entries of its region were replaced.
 * - Kept answers are bounded in number and bytes: the oldest go when nobody asks, the newest never.
 */
import type { Piscina } from 'piscina'
import { builtUrl } from '../base/built-url.ts'
import { asBuffer } from '../base/bytes.ts'
import type { RoundScheduler } from '../base/clock.ts'
import { PolyraftError } from '../base/errors.ts'
import type { LogIndex, Term } from '../base/ids.ts'
import { MIB } from '../base/limits.ts'
import type { FileSystem } from '../env/port.ts'
import type { Entry, EntryType } from '../raft/types.ts'
import { type FetchPlan, type FetchRange, type FetchReply, readFrames } from './fetch-read.ts'
import { FRAME_HEADER_BYTES, frameSeed } from './format.ts'
import type { RegionLog } from './region-log.ts'

const KEPT_MAX = 64
const KEPT_BYTES_MAX = 32 * MIB
const THREADS_MAX = 2
const IDLE_MS = 10_000

/** How frames are read: on a pool of threads, or on a later turn of this one. */
export interface FrameSource {
  read(plan: FetchPlan): Promise<FetchReply>
  close(): Promise<void>
}

/** The pool is made by the first read and keeps no thread that is idle. */
export class PoolSource implements FrameSource {
  #pool: Promise<Piscina<FetchPlan, FetchReply>> | undefined = undefined

  async read(plan: FetchPlan): Promise<FetchReply> {
    this.#pool ??= this.#open()
    const pool = await this.#pool
    return pool.run(plan)
  }

  async close(): Promise<void> {
    if (this.#pool === undefined) return
    const pool = await this.#pool
    await pool.close()
  }

  async #open(): Promise<Piscina<FetchPlan, FetchReply>> {
    const { Piscina } = await import('piscina')
    return new Piscina<FetchPlan, FetchReply>({
      filename: builtUrl('raftlog/fetch-worker.js').href,
      minThreads: 0,
      maxThreads: THREADS_MAX,
      idleTimeout: IDLE_MS,
    })
  }
}

export class InlineSource implements FrameSource {
  readonly #fs: FileSystem
  readonly #later: RoundScheduler

  constructor(fs: FileSystem, later: RoundScheduler) {
    this.#fs = fs
    this.#later = later
  }

  read(plan: FetchPlan): Promise<FetchReply> {
    return new Promise((resolve) => {
      this.#later.schedule(() => resolve(readFrames(this.#fs, plan)))
    })
  }

  async close(): Promise<void> {}
}

interface Kept {
  readonly region: RegionLog
  readonly generation: number
  readonly entries: readonly Entry[]
  readonly bytes: number
}

export class Fetcher {
  readonly #source: FrameSource
  readonly #directory: string
  #kept: Kept[] = []
  #keptBytes = 0
  #fetches = 0
  #closed = false

  constructor(source: FrameSource, directory: string) {
    this.#source = source
    this.#directory = directory
  }

  get fetches(): number {
    return this.#fetches
  }

  /** Takes out what was fetched for `low` on, if it is still true. */
  take(region: RegionLog, low: LogIndex): readonly Entry[] | undefined {
    const at = this.#kept.findIndex(
      (kept) => kept.region === region && kept.entries[0]!.index === low,
    )
    if (at < 0) return undefined
    const kept = this.#kept[at]!
    this.#kept.splice(at, 1)
    this.#keptBytes -= kept.bytes
    return kept.generation === region.generation ? kept.entries : undefined
  }

  /** Fetches [low, high), all of which must be persisted and in the region's index. */
  fetch(
    region: RegionLog,
    low: LogIndex,
    high: LogIndex,
    done: (error: Error | undefined) => void,
  ): void {
    this.#fetches++
    const { generation } = region
    this.load(region, low, high, (loaded) => {
      if (loaded === undefined || loaded instanceof Error) {
        done(loaded)
        return
      }
      const bytes = loaded.reduce((sum, { data }) => sum + FRAME_HEADER_BYTES + data.length, 0)
      this.#keep({ region, generation, entries: loaded, bytes })
      done(undefined)
    })
  }

  /** The same for who keeps them himself. Undefined: they were replaced or moved meanwhile. */
  load(
    region: RegionLog,
    low: LogIndex,
    high: LogIndex,
    done: (loaded: Entry[] | Error | undefined) => void,
  ): void {
    const { generation, placement } = region
    const plan = planFetch(this.#directory, region, low, high)
    const terms: Term[] = []
    for (let index = low; index < high; index++) terms.push(region.term(index))
    this.#source.read(plan).then(
      (reply) => {
        if (this.#closed) done(closedError())
        else if (generation !== region.generation) done(undefined)
        else if (reply instanceof Uint8Array) done(decodeFrames(asBuffer(reply), plan, low, terms))
        // A compaction or relocation meanwhile may have deleted the file: asking again tells.
        else if (low < region.first || placement !== region.placement) done(undefined)
        else done(new PolyraftError(reply.code, reply.message))
      },
      (error: Error) => done(this.#closed ? closedError() : error),
    )
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#kept = []
    this.#keptBytes = 0
    await this.#source.close()
  }

  #keep(kept: Kept): void {
    this.#kept.push(kept)
    this.#keptBytes += kept.bytes
    while (
      this.#kept.length > KEPT_MAX ||
      (this.#keptBytes > KEPT_BYTES_MAX && this.#kept.length > 1)
    ) {
      this.#keptBytes -= this.#kept.shift()!.bytes
    }
  }
}

function closedError(): PolyraftError {
  return new PolyraftError('Closed', 'the raft log was closed during a fetch')
}

function planFetch(directory: string, region: RegionLog, low: LogIndex, high: LogIndex): FetchPlan {
  const { index } = region
  const ranges: FetchRange[] = []
  let range: FetchRange | undefined
  let rangeEnd = 0
  let totalBytes = 0
  for (let i = low; i < high; i++) {
    const { name } = index.segment(i)
    const offset = index.offset(i)
    const dataBytes = index.dataBytes(i)
    if (range === undefined || range.name !== name || offset !== rangeEnd) {
      range = { name, offset, dataBytes: [], seeds: [] }
      ranges.push(range)
    }
    range.dataBytes.push(dataBytes)
    range.seeds.push(frameSeed(region.id, i, index.term(i)))
    rangeEnd = offset + FRAME_HEADER_BYTES + dataBytes
    totalBytes += FRAME_HEADER_BYTES + dataBytes
  }
  return { directory, ranges, totalBytes }
}

function decodeFrames(
  bytes: Buffer,
  plan: FetchPlan,
  low: LogIndex,
  terms: readonly Term[],
): Entry[] {
  const entries: Entry[] = []
  let position = 0
  for (const range of plan.ranges) {
    for (const length of range.dataBytes) {
      const start = position + FRAME_HEADER_BYTES
      const type = bytes[position + 4] as EntryType
      const data = bytes.subarray(start, start + length)
      entries.push({ index: low + entries.length, term: terms[entries.length]!, type, data })
      position = start + length
    }
  }
  return entries
}
