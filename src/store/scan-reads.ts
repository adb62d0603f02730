/**
 * Scans, off the thread and a few at a time: what those under way may answer with is all the memory
 * that scans take, and more of them at once than the engine has threads would not be faster.
 */
import { compareBytes } from '../base/bytes.ts'
import { SCAN_ANSWER_ROWS_MAX, SCAN_BYTES_MAX } from '../base/limits.ts'
import { Ring } from '../base/ring.ts'
import type { KvReader } from '../engine/port.ts'
import { OK_RESPONSE, type RawRequest, type RawResponse } from '../protocol/raw.ts'
import { dataEndKey, dataKey } from '../region/keys.ts'
import type { Region } from '../region/region.ts'
import { familyOf, type WaitingRead } from './late-reads.ts'
import { scanResponse } from './read-answers.ts'

export const SCANS_RUNNING_MAX = 8

export interface ScanReadsPorts {
  readonly engine: Pick<KvReader, 'scan'>
  /** Whether one that has waited may be run now; if not, it has been taken care of. */
  readonly admit: (read: WaitingRead) => boolean
  /** What `respond` throws is the answer's error. */
  readonly answer: (request: RawRequest, respond: () => RawResponse) => void
}

export class ScanReads {
  readonly #ports: ScanReadsPorts
  readonly #waiting = new Ring<WaitingRead>()
  #running = 0

  constructor(ports: ScanReadsPorts) {
    this.#ports = ports
  }

  get running(): number {
    return this.#running
  }

  /** Runs it now, if that many may; its moment is then that of the call. */
  add(read: WaitingRead): void {
    if (this.#running < SCANS_RUNNING_MAX && this.#waiting.length === 0) this.#start(read)
    else this.#waiting.push(read)
  }

  takeWaiting(): RawRequest[] {
    const requests: RawRequest[] = []
    for (let read = this.#waiting.shift(); read !== undefined; read = this.#waiting.shift()) {
      requests.push(read.request)
    }
    return requests
  }

  #start({ request, region }: WaitingRead): void {
    const { engine, answer } = this.#ports
    const { start, end } = scanBounds(request, region)
    if (request.limit === 0 || compareBytes(start, end) >= 0) {
      answer(request, () => OK_RESPONSE)
      return
    }
    const { reverse, keyOnly: keysOnly } = request
    const limit = Math.min(request.limit, SCAN_ANSWER_ROWS_MAX)
    this.#running++
    engine
      .scan(familyOf(request), { start, end, limit, bytesMax: SCAN_BYTES_MAX, reverse, keysOnly })
      .then(
        (result) => () => scanResponse(result, request.limit, keysOnly),
        (error: unknown) => () => {
          throw error
        },
      )
      .then((respond) => {
        this.#running--
        answer(request, respond)
        this.#startWaiting()
      })
  }

  #startWaiting(): void {
    while (this.#running < SCANS_RUNNING_MAX) {
      const read = this.#waiting.shift()
      if (read === undefined) return
      if (this.#ports.admit(read)) this.#start(read)
    }
  }
}

/** What is asked for, within the region. Forward: [key, endKey); reverse: [endKey, key). */
function scanBounds(request: RawRequest, region: Region): { start: Buffer; end: Buffer } {
  const low = request.reverse ? request.endKey : request.key
  const high = request.reverse ? request.key : request.endKey
  const start = compareBytes(low, region.startKey) > 0 ? low : region.startKey
  const regionEnd = dataEndKey(region.endKey)
  const asked = dataEndKey(high)
  return { start: dataKey(start), end: compareBytes(asked, regionEnd) < 0 ? asked : regionEnd }
}
