/** Regions, peers and epochs: what a shard of the key space is, and where its replicas live. */
import { compareBytes } from '../base/bytes.ts'
import type { PeerId, RegionId, StoreId } from '../base/ids.ts'

export const PeerRole = { Voter: 0, Learner: 1, IncomingVoter: 2, DemotingVoter: 3 } as const
export type PeerRole = (typeof PeerRole)[keyof typeof PeerRole]

export interface Peer {
  readonly id: PeerId
  readonly storeId: StoreId
  readonly role: PeerRole
}

export interface RegionEpoch {
  /** Bumped by every membership change. */
  readonly confVer: number
  /** Bumped by every split and merge. */
  readonly version: number
}

/** Keys are user keys, plain. Empty start = from the beginning, empty end = to the end. */
export interface Region {
  readonly id: RegionId
  readonly startKey: Buffer
  readonly endKey: Buffer
  readonly epoch: RegionEpoch
  readonly peers: readonly Peer[]
}

export function regionContains(region: Region, key: Uint8Array): boolean {
  return (
    compareBytes(key, region.startKey) >= 0 &&
    (region.endKey.length === 0 || compareBytes(key, region.endKey) < 0)
  )
}

export function peerOnStore(region: Region, storeId: StoreId): Peer | undefined {
  return region.peers.find((peer) => peer.storeId === storeId)
}

export function peerById(region: Region, peerId: PeerId): Peer | undefined {
  return region.peers.find((peer) => peer.id === peerId)
}

export function sameEpoch(a: RegionEpoch, b: RegionEpoch): boolean {
  return a.confVer === b.confVer && a.version === b.version
}

/** Of the voters, and while a change of membership is under way of those before it and those after it. */
export function hasMajority({ peers }: Region, isThere: (peer: Peer) => boolean): boolean {
  return [PeerRole.DemotingVoter, PeerRole.IncomingVoter].every((other) => {
    const voters = peers.filter(({ role }) => role === PeerRole.Voter || role === other)
    return voters.filter(isThere).length > voters.length / 2
  })
}
