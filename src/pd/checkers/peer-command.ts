/** What an administrator may ask of a region's replicas, and the plan that it leads to. Pure. */
import { unreachable } from '../../base/assert.ts'
import { PolyraftError } from '../../base/errors.ts'
import type { RegionId, StoreId } from '../../base/ids.ts'
import { type Peer, PeerRole, peerOnStore } from '../../region/region.ts'
import type { RegionRecord } from '../region-tree.ts'
import { mustBeLeft } from '../store-condition.ts'
import type { ClusterFacts } from './cluster.ts'
import type { PeerPlan } from './peer-plan.ts'
import { canRemove } from './quorum.ts'
import { withRemoval } from './replica-checker.ts'

export type PeerCommand =
  | {
      readonly kind: 'transfer-leader' | 'add-peer' | 'remove-peer'
      readonly regionId: RegionId
      readonly storeId: StoreId
    }
  | {
      readonly kind: 'transfer-peer'
      readonly regionId: RegionId
      readonly storeId: StoreId
      readonly toStoreId: StoreId
    }

/** Throws NotFound or InvalidArgument, saying what is wrong with it. */
export function planOfCommand(
  command: PeerCommand,
  cluster: ClusterFacts,
  record: RegionRecord,
): PeerPlan {
  mustBeLed(record)
  const { storeId } = command
  const reason = `admin-${command.kind}`
  switch (command.kind) {
    case 'transfer-leader':
      return { reason, leaderTo: mustTakeLead(cluster, record, storeId) }
    case 'add-peer':
      return { reason, add: mustTakePeer(cluster, record, storeId) }
    case 'remove-peer': {
      const peer = mustHavePeer(record, storeId)
      mustBeDispensable(cluster, record, peer)
      return mustHandOver(withRemoval(cluster, record, peer, { reason }), record)
    }
    case 'transfer-peer': {
      const peer = mustHavePeer(record, storeId)
      const add = mustTakePeer(cluster, record, command.toStoreId)
      return mustHandOver(withRemoval(cluster, record, peer, { reason, add }), record)
    }
    default:
      return unreachable(command)
  }
}

function refused(message: string): PolyraftError {
  return new PolyraftError('InvalidArgument', message)
}

function mustBeLed({ region, leader }: RegionRecord): void {
  if (leader === undefined) {
    throw refused(`region ${region.id} has no leader that PD knows: nobody could carry it out`)
  }
  if (region.peers.some(({ role }) => role !== PeerRole.Voter && role !== PeerRole.Learner)) {
    throw refused(`region ${region.id} is changing its replicas: try again when it is done`)
  }
}

function mustHavePeer({ region }: RegionRecord, storeId: StoreId): Peer {
  const peer = peerOnStore(region, storeId)
  if (peer !== undefined) return peer
  const stores = region.peers.map((each) => each.storeId).join(', ')
  throw refused(`region ${region.id} has no peer on store ${storeId}: it is on stores ${stores}`)
}

function mustTakePeer(cluster: ClusterFacts, { region }: RegionRecord, storeId: StoreId): StoreId {
  const store = cluster.store(storeId)
  if (store === undefined) {
    throw new PolyraftError('NotFound', `there is no store ${storeId}`, { storeId })
  }
  const there = peerOnStore(region, storeId)
  if (there !== undefined) {
    throw refused(`region ${region.id} has a peer on store ${storeId} already: peer ${there.id}`)
  }
  if (mustBeLeft(store.condition) || !store.alive) {
    throw refused(`store ${storeId} is ${store.condition}: choose one that is up`)
  }
  return storeId
}

function mustTakeLead(cluster: ClusterFacts, record: RegionRecord, storeId: StoreId): StoreId {
  const peer = mustHavePeer(record, storeId)
  const { region, leader } = record
  if (leader?.id === peer.id) throw refused(`store ${storeId} leads region ${region.id} already`)
  if (peer.role !== PeerRole.Voter) {
    throw refused(`peer ${peer.id} on store ${storeId} is a learner, which cannot lead`)
  }
  const store = cluster.store(storeId)
  if (store?.alive !== true) throw refused(`store ${storeId} is ${store?.condition ?? 'unknown'}`)
  return storeId
}

function mustBeDispensable(cluster: ClusterFacts, record: RegionRecord, peer: Peer): void {
  if (canRemove(cluster, record, peer)) return
  throw refused(
    `region ${record.region.id} cannot spare peer ${peer.id} on store ${peer.storeId}: ` +
      'without it not enough of its other voters are healthy',
  )
}

function mustHandOver(plan: PeerPlan | undefined, { region }: RegionRecord): PeerPlan {
  if (plan !== undefined) return plan
  throw refused(`region ${region.id} has no other voter that could lead it`)
}
