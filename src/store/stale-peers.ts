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
import { peerById } from '../region/region.ts'
import type { StoreRouter } from './store-handler.ts'

export interface StalePeersOptions {
  readonly pd: Pick<PdClient, 'getRegionById'>
  readonly router: StoreRouter
  readonly clock: Clock
  readonly logger: Logger
  readonly leaderMissingMs: number
}

const ASKED_MAX = 64

export class StalePeers {
  readonly #options: StalePeersOptions
  /** In this turn. */
  readonly #asked = new Set<RegionId>()
  #running = 0

  constructor(options: StalePeersOptions) {
    this.#options = options
  }

  check(): void {
    const { router, clock, leaderMissingMs } = this.#options
    const sinceMs = clock.monotonicMs() - leaderMissingMs
    let passedOver = false
    for (const peer of router.all()) {
      if (peer.destroying !== undefined || peer.isLeader || peer.leaderHeardMs > sinceMs) continue
      if (this.#running >= ASKED_MAX || this.#asked.has(peer.id)) {
        passedOver = true
        continue
      }
      this.#asked.add(peer.id)
      this.#running++
      void this.#ask(peer.id, peer.self.id)
    }
    if (this.#running === 0 || !passedOver) this.#asked.clear()
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
      this.#running--
    }
  }
}
