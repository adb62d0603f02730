/** Replicas that a store finds on its disk begin to work. */
import type { RegionId } from '../base/ids.ts'
import { CAMPAIGN, PeerTag } from '../peer/messages.ts'
import { Peer } from '../peer/peer.ts'
import type { PeerPorts } from '../peer/ports.ts'
import { peerOnStore, type Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import type { StoreRouter } from './store-handler.ts'
import type { InterruptedInstall } from './store-regions.ts'

export interface PeerStarts {
  readonly ports: PeerPorts
  readonly router: StoreRouter
  readonly mailboxCapacity: number
  readonly applyStateOf: (regionId: RegionId) => ApplyState
}

/** `fresh`: created by a bootstrap just now. */
export function startPeer(starts: PeerStarts, region: Region, fresh: boolean): void {
  const { ports, router, mailboxCapacity } = starts
  const applyState = starts.applyStateOf(region.id)
  ports.apply.register(region, applyState)
  const peer = new Peer(ports, { region, applyState, mailboxCapacity, fresh })
  router.register(peer)
  const alone = region.peers.length === 1
  const first = fresh && peerOnStore(region, ports.storeId) === region.peers[0]
  // Bootstrap spreads the first peers over the stores: elections without waiting, leaders balanced.
  if (alone || first) router.sendForced(region.id, CAMPAIGN)
  // Until its committed entries are read from disk it may not campaign.
  if (alone && peer.appliedIndex < peer.raft.commitIndex) peer.campaignsOnceApplied = true
  // Committed entries that were not applied before the stop are waiting.
  if (!first) router.sendForced(region.id, { tag: PeerTag.EntriesFetched, to: 0 })
}

/** The region votes and stores entries again; it applies once the snapshot is installed. */
export function resumeInstall(
  starts: PeerStarts,
  { region, index, term, data }: InterruptedInstall,
): void {
  const { ports, router, mailboxCapacity } = starts
  const peer = new Peer(ports, {
    region,
    applyState: starts.applyStateOf(region.id),
    mailboxCapacity,
    fresh: false,
    install: {
      kind: data === undefined ? 'failed' : 'ingesting',
      index,
      term,
      data: data ?? new Uint8Array(0),
      readyNumber: 0,
      hardState: { term, vote: 0, commit: index },
      logDurable: true,
      ingested: false,
    },
  })
  router.register(peer)
  ports.logger.info({ region: region.id, index }, 'goes on installing a snapshot')
  if (data !== undefined) ports.snapshots.install(region.id, data, undefined)
}
