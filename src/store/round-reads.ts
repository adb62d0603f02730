/**
 * Runs the reads that peers have cleared in a round: the point reads of a column family in one call
 * into the engine, scans off the thread.
 *
 *   read ─┬─▶ this round's gets and small batches ──flush: one slice a family──▶ answers
 *         │                     │ left out                                        ▲
 *         ├─▶ large batches ──▶ late reads: a slice a turn ───────────────────────┤
 *         ├─▶ scans: a few at a time ─────────────────────────────────────────────┘
 *         └─▶ held: whoever asked has not taken its answers yet
 *
 * Values are large or small, and nobody knows before they are read. So the engine is given a limit
 * for each call, and what it leaves out is read in later turns of the event loop, between which
 * messages come and go.
 *
 * A read may run later than it was cleared, as one may behind its read index: what is applied only
 * grows. What must not happen meanwhile is that the data goes, so the region is looked at again.
 *
 * INVARIANTS
 * - A flush reads SLICE_BYTES and one value a family at most, and a turn as much again.
 * - Values that were read are answered at once; half-read batches hold what one answer may.
 * - Nothing is read for a sink that is full: at most READS_HELD_MAX wait for that, others are refused.
 */
import type { Later, RoundScheduler } from '../base/clock.ts'
import { errorMessage } from '../base/errors.ts'
import type { RegionId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { ColumnFamily, KvReader } from '../engine/port.ts'
import type { ReadExecutor } from '../peer/ports.ts'
import { serverIsBusy } from '../peer/region-errors.ts'
import {
  errorResponse,
  RawKind,
  type RawRequest,
  type RawResponse,
  regionErrorResponse,
  SinkRoom,
} from '../protocol/raw.ts'
import { dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { familyOf, LateReads, SLICE_BYTES, SLICE_KEYS, type WaitingRead } from './late-reads.ts'
import { keyCount, pointResponse, readVolume } from './read-answers.ts'
import { ScanReads } from './scan-reads.ts'

const USER_FAMILIES = 3
/** Reads that wait until their sinks have room. */
export const READS_HELD_MAX = 4096
/** How often is looked whether sinks have room: a client takes some MiB in that time. */
const HELD_LOOK_MS = 5

export interface RoundReadsPorts {
  readonly engine: KvReader
  readonly logger: Logger
  /** A request is answered. */
  readonly release: (request: RawRequest) => void
  /** For what is told of the region's traffic. */
  readonly count: (regionId: RegionId, keys: number, bytes: number) => void
  /** A turn for what is left. */
  readonly scheduler: RoundScheduler
  readonly later: Later
  /** The region is as it was, and its data is there and not about to go. */
  readonly isCurrent: (region: Region) => boolean
}

export class RoundReads implements ReadExecutor {
  readonly #ports: RoundReadsPorts
  readonly #late: LateReads
  readonly #scans: ScanReads
  /** By column family. */
  readonly #requests: RawRequest[][] = []
  readonly #regions: Region[][] = []
  readonly #keys: Buffer[][] = []
  #waiting = 0
  #held: WaitingRead[] = []
  #turnScheduled = false
  #lookScheduled = false

  constructor(ports: RoundReadsPorts) {
    this.#ports = ports
    const answer = (request: RawRequest, respond: () => RawResponse): void =>
      this.#answerBy(request, respond)
    const { engine } = ports
    const admit = (read: WaitingRead, hasBegun = false): boolean => this.#admit(read, hasBegun)
    this.#late = new LateReads({ engine, answer, admit })
    this.#scans = new ScanReads({ engine, answer, admit })
    for (let cf = 0; cf < USER_FAMILIES; cf++) {
      this.#requests.push([])
      this.#regions.push([])
      this.#keys.push([])
    }
  }

  get scansRunning(): number {
    return this.#scans.running
  }

  // @hot bench: store
  read(request: RawRequest, region: Region): void {
    const room = request.sink.room?.() ?? SinkRoom.Free
    if (room !== SinkRoom.Free) {
      this.#hold({ request, region }, room)
      return
    }
    const cf = familyOf(request)
    const keys = this.#keys[cf]!
    if (request.kind === RawKind.Scan) {
      this.#scans.add({ request, region })
      return
    }
    if (keys.length + keyCount(request) > SLICE_KEYS) {
      this.#late.add({ request, region })
      return
    }
    if (request.kind === RawKind.Get) keys.push(dataKey(request.key))
    else for (const key of request.keys) keys.push(dataKey(key))
    this.#requests[cf]!.push(request)
    this.#regions[cf]!.push(region)
    this.#waiting++
  }

  /** Ends the round. */
  flush(): void {
    if (this.#waiting > 0) {
      this.#waiting = 0
      for (let cf = 0; cf < USER_FAMILIES; cf++) {
        if (this.#requests[cf]!.length > 0) this.#flushFamily(cf as ColumnFamily)
      }
    }
    if (!this.#late.isEmpty) this.#scheduleTurn()
  }

  /** Every read that was taken and has not begun for good. */
  takeWaiting(): RawRequest[] {
    this.#waiting = 0
    for (let cf = 0; cf < USER_FAMILIES; cf++) {
      this.#keys[cf] = []
      this.#regions[cf] = []
    }
    const requests = this.#requests.flatMap((family) => family.splice(0))
    const held = this.#held.splice(0).map(({ request }) => request)
    return [...requests, ...this.#late.takeAll(), ...this.#scans.takeWaiting(), ...held]
  }

  #flushFamily(cf: ColumnFamily): void {
    const requests = this.#requests[cf]!
    const regions = this.#regions[cf]!
    const keys = this.#keys[cf]!
    this.#requests[cf] = []
    this.#regions[cf] = []
    this.#keys[cf] = []
    let values: (Buffer | undefined | null)[]
    try {
      values = this.#ports.engine.getMany(cf, keys, SLICE_BYTES)
    } catch (error) {
      for (const request of requests) this.#answer(request, this.#failure(request, error))
      return
    }
    let at = 0
    for (let i = 0; i < requests.length; i++) {
      const request = requests[i]!
      const response = this.#found(request, values, at)
      if (response !== undefined) this.#answer(request, response)
      else this.#late.add({ request, region: regions[i]! })
      at += keyCount(request)
    }
  }

  /** A value that makes no sense is an error of who asked for it; the others get their answers. */
  #found(
    request: RawRequest,
    values: readonly (Buffer | undefined | null)[],
    offset: number,
  ): RawResponse | undefined {
    try {
      return pointResponse(request, values, offset)
    } catch (error) {
      return this.#failure(request, error)
    }
  }

  #scheduleTurn(): void {
    if (this.#turnScheduled) return
    this.#turnScheduled = true
    this.#ports.scheduler.schedule(() => {
      this.#turnScheduled = false
      this.#late.run()
      if (!this.#late.isEmpty) this.#scheduleTurn()
    })
  }

  /** Whether a read that has waited may be run now; if not, it is answered or held. */
  #admit(read: WaitingRead, hasBegun: boolean): boolean {
    if (!this.#ports.isCurrent(read.region)) {
      const message = 'the region changed before the read was run'
      this.#answer(read.request, regionErrorResponse({ code: 'StaleCommand', message }))
      return false
    }
    const room = read.request.sink.room?.() ?? SinkRoom.Free
    if (room === SinkRoom.Free || (room === SinkRoom.Full && hasBegun)) return true
    this.#hold(read, room)
    return false
  }

  #hold(read: WaitingRead, room: SinkRoom): void {
    if (room === SinkRoom.Gone || this.#held.length >= READS_HELD_MAX) {
      const reason = 'too many bytes of answers wait for the client'
      this.#answer(read.request, regionErrorResponse(serverIsBusy(reason, 100)))
      return
    }
    this.#held.push(read)
    this.#scheduleLook()
  }

  #scheduleLook(): void {
    if (this.#lookScheduled) return
    this.#lookScheduled = true
    this.#ports.later(HELD_LOOK_MS, () => {
      this.#lookScheduled = false
      this.#lookAtHeld()
    })
  }

  /** In the order in which they came, each where it belongs if it may be run. */
  #lookAtHeld(): void {
    const held = this.#held
    this.#held = []
    for (const read of held) {
      if (!this.#admit(read, false)) continue
      if (read.request.kind === RawKind.Scan) this.#scans.add(read)
      else this.#late.add(read)
    }
    if (!this.#late.isEmpty) this.#scheduleTurn()
  }

  #failure(request: RawRequest, error: unknown): RawResponse {
    const { logger } = this.#ports
    logger.error({ region: request.regionId, error: errorMessage(error) }, 'a read failed')
    return errorResponse(`the read failed on the store: ${errorMessage(error)}`)
  }

  #answerBy(request: RawRequest, respond: () => RawResponse): void {
    let response: RawResponse
    try {
      response = respond()
    } catch (error) {
      response = this.#failure(request, error)
    }
    this.#answer(request, response)
  }

  #answer(request: RawRequest, response: RawResponse): void {
    const { keys, bytes } = readVolume(request, response)
    this.#ports.count(request.regionId, keys, bytes)
    this.#ports.release(request)
    request.sink.respond(request, response)
  }
}
