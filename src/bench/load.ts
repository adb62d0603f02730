/**
 * A closed loop of operations: `inflight` of them are always under way until the time is up, then
 * the loop drains. Latency is taken per operation; what fails is counted and named, never hidden.
 */
import { build } from 'hdr-histogram-js'
import type { KvClient } from '../client/kv-client.ts'

/** Starts one operation; `done` is called once, not from within the call. */
export type Operation = (n: number, done: (error: Error | undefined) => void) => void

export interface LoadResult {
  readonly operations: number
  readonly failed: number
  /** Message of the first failure. */
  readonly firstError: string | undefined
  readonly seconds: number
  readonly opsPerSec: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export interface LoadOptions {
  readonly inflight: number
  readonly seconds: number
  readonly operation: Operation
}

const MICROS_MAX = 60_000_000

export function runLoad({ inflight, seconds, operation }: LoadOptions): Promise<LoadResult> {
  const histogram = build({ highestTrackableValue: MICROS_MAX, numberOfSignificantValueDigits: 3 })
  const startMs = performance.now()
  const endMs = startMs + seconds * 1000
  let issued = 0
  let failed = 0
  let firstError: string | undefined
  let running = 0

  return new Promise((resolve) => {
    const finish = (): void => {
      const took = (performance.now() - startMs) / 1000
      const operations = histogram.totalCount
      resolve({
        operations,
        failed,
        firstError,
        seconds: took,
        opsPerSec: operations / took,
        p50Ms: histogram.getValueAtPercentile(50) / 1000,
        p99Ms: histogram.getValueAtPercentile(99) / 1000,
        maxMs: histogram.maxValue / 1000,
      })
    }
    const next = (): void => {
      const sentMs = performance.now()
      if (sentMs >= endMs) {
        if (running === 0) finish()
        return
      }
      running++
      operation(issued++, (error) => {
        running--
        if (error === undefined) {
          const micros = Math.round((performance.now() - sentMs) * 1000)
          histogram.recordValue(Math.min(Math.max(micros, 1), MICROS_MAX))
        } else {
          failed++
          firstError ??= error.message
        }
        next()
      })
    }
    for (let i = 0; i < inflight; i++) next()
  })
}

/** What a row tells of several rounds: medians, and counts over all of them. */
export function summary(results: readonly LoadResult[]) {
  const of = (figure: (result: LoadResult) => number): number[] => results.map(figure)
  return {
    opsPerSec: median(of(({ opsPerSec }) => opsPerSec)),
    p50Ms: median(of(({ p50Ms }) => p50Ms)),
    p99Ms: median(of(({ p99Ms }) => p99Ms)),
    n: sum(of(({ operations }) => operations)),
    failed: sum(of(({ failed }) => failed)),
  }
}

/** Names what failed, if anything did, on stderr. */
export function nameFailures(what: string, { failed, firstError }: LoadResult): void {
  if (firstError === undefined) return
  process.stderr.write(`${what}: ${failed} operations failed, the first with: ${firstError}\n`)
}

const KEYS = 100_000
const VALUES = 64

/** Rows of a benchmark: 100,000 keys over the printable key space, so over every region of a new cluster. */
export class BenchData {
  readonly #keys = spreadKeys()
  readonly #values: Buffer[] = []
  readonly valueBytes: number

  constructor(valueBytes: number) {
    this.valueBytes = valueBytes
    for (let i = 0; i < VALUES; i++) this.#values.push(textValue(valueBytes, i + 1))
  }

  /** The same n gives the same key; successive ones are far apart. */
  key(n: number): Buffer {
    return this.#keys[(Math.imul(n, 7919) >>> 0) % KEYS]!
  }

  value(n: number): Buffer {
    return this.#values[n % VALUES]!
  }

  operations(kv: KvClient): { readonly put: Operation; readonly get: Operation } {
    return {
      put: (n, done) => kv.putCallback(this.key(n), this.value(n), done),
      get: (n, done) => kv.getCallback(this.key(n), done),
    }
  }
}

let keys: readonly Buffer[] | undefined

/** The same for values of any size. */
function spreadKeys(): readonly Buffer[] {
  keys ??= Array.from({ length: KEYS }, (_, i) => spreadKey(i))
  return keys
}

function spreadKey(i: number): Buffer {
  const spread = Math.imul(i, 0x9e37_79b1) >>> 0
  const prefix = String.fromCharCode(0x21 + (spread % 94), 0x21 + ((spread >>> 8) % 94))
  return Buffer.from(`${prefix}-key-${i.toString().padStart(9, '0')}`)
}

/** Compresses about as well as text does. */
function textValue(bytes: number, seed: number): Buffer {
  const value = Buffer.allocUnsafe(bytes)
  let state = seed
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    value[i] = 0x61 + ((state >>> 24) & 0x0f)
  }
  return value
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
