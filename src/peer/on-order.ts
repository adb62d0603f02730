/** Orders of the placement driver, which only a leader carries out, and only those that fit. */
import type { PeerChange } from '../region/change-peers.ts'
import {
  type Peer as PeerMeta,
  PeerRole,
  peerById,
  type RegionEpoch,
  sameEpoch,
} from '../region/region.ts'
import { proposeChangePeer } from './admin/change-peer.ts'
import { isHealthy } from './health.ts'
import type { Peer } from './peer.ts'

export interface PdOrder {
  /** Of the region as the order saw it. */
  readonly epoch: RegionEpoch | undefined
  /** The leader that is meant; undefined: whoever leads. */
  readonly targetId: number | undefined
  /** None at all: leave the joint state. */
  readonly changes: readonly PeerChange[] | undefined
  /** Who may lead instead, the first that can. */
  readonly transferTo: readonly PeerMeta[]
}

/** The placement driver looks at the next heartbeat for what came of it, and orders again. */
export function onPdOrder(peer: Peer, order: PdOrder, nowMs: number): void {
  const refusal = carryOut(peer, order, nowMs)
  const { logger, metrics } = peer.ports
  if (refusal === undefined) {
    metrics.ordersTaken++
    return
  }
  metrics.ordersRefused++
  logger.info({ region: peer.id, reason: refusal }, 'does not carry out an order of PD')
}

function carryOut(peer: Peer, order: PdOrder, nowMs: number): string | undefined {
  if (!peer.isLeader) return 'it does not lead'
  if (order.targetId !== undefined && order.targetId !== peer.self.id) {
    return `it is for peer ${order.targetId}`
  }
  const { epoch } = order
  if (epoch !== undefined && !sameEpoch(epoch, peer.region.epoch)) {
    return `it is for epoch ${epoch.confVer}/${epoch.version}`
  }
  if (order.changes !== undefined) return proposeChangePeer(peer, order.changes, nowMs)
  return transferTo(peer, order.transferTo, nowMs)
}

function transferTo(
  peer: Peer,
  candidates: readonly PeerMeta[],
  nowMs: number,
): string | undefined {
  const { raft, region, changes, ports } = peer
  if (changes.length > 0) return 'a membership change is under way'
  const target = candidates.find(({ id }) => {
    const member = peerById(region, id)
    return member?.role === PeerRole.Voter && isHealthy(peer, member, nowMs)
  })
  if (target === undefined) return 'nobody it names can lead'
  if (target.id === peer.self.id) return undefined
  ports.logger.info({ region: peer.id, to: target.storeId }, 'transferring leadership')
  raft.transferLeader(target.id)
  return undefined
}
