/** PD's orders in the words of the peers that carry them out. */
import type { ChangePeer, RegionOrder } from '../pd/port.ts'
import type { PdOrder } from '../peer/on-order.ts'
import { CHANGE_TYPE_MAX, type ChangeType, type PeerChange } from '../region/change-peers.ts'

/** Undefined for an order of a kind that is not known here. */
export function peerOrderOf(order: RegionOrder): PdOrder | undefined {
  const { regionEpoch: epoch, targetPeer, changePeer, changePeerV2, transferLeader } = order
  const changes = changePeerV2 ?? (changePeer === undefined ? undefined : [changePeer])
  if (changes === undefined && transferLeader === undefined) return undefined
  if (changes?.some(({ changeType }) => changeType > CHANGE_TYPE_MAX) === true) return undefined
  return {
    epoch,
    targetId: targetPeer?.id,
    changes: changes?.map(peerChangeOf),
    transferTo: transferLeader === undefined ? [] : [transferLeader],
  }
}

function peerChangeOf({ changeType, peer }: ChangePeer): PeerChange {
  return { type: changeType as ChangeType, peerId: peer.id, storeId: peer.storeId }
}
