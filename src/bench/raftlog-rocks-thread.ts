/**
 * The raft log as keys of RocksDB behind a writer thread: what a store would have that keeps its log
 * there and whose poller waits for no disk either. A round crosses to the thread as one moved buffer.
 *
 *   round   (u32 region | f64 index | u32 length | bytes)*      length DELETED: the key is deleted
 */
import { Worker } from 'node:worker_threads'
import { builtUrl } from '../base/built-url.ts'
import type { LogIndex, RegionId } from '../base/ids.ts'
import { KIB } from '../base/limits.ts'
import type { SharedKvEngine } from '../engine/port.ts'
import { openRocksDb } from '../engine/rocksdb-engine.ts'
import type { RaftLogOptions } from '../raftlog/open.ts'
import type { LogWrite } from '../raftlog/port.ts'
import type { LoadedLog } from './raftlog-load.ts'

export interface RocksRound {
  readonly round: ArrayBuffer
  /** Of the bytes in use. */
  readonly length: number
}

export const ITEM_HEADER_BYTES = 16
export const DELETED = 0xffff_ffff
const ROUND_BYTES_FIRST = 64 * KIB
const STATE_BYTES = 24

export class RocksThreadLog implements LoadedLog {
  readonly #engine: SharedKvEngine
  readonly #worker: Worker
  readonly #exited: Promise<unknown>
  readonly #first = new Map<RegionId, LogIndex>()
  readonly #rounds: RegionId[][] = []
  #regions: RegionId[] = []
  #round = Buffer.allocUnsafeSlow(ROUND_BYTES_FIRST)
  #length = 0

  static async open(dir: string, events: RaftLogOptions['events']): Promise<RocksThreadLog> {
    return new RocksThreadLog(await openRocksDb({ dir }), events)
  }

  private constructor(engine: SharedKvEngine, events: RaftLogOptions['events']) {
    this.#engine = engine
    this.#worker = new Worker(builtUrl('bench/raftlog-rocks-worker.js'), {
      workerData: engine.handle,
    })
    this.#exited = new Promise((resolve) => this.#worker.once('exit', resolve))
    this.#worker.on('error', (error) => events.onFailed(error))
    this.#worker.on('message', (rounds: number) => {
      for (let i = 0; i < rounds; i++) {
        for (const regionId of this.#rounds.shift()!) events.onPersisted(regionId, 0)
      }
    })
  }

  create(regionId: RegionId, truncatedIndex: LogIndex): void {
    this.#first.set(regionId, truncatedIndex + 1)
  }

  write({ regionId, entries }: LogWrite): void {
    for (const { index, data } of entries) {
      const at = this.#item(regionId, index, data.length)
      this.#round.set(data, at)
    }
    const state = this.#item(regionId, 0, STATE_BYTES)
    this.#round.fill(0, state, this.#length)
    this.#regions.push(regionId)
  }

  compact(regionId: RegionId, index: LogIndex): void {
    for (let i = this.#first.get(regionId)!; i <= index; i++) this.#item(regionId, i, DELETED)
    this.#first.set(regionId, index + 1)
  }

  flush(): void {
    const moved = this.#round.buffer as ArrayBuffer
    const request: RocksRound = { round: moved, length: this.#length }
    this.#worker.postMessage(request, [moved])
    this.#rounds.push(this.#regions)
    this.#regions = []
    this.#round = Buffer.allocUnsafeSlow(ROUND_BYTES_FIRST)
    this.#length = 0
  }

  stats(): Record<string, number> {
    return {}
  }

  async close(): Promise<void> {
    this.#worker.postMessage('close')
    await this.#exited
    await this.#engine.close()
  }

  /** Room for an item; returns where its bytes go. */
  #item(regionId: RegionId, index: LogIndex, length: number): number {
    const at = this.#length
    const end = at + ITEM_HEADER_BYTES + (length === DELETED ? 0 : length)
    if (end > this.#round.length) {
      const larger = Buffer.allocUnsafeSlow(end * 2)
      larger.set(this.#round.subarray(0, at))
      this.#round = larger
    }
    this.#round.writeUInt32LE(regionId, at)
    this.#round.writeDoubleLE(index, at + 4)
    this.#round.writeUInt32LE(length, at + 12)
    this.#length = end
    return at + ITEM_HEADER_BYTES
  }
}
