/**
 * What state a store is in, from what is recorded of it and how long it has been silent.
 *
 *   up ──20 s──▶ disconnected ──max-store-down-time──▶ down        silence; a heartbeat leads back
 *   any of them ──delete──▶ offline ──no peer left──▶ tombstone    for good
 *                └─delete --physically-destroyed──▶ destroyed ──no peer left──▶ tombstone
 */
import { type StoreMeta, StoreState } from './port.ts'
import { DISCONNECTED_AFTER_MS } from './schedule-config.ts'

export type StoreCondition = 'up' | 'disconnected' | 'down' | 'offline' | 'destroyed' | 'tombstone'

type Recorded = Pick<StoreMeta, 'state' | 'physicallyDestroyed'>

/** Nobody speaks for such a store any more: its id is refused, its address is free. */
export function isGone(store: Recorded): boolean {
  return store.state === StoreState.Tombstone || store.physicallyDestroyed
}

export function storeCondition(
  store: Recorded,
  silentMs: number,
  maxStoreDownMs: number,
): StoreCondition {
  if (store.state === StoreState.Tombstone) return 'tombstone'
  if (store.physicallyDestroyed) return 'destroyed'
  if (store.state === StoreState.Offline) return 'offline'
  if (silentMs > maxStoreDownMs) return 'down'
  return silentMs > DISCONNECTED_AFTER_MS ? 'disconnected' : 'up'
}

/** Whether peers on such a store have to be replaced. */
export function mustBeLeft(condition: StoreCondition): boolean {
  return condition !== 'up' && condition !== 'disconnected'
}
