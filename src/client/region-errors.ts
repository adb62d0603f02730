/**
 * What a refusal teaches, and what to do next. The cache is changed only while it still holds what
 * the request was sent with: an answer to an older belief must not undo a newer one.
 */
import { unreachable } from '../base/assert.ts'
import { PolyraftError } from '../base/errors.ts'
import type { RawRequest, RegionError } from '../protocol/raw.ts'
import { type Peer, PeerRole, peerById, peerOnStore, type Region } from '../region/region.ts'
import { type BackoffCurve, BUSY_BACKOFF, DISK_FULL_BACKOFF, ELECTION_BACKOFF } from './backoff.ts'
import type { CachedRegion, RegionCache } from './region-cache.ts'
import type { StoreLinks } from './store-links.ts'

export const Next = { RetryNow: 0, RetryLater: 1, Fail: 2 } as const
export type Next = (typeof Next)[keyof typeof Next]

export interface Reaction {
  readonly next: Next
  readonly reason: string
  /** For RetryLater, and for RetryNow when there were too many of these. */
  readonly curve: BackoffCurve
  readonly backoffMsMin: number
  /** The command may have been executed all the same. */
  readonly undetermined: boolean
  readonly error: RegionError
}

type LeaderHint = Extract<RegionError, { code: 'NotLeader' }>
type EpochHint = Extract<RegionError, { code: 'EpochNotMatch' }>

function reaction(next: Next, error: RegionError, curve = ELECTION_BACKOFF): Reaction {
  const reason = error.message === '' ? error.code : `${error.code}: ${error.message}`
  return {
    next,
    reason,
    curve,
    backoffMsMin: error.code === 'ServerIsBusy' ? error.backoffMs : 0,
    undetermined: error.code === 'UndeterminedResult',
    error,
  }
}

/** Made only for who sees it: a stack for every refusal that is retried costs more than the retry. */
export function refusalOf({ error, reason }: Reaction): PolyraftError {
  const code = error.code === 'UndeterminedResult' ? 'Undetermined' : error.code
  return new PolyraftError(code, reason)
}

export class Learner {
  #cache: RegionCache
  #links: StoreLinks

  constructor(cache: RegionCache, links: StoreLinks) {
    this.#cache = cache
    this.#links = links
  }

  learn(request: RawRequest, error: RegionError, nowMs: number): Reaction {
    switch (error.code) {
      case 'NotLeader':
        return this.#onNotLeader(request, error, nowMs)
      case 'EpochNotMatch':
        return this.#onEpochNotMatch(request, error)
      case 'RegionNotFound':
      case 'KeyNotInRegion':
      case 'MismatchPeerId':
        this.#forget(request)
        return reaction(Next.RetryNow, error)
      case 'StoreNotMatch':
        this.#links.drop(this.#links.get(request.storeId))
        this.#forget(request)
        return reaction(Next.RetryNow, error)
      case 'StaleCommand':
        return reaction(Next.RetryNow, error)
      case 'ServerIsBusy':
        return reaction(Next.RetryLater, error, BUSY_BACKOFF)
      case 'DiskFull':
        return reaction(Next.RetryLater, error, DISK_FULL_BACKOFF)
      case 'RegionNotInitialized':
        this.#rotateFrom(request, nowMs)
        return reaction(Next.RetryLater, error)
      case 'ReadIndexNotReady':
      case 'RecoveryInProgress':
      case 'UndeterminedResult':
        return reaction(Next.RetryLater, error)
      case 'RaftEntryTooLarge':
        return reaction(Next.Fail, error)
      default:
        return unreachable(error)
    }
  }

  /** No answer came: another replica may lead now, and when all were tried PD may know more. */
  onUnanswered(request: RawRequest, failures: number, nowMs: number): void {
    const entry = this.#current(request)
    if (entry === undefined) return
    if (failures + 1 >= entry.region.peers.length) this.#cache.remove(entry)
    else this.#rotateFrom(request, nowMs)
  }

  /** The next voter that is not suspect becomes the believed leader; any other one if all are. */
  rotate(entry: CachedRegion, nowMs: number): void {
    const peers = entry.region.peers
    const from = peers.findIndex((peer) => peer.id === entry.leader.id)
    for (let step = 1; step < peers.length; step++) {
      const peer = peers[(from + step + peers.length) % peers.length]!
      if (peer.role === PeerRole.Learner) continue
      if (this.#links.isSuspect(peer.storeId, nowMs)) continue
      entry.leader = peer
      return
    }
  }

  #onNotLeader(request: RawRequest, error: LeaderHint, nowMs: number): Reaction {
    const entry = this.#current(request)
    const leader = error.leader
    if (entry === undefined) return reaction(Next.RetryNow, error)
    if (leader === undefined || this.#links.isSuspect(leader.storeId, nowMs)) {
      this.#rotateFrom(request, nowMs)
      return reaction(Next.RetryLater, error)
    }
    const known = peerById(entry.region, leader.id)
    if (known === undefined || known.storeId !== leader.storeId) this.#cache.remove(entry)
    else {
      entry.leader = known
      entry.rotations = 0
    }
    return reaction(Next.RetryNow, error)
  }

  #onEpochNotMatch(request: RawRequest, error: EpochHint): Reaction {
    const regions = error.currentRegions
    if (regions.some((region) => isBehind(region, request))) {
      // The peer lags behind what this client knows: it will catch up.
      return reaction(Next.RetryLater, error)
    }
    this.#forget(request)
    for (const region of regions) this.#insert(region, request)
    return reaction(Next.RetryNow, error)
  }

  #insert(region: Region, request: RawRequest): void {
    const leader: Peer | undefined = peerOnStore(region, request.storeId)
    this.#cache.insert(region, leader)
  }

  /** The entry that the request was sent with, unless it has been replaced since. */
  #current(request: RawRequest): CachedRegion | undefined {
    const entry = this.#cache.byId(request.regionId)
    return entry !== undefined && entry.region.epoch.version === request.version ? entry : undefined
  }

  #forget(request: RawRequest): void {
    const entry = this.#current(request)
    if (entry !== undefined) this.#cache.remove(entry)
  }

  #rotateFrom(request: RawRequest, nowMs: number): void {
    const entry = this.#current(request)
    if (entry === undefined || entry.leader.id !== request.peerId) return
    // All were asked: the region may live elsewhere by now, which PD knows.
    if (++entry.rotations > entry.region.peers.length) this.#cache.remove(entry)
    else this.rotate(entry, nowMs)
  }
}

function isBehind(region: Region, request: RawRequest): boolean {
  if (region.id !== request.regionId) return false
  return (
    region.epoch.version < request.version ||
    (region.epoch.version === request.version && region.epoch.confVer < request.confVer)
  )
}
