/** A region's status as JSON: keys in hex, as TiKV's tools show them, and readable beside it. */
import { printableKey } from '../base/bytes.ts'
import { type Peer, PeerRole } from '../region/region.ts'
import type { RegionStatus } from '../store/port.ts'

const ROLE_NAMES = Object.fromEntries(
  Object.entries(PeerRole).map(([name, role]) => [role, name.toLowerCase()]),
)

export function formatPeer(peer: Peer): string {
  const role = peer.role === PeerRole.Voter ? '' : ` ${ROLE_NAMES[peer.role]}`
  return `${peer.id} on store ${peer.storeId}${role}`
}

export function regionJson(status: RegionStatus): object {
  const { region, ...rest } = status
  return {
    id: region.id,
    startKey: region.startKey.toString('hex').toUpperCase(),
    endKey: region.endKey.toString('hex').toUpperCase(),
    startKeyText: printableKey(region.startKey),
    endKeyText: printableKey(region.endKey),
    epoch: region.epoch,
    peers: region.peers.map((peer) => ({
      id: peer.id,
      storeId: peer.storeId,
      role: ROLE_NAMES[peer.role],
    })),
    ...rest,
  }
}
