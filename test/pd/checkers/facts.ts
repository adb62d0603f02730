/** A made-up cluster for checkers: stores by id, all up and empty unless told otherwise. */
import type { ClusterFacts, StoreFacts } from '../../../src/pd/checkers/cluster.ts'
import type { RegionRecord } from '../../../src/pd/region-tree.ts'
import type { Peer } from '../../../src/region/region.ts'
import { heartbeat, region } from '../fixtures.ts'

export function clusterOf(
  count: number,
  changes: Readonly<Record<number, Partial<StoreFacts>>> = {},
  replicas = 3,
): ClusterFacts {
  const stores: StoreFacts[] = Array.from({ length: count }, (_, i) => ({
    id: i + 1,
    condition: 'up',
    alive: true,
    host: undefined,
    peers: 10,
    leaders: 0,
    takesPeers: true,
    ...changes[i + 1],
  }))
  return { replicas, stores: () => stores, store: (id) => stores[id - 1] }
}

/** Peer 101 on store 1, and so on; `L` behind a store's number makes a learner. */
export function recordOf(
  stores: string,
  told: { pending?: number[]; down?: number[]; leader?: number; downSeconds?: number } = {},
): RegionRecord {
  const peers = stores.split(' ').map((text): Peer => {
    const storeId = Number.parseInt(text, 10)
    return { id: 100 + storeId, storeId, role: text.endsWith('L') ? 1 : 0 }
  })
  const at = (storeId: number): Peer => peers.find((peer) => peer.storeId === storeId)!
  const { pending = [], down = [], downSeconds = 60 } = told
  const leader = told.leader ?? peers[0]!.storeId
  return {
    ...heartbeat({ ...region(7, '', ''), peers }),
    leader: leader === 0 ? undefined : at(leader),
    pendingPeers: pending.map(at),
    downPeers: down.map((storeId) => ({ peer: at(storeId), downSeconds })),
  }
}
