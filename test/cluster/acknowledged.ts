/** Writes without pause and remembers what was acknowledged, so that it can be looked for later. */
import { randomBytes } from 'node:crypto'
import type { PolyraftError } from '../../src/base/errors.ts'
import type { KvClient } from '../../src/client/kv-client.ts'

export class AcknowledgedWrites {
  readonly acknowledged = new Map<string, string>()
  /** Writes whose outcome the client could not tell. */
  undetermined = 0
  /** Longest time without any acknowledgement, while writing. */
  longestGapMs = 0
  readonly #kv: KvClient
  readonly #prefix: string
  readonly #valueBytes: number
  #next = 0
  #lastMs = 0
  #stopped = false
  #loops: Promise<void>[] = []

  /** Values have up to 100 bytes; or about as many as given, which no compressor makes less. */
  constructor(kv: KvClient, prefix: string, valueBytes = 0) {
    this.#valueBytes = valueBytes
    this.#kv = kv
    this.#prefix = prefix
  }

  start(inflight: number): void {
    this.#lastMs = performance.now()
    for (let i = 0; i < inflight; i++) this.#loops.push(this.#loop())
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#loops)
  }

  /** Resolves once this many more writes were acknowledged. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.size + count
    while (this.acknowledged.size < wanted && !this.#stopped) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** Keys that were acknowledged and are missing or different now. */
  async missing(kv: KvClient): Promise<string[]> {
    const missing: string[] = []
    const all = [...this.acknowledged]
    const step = this.#valueBytes > 1000 ? 100 : 1000
    for (let i = 0; i < all.length; i += step) {
      const part = all.slice(i, i + step)
      const values = await kv.batchGet(part.map(([key]) => key))
      part.forEach(([key, value], at) => {
        if (values[at]?.toString() !== value) missing.push(key)
      })
    }
    return missing
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      const n = this.#next++
      // Spread over the printable key space, so over every region.
      const key = `${String.fromCharCode(0x21 + ((n * 37) % 94))}${this.#prefix}-${n}`
      const value = `value-${n}-${'x'.repeat(n % 100)}${noise(this.#valueBytes)}`
      try {
        await this.#kv.put(key, value)
        this.#acknowledge(key, value)
      } catch (error) {
        if ((error as PolyraftError).code === 'Closed') return
        this.undetermined++
      }
    }
  }

  #acknowledge(key: string, value: string): void {
    const nowMs = performance.now()
    this.longestGapMs = Math.max(this.longestGapMs, nowMs - this.#lastMs)
    this.#lastMs = nowMs
    this.acknowledged.set(key, value)
  }
}

function noise(bytes: number): string {
  return bytes === 0 ? '' : randomBytes((bytes * 3) / 4).toString('base64')
}
