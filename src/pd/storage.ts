/**
 * Where PD keeps what must outlive it: a few thousand small records under text keys.
 *
 * INVARIANTS
 * - put() is one atomic step: after a crash all of its writes are there, or none.
 * - put() resolves only when the writes are on disk; puts become durable in the order of the calls.
 * - After a failed put the storage is broken: every later put rejects.
 */

export interface PdWrite {
  readonly key: string
  /** undefined = delete. */
  readonly value: Buffer | undefined
}

export interface PdStorage {
  /** False once a put failed. */
  readonly healthy: boolean
  /** Everything, as at opening; asked once. */
  entries(): Iterable<readonly [key: string, value: Buffer]>
  put(writes: readonly PdWrite[]): Promise<void>
  stats(): Record<string, number>
  close(): Promise<void>
}

export function applyWrites(map: Map<string, Buffer>, writes: readonly PdWrite[]): void {
  for (const { key, value } of writes) {
    if (value === undefined) map.delete(key)
    else map.set(key, value)
  }
}

/** For simulations and tests: as durable as the map it is given. */
export class MemoryPdStorage implements PdStorage {
  readonly healthy = true
  readonly #map: Map<string, Buffer>

  constructor(map: Map<string, Buffer> = new Map()) {
    this.#map = map
  }

  entries(): Iterable<readonly [string, Buffer]> {
    return this.#map
  }

  async put(writes: readonly PdWrite[]): Promise<void> {
    applyWrites(this.#map, writes)
  }

  stats(): Record<string, number> {
    return { records: this.#map.size }
  }

  async close(): Promise<void> {}
}
