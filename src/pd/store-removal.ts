/**
 * What PD refuses of the removals of stores that an administrator asks for, because nothing could take
 * them back.
 *
 *   physically destroyed   the store has been silent long enough to be disconnected: one that is heard
 *                          has its data; and every region keeps the majority of its voters on stores
 *                          that are not gone.
 *   otherwise              as many stores as a region has replicas stay and are up: its peers would
 *                          have nowhere to go. A store without peers goes whenever it is told to.
 */
import { PolyraftError } from '../base/errors.ts'
import type { StoreId } from '../base/ids.ts'
import { hasMajority, type Peer } from '../region/region.ts'
import { DISCONNECTED_AFTER_MS } from './schedule-config.ts'
import type { PdState } from './state.ts'
import { isGone, storeCondition } from './store-condition.ts'
import type { StoreRecord } from './store-table.ts'

export interface RemovalTimes {
  /** Monotonic. */
  readonly nowMs: number
  readonly maxStoreDownMs: number
}

/** Throws InvalidArgument, saying what to do instead. */
export function mustBeRemovable(
  state: PdState,
  storeId: StoreId,
  physicallyDestroyed: boolean,
  times: RemovalTimes,
): void {
  if (physicallyDestroyed) {
    mustBeSilent(state.stores.get(storeId)!, times.nowMs)
    mustLeaveMajorities(state, storeId)
  } else if (state.regions.regionsOn(storeId).size > 0) mustHaveRoom(state, storeId, times)
}

function mustBeSilent({ meta, heardAtMs }: StoreRecord, nowMs: number): void {
  const silentMs = nowMs - heardAtMs
  if (silentMs > DISCONNECTED_AFTER_MS) return
  const waitSeconds = Math.floor((DISCONNECTED_AFTER_MS - silentMs) / 1000) + 1
  throw refused(
    `store ${meta.id} was heard ${Math.floor(silentMs / 1000)} s ago, so it may still run and have ` +
      `its data: stop it, and try again in ${waitSeconds} s, when it counts as disconnected`,
  )
}

function mustLeaveMajorities(state: PdState, storeId: StoreId): void {
  const stays = (peer: Peer): boolean => {
    const store = peer.storeId === storeId ? undefined : state.stores.get(peer.storeId)
    return store !== undefined && !isGone(store.meta)
  }
  const regions = [...state.regions.regionsOn(storeId)].map((id) => state.regions.get(id)!.region)
  const lost = regions.filter((region) => !hasMajority(region, stays))
  if (lost.length === 0) return
  const others = lost.length === 1 ? '' : ` and ${lost.length - 1} more`
  throw refused(
    `region ${lost[0]!.id}${others} would be left without a majority of voters, and the data out of ` +
      'reach for good: let the replicas of other lost stores come back first (polyraft ctl health)',
  )
}

function mustHaveRoom(state: PdState, storeId: StoreId, times: RemovalTimes): void {
  const replicas = state.maxPeerCount
  const up = [...state.stores.all()].filter(
    (store) => store.meta.id !== storeId && isUp(store, times),
  ).length
  if (up >= replicas) return
  const lower = up === 0 ? '' : `, or lower it with polyraft ctl config set replicas ${up}`
  throw refused(
    `without store ${storeId} ${up === 1 ? '1 store is' : `${up} stores are`} up, and a region has ` +
      `${replicas} replicas, so its peers have nowhere to go: add a store first${lower}`,
  )
}

function isUp({ meta, heardAtMs }: StoreRecord, { nowMs, maxStoreDownMs }: RemovalTimes): boolean {
  return storeCondition(meta, nowMs - heardAtMs, maxStoreDownMs) === 'up'
}

function refused(message: string): PolyraftError {
  return new PolyraftError('InvalidArgument', `${message}; --force does it anyway`)
}
