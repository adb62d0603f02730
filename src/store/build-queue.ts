/**
 * Snapshots under construction in an apply worker: one at a time, so that regions that apply get
 * most of the thread, and at most one moment of the engine is pinned.
 *
 *   add ──▶ [ waiting … ] ──▶ pin (behind the region's tasks, while it does not apply)
 *                               └──▶ built block by block between rounds ──▶ report
 *
 * INVARIANT: every add() is reported once, built, failed or cancelled; after close() none is.
 */
import type { SnapshotPinned, SnapshotResult } from '../apply/port.ts'
import { errorMessage } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { KvReader } from '../engine/port.ts'
import type { FileSystem } from '../env/port.ts'
import { type BuildSizes, SnapshotBuilder } from '../snap/builder.ts'
import { encodeMeta } from '../snap/format.ts'

export interface BuildQueueOptions {
  readonly engine: Pick<KvReader, 'openCursor'>
  readonly fs: FileSystem
  readonly dir: string
  readonly sizes?: BuildSizes
  /** Asks for a pin of the region; pinned() follows. */
  readonly pin: (regionId: RegionId, id: number) => void
  readonly report: (result: SnapshotResult) => void
  /** Between two blocks, of the block's bytes; without it there is no pause. */
  readonly pause?: (bytes: number) => Promise<void>
}

interface Build {
  readonly regionId: RegionId
  readonly id: number
}

const CANCELLED = 'it was cancelled'

export class BuildQueue {
  readonly #options: BuildQueueOptions
  #waiting: Build[] = []
  #active: Build | undefined = undefined
  #cancelled = false
  #closed = false
  #running: Promise<void> = Promise.resolve()

  constructor(options: BuildQueueOptions) {
    this.#options = options
  }

  add(regionId: RegionId, id: number): void {
    this.#waiting.push({ regionId, id })
    this.#next()
  }

  cancel(regionId: RegionId): void {
    const dropped = this.#waiting.filter((build) => build.regionId === regionId)
    this.#waiting = this.#waiting.filter((build) => build.regionId !== regionId)
    for (const build of dropped) {
      this.#options.report({ ...build, meta: undefined, error: CANCELLED })
    }
    if (this.#active?.regionId === regionId) this.#cancelled = true
  }

  /** The region's state is fixed at this very moment. */
  pinned(pin: SnapshotPinned): void {
    this.#running = this.#build(pin)
  }

  /** Resolves when nothing is read any more. */
  close(): Promise<void> {
    this.#closed = true
    this.#waiting = []
    return this.#running
  }

  #next(): void {
    if (this.#active !== undefined || this.#closed) return
    const next = this.#waiting.shift()
    if (next === undefined) return
    this.#active = next
    this.#cancelled = false
    this.#options.pin(next.regionId, next.id)
  }

  async #build({ regionId, id, region, index, term }: SnapshotPinned): Promise<void> {
    const { engine, fs, dir, sizes, report, pause } = this.#options
    let builder: SnapshotBuilder | undefined
    try {
      if (region === undefined) throw new Error(`region ${regionId} is not here`)
      const pin = { region, index, term }
      builder = new SnapshotBuilder({ engine, fs, dir, pin, ...(sizes && { sizes }) })
      let meta = await builder.step()
      for (let paid = 0; meta === undefined; ) {
        await pause?.(builder.bytes - paid)
        paid = builder.bytes
        if (this.#closed || this.#cancelled) throw new Error(CANCELLED)
        meta = await builder.step()
      }
      report({ regionId, id, meta: encodeMeta(meta), error: '' })
    } catch (error) {
      const reason = `${errorMessage(error)}${giveUp(builder)}`
      if (!this.#closed) report({ regionId, id, meta: undefined, error: reason })
    }
    this.#active = undefined
    this.#next()
  }
}

/** A disk that fails may not let go of files either: the next start removes them. */
function giveUp(builder: SnapshotBuilder | undefined): string {
  try {
    builder?.abort()
    return ''
  } catch (error) {
    return `; its files stay behind: ${errorMessage(error)}`
  }
}
