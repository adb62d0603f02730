/**
 * The stores that PD knows, and the rules of their life: who may register, report, and be removed.
 * Pure: it decides and changes; PdCore makes each change durable before the table takes it in.
 *
 * INVARIANTS
 * - A store that is gone (tombstone, physically destroyed) never speaks again under its id.
 * - Two stores that are not gone never have one address.
 * - Of two processes that speak for one store, as a copy of its data directory makes them, only the
 *   one that began later is heard: the other is told to end.
 *
 * Silence is measured on the monotonic clock and while PD listens: what a restart of PD brings back
 * is how long each store had been silent when the last mark was written, so the time that PD itself
 * was away counts for nobody.
 */
import { PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { type StoreMeta, StoreState, type StoreStats } from './port.ts'
import type { HeardRecord } from './records.ts'
import { DISCONNECTED_AFTER_MS } from './schedule-config.ts'
import { isGone } from './store-condition.ts'

export interface StoreRecord {
  readonly meta: StoreMeta
  /** Of its last heartbeat to this PD process. */
  readonly stats: StoreStats | undefined
  /** Monotonic. */
  readonly heardAtMs: number
}

export class StoreTable {
  readonly #records = new Map<StoreId, StoreRecord>()

  get size(): number {
    return this.#records.size
  }

  get(storeId: StoreId): StoreRecord | undefined {
    return this.#records.get(storeId)
  }

  all(): IterableIterator<StoreRecord> {
    return this.#records.values()
  }

  /** Puts a stored record; `resume` gives it its time. */
  load(meta: StoreMeta): void {
    this.#records.set(meta.id, { meta, stats: undefined, heardAtMs: 0 })
  }

  /** Ends the loading: from now on silence counts, on top of what was noted. */
  resume(heard: HeardRecord | undefined, monotonicMs: number): void {
    for (const [id, record] of this.#records) {
      const lastMs = heard?.stores.get(id) ?? 0
      const silentMs = lastMs === 0 ? 0 : Math.max(0, heard!.nowMs - lastMs)
      const meta = { ...record.meta, lastHeartbeatMs: lastMs }
      this.#records.set(id, { meta, stats: undefined, heardAtMs: monotonicMs - silentMs })
    }
  }

  /** What `resume` needs after the next start. */
  heard(nowMs: number): HeardRecord {
    const stores = new Map<StoreId, number>()
    for (const { meta } of this.#records.values()) {
      if (meta.lastHeartbeatMs > 0 && !isGone(meta)) stores.set(meta.id, meta.lastHeartbeatMs)
    }
    return { nowMs, stores }
  }

  /** The record that a registration leads to, or why it is refused. */
  admit(store: StoreMeta): StoreMeta {
    if (store.address === '') {
      throw new PolyraftError('InvalidArgument', `store ${store.id} has no address`)
    }
    const known = this.#records.get(store.id)?.meta
    if (known !== undefined && isGone(known)) throw goneError(store.id)
    for (const { meta } of this.#records.values()) {
      const live = meta.id !== store.id && !isGone(meta)
      if (live && meta.address === store.address) throw duplicateAddress(store, meta)
    }
    return {
      ...store,
      state: known?.state ?? StoreState.Up,
      physicallyDestroyed: false,
      lastHeartbeatMs: known?.lastHeartbeatMs ?? 0,
    }
  }

  /** To register is to be heard. */
  put(meta: StoreMeta, monotonicMs: number): void {
    const stats = this.#records.get(meta.id)?.stats
    this.#records.set(meta.id, { meta, stats, heardAtMs: monotonicMs })
  }

  /** Changes what is recorded of a store without having heard of it. */
  change(meta: StoreMeta): void {
    this.#records.set(meta.id, { ...mustKnow(this.#records.get(meta.id), meta.id), meta })
  }

  heartbeat(stats: StoreStats, wallMs: number, monotonicMs: number): void {
    const record = mustKnow(this.#records.get(stats.storeId), stats.storeId)
    if (isGone(record.meta)) throw goneError(stats.storeId)
    if (stats.startTime > 0 && stats.startTime < record.meta.startTimestamp) {
      throw replacedError(record.meta, stats)
    }
    const meta = { ...record.meta, lastHeartbeatMs: wallMs }
    this.#records.set(stats.storeId, { meta, stats, heardAtMs: monotonicMs })
  }

  /** The record that a removal leads to; undefined when it has been asked for before. */
  removal(storeId: StoreId, physicallyDestroyed: boolean): StoreMeta | undefined {
    const { meta } = mustKnow(this.#records.get(storeId), storeId)
    if (meta.state === StoreState.Tombstone) {
      throw new PolyraftError('StoreTombstone', `store ${storeId} is removed already`, { storeId })
    }
    const destroyed = meta.physicallyDestroyed || physicallyDestroyed
    if (meta.state === StoreState.Offline && meta.physicallyDestroyed === destroyed) {
      return undefined
    }
    return { ...meta, state: StoreState.Offline, physicallyDestroyed: destroyed }
  }

  /** Stores that a bootstrap plan can count on. */
  presentIds(): StoreId[] {
    const ids: StoreId[] = []
    for (const { meta } of this.#records.values()) {
      if (!isGone(meta)) ids.push(meta.id)
    }
    return ids.sort((a, b) => a - b)
  }
}

/** client-go looks for these words. */
export function unknownStore(storeId: StoreId): PolyraftError {
  return new PolyraftError('NotFound', `invalid store ID ${storeId}, not found`, { storeId })
}

function mustKnow(record: StoreRecord | undefined, storeId: StoreId): StoreRecord {
  if (record === undefined) throw unknownStore(storeId)
  return record
}

function goneError(storeId: StoreId): PolyraftError {
  return new PolyraftError(
    'StoreTombstone',
    `store ${storeId} was removed from the cluster for good: ` +
      'delete its data directory and join as a new store',
    { storeId },
  )
}

function replacedError(meta: StoreMeta, stats: StoreStats): PolyraftError {
  const since = new Date(meta.startTimestamp * 1000).toISOString()
  return new PolyraftError(
    'DataDirMismatch',
    `another process runs as store ${meta.id} since ${since}, at ${meta.address}: ` +
      'one of the two data directories is a copy. Remove the copy and start the other one again',
    { storeId: meta.id, address: meta.address, startTime: stats.startTime },
  )
}

function duplicateAddress(store: StoreMeta, other: StoreMeta): PolyraftError {
  return new PolyraftError(
    'InvalidArgument',
    `store ${store.id} says ${store.address}, which is the address of store ${other.id}: ` +
      `give it another address; or, if the data of store ${other.id} is lost, say so, once it has ` +
      `been silent for ${DISCONNECTED_AFTER_MS / 1000} s, with ` +
      `polyraft ctl store delete ${other.id} --physically-destroyed`,
    { storeId: store.id, otherStoreId: other.id },
  )
}
