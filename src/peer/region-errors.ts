/** The refusals of a peer, worded once. */
import { printableKey } from '../base/bytes.ts'
import type { PeerId, RegionId, StoreId } from '../base/ids.ts'
import type { RegionError } from '../protocol/raw.ts'
import type { Peer, Region } from '../region/region.ts'

export function notLeader(regionId: RegionId, leader: Peer | undefined): RegionError {
  const where = leader === undefined ? 'no leader is known' : `store ${leader.storeId} leads`
  return {
    code: 'NotLeader',
    message: `not leader of region ${regionId}: ${where}`,
    regionId,
    leader,
  }
}

export function regionNotFound(regionId: RegionId): RegionError {
  return { code: 'RegionNotFound', message: `region ${regionId} is not on this store`, regionId }
}

export function keyNotInRegion(key: Buffer, region: Region): RegionError {
  return {
    code: 'KeyNotInRegion',
    message: `key ${printableKey(key)} is not in region ${region.id}`,
    key,
    regionId: region.id,
    startKey: region.startKey,
    endKey: region.endKey,
  }
}

export function epochNotMatch(current: Region): RegionError {
  const { confVer, version } = current.epoch
  return {
    code: 'EpochNotMatch',
    message: `region ${current.id} is at epoch ${confVer}/${version}`,
    currentRegions: [current],
  }
}

export function storeNotMatch(requestStoreId: StoreId, actualStoreId: StoreId): RegionError {
  return {
    code: 'StoreNotMatch',
    message: `this is store ${actualStoreId}, not store ${requestStoreId}`,
    requestStoreId,
    actualStoreId,
  }
}

export function mismatchPeerId(requestPeerId: PeerId, storePeerId: PeerId): RegionError {
  return {
    code: 'MismatchPeerId',
    message: `the peer here is ${storePeerId}, not ${requestPeerId}`,
    requestPeerId,
    storePeerId,
  }
}

export function serverIsBusy(reason: string, backoffMs: number): RegionError {
  return { code: 'ServerIsBusy', message: `server is busy: ${reason}`, reason, backoffMs }
}

/** Clients of TiKV look for these words. */
export const DEADLINE_EXCEEDED: RegionError = Object.freeze({
  code: 'ServerIsBusy',
  message: 'Deadline is exceeded',
  reason: 'Deadline is exceeded',
  backoffMs: 0,
})

export const STALE_COMMAND: RegionError = Object.freeze({
  code: 'StaleCommand',
  message: 'the leader changed before this command committed; it had no effect',
})

export const UNDETERMINED: RegionError = Object.freeze({
  code: 'UndeterminedResult',
  message: 'the store stopped before the outcome was known; the write may or may not have happened',
})

export const OUTCOME_OPEN: RegionError = Object.freeze({
  code: 'UndeterminedResult',
  message:
    'leadership was lost before the outcome was known; the write may or may not have happened',
})

export function entryTooLarge(regionId: RegionId, entrySize: number, max: number): RegionError {
  return {
    code: 'RaftEntryTooLarge',
    message: `a write of ${entrySize} bytes is above the entry limit of ${max}: write less at once`,
    regionId,
    entrySize,
  }
}
