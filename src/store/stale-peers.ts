/**
 * Replicas that have not heard a leader for long: either their region has none, or it goes on without
 * them. Voters find out by asking for votes; a learner, and a replica that never had data, only here.
 *
 * INVARIANT: PD is asked about a few at a time, and about all of them in turn.
 */
import type { Clock } from '../base/clock.ts'
import { errorMessage } from '../base/errors.ts'
import type { PeerId, RegionId } from '../base/ids.ts'
import type { Logger } from '../base/logger.ts'
import type { PdClient } from '../pd/port.ts'
import { PeerTag } from '../peer/messages.ts'
import type { Peer } from '../peer/peer.ts'
import { peerById } from '../region/region.ts'
import type { StoreRouter } from './store-handler.ts'

export interface StalePeersOptions {
  readonly pd: Pick<PdClient, 'getRegionById'>
  readonly router: StoreRouter
  readonly clock: Clock
  readonly logger: Logger
  readonly leaderMissingMs: number
}

const OPEN_MAX = 64

export class StalePeers {
  readonly #options: StalePeersOptions
  /** In this turn. */
  readonly #asked = new Set<RegionId>()
  /** Not answered yet. */
  readonly #open = new Set<RegionId>()

  constructor(options: StalePeersOptions) {
    this.#options = options
  }

  check(): void {
    const missing = this.#missing()
    if (missing.every(({ id }) => this.#asked.has(id))) this.#asked.clear()
    for (const { id, self } of missing) {
      if (this.#open.size >= OPEN_MAX) return
      if (this.#asked.has(id) || this.#open.has(id)) continue
      this.#asked.add(id)
      this.#open.add(id)
      void this.#ask(id, self.id)
    }
  }

  #missing(): Peer[] {
    const { router, clock, leaderMissingMs } = this.#options
    const sinceMs = clock.monotonicMs() - leaderMissingMs
    const missing: Peer[] = []
    for (const peer of router.all()) {
      if (peer.destroying !== undefined || peer.isLeader || peer.hibernation.asleep) continue
      if (peer.leaderHeardMs > sinceMs) continue
      missing.push(peer)
    }
    return missing
  }

  async #ask(regionId: RegionId, peerId: PeerId): Promise<void> {
    const { pd, router, logger } = this.#options
    try {
      const region = (await pd.getRegionById(regionId))?.region
      if (region === undefined || peerById(region, peerId) !== undefined) return
      const { epoch } = region
      logger.info({ region: regionId, peer: peerId, ...epoch }, 'PD does not know the replica')
      router.sendForced(regionId, { tag: PeerTag.Removed, peerId, epoch })
    } catch (error) {
      logger.debug({ region: regionId, error: errorMessage(error) }, 'PD could not be asked')
    } finally {
      this.#open.delete(regionId)
    }
  }
}
