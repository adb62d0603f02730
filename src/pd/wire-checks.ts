/**
 * What PD looks at before it takes something from the wire into its records: a message that decodes
 * may still hold what no record can, or what would break the map of regions.
 */
import { compareBytes, printableKey } from '../base/bytes.ts'
import { PolyraftError } from '../base/errors.ts'
import { type Peer, PeerRole, type Region } from '../region/region.ts'

export function mustBeRegion(region: Region): Region {
  const { id, startKey, endKey } = region
  if (id === 0) throw invalid('a region without an id')
  if (endKey.length > 0 && compareBytes(startKey, endKey) >= 0) {
    throw invalid(
      `region ${id} ends at '${printableKey(endKey)}', where it has not begun: ` +
        `its start is '${printableKey(startKey)}'`,
    )
  }
  mustBePeers(region.peers)
  return region
}

export function mustBePeers(peers: readonly Peer[]): void {
  for (const { id, role } of peers) {
    if (role < PeerRole.Voter || role > PeerRole.DemotingVoter) {
      throw invalid(`peer ${id} has the role ${role}, which is none`)
    }
  }
}

function invalid(message: string): PolyraftError {
  return new PolyraftError('InvalidArgument', message)
}
