/**
 * Membership changes of a region as a pure function: a region and changes in, the next region or the
 * reason for a refusal out. Apply and the peer both call it, so they come to the same region.
 *
 *   no changes   the joint state is left: incoming → voter, demoting → learner
 *   one          takes effect at once; at most one voter differs
 *   several      the joint state is entered: both halves decide until it is left
 *
 * INVARIANTS
 * - A store holds at most one peer of a region; peer ids come and go, and never come again.
 * - conf_ver rises with the number of changes, or of roles that leaving the joint state converts.
 */
import type { StoreId } from '../base/ids.ts'
import { type Peer, PeerRole, peerById, type Region } from './region.ts'

/** Numbers as on PD's wire, in commands and in raft. */
export const ChangeType = { AddVoter: 0, Remove: 1, AddLearner: 2 } as const
export type ChangeType = (typeof ChangeType)[keyof typeof ChangeType]
export const CHANGE_TYPE_MAX = ChangeType.AddLearner

export interface PeerChange {
  readonly type: ChangeType
  readonly peerId: number
  readonly storeId: StoreId
}

export function isJointRegion(region: Region): boolean {
  return region.peers.some(isTransitional)
}

function isTransitional({ role }: Peer): boolean {
  return role === PeerRole.IncomingVoter || role === PeerRole.DemotingVoter
}

/** The next region, or why there is none. */
export function changePeers(region: Region, changes: readonly PeerChange[]): Region | string {
  if (changes.length === 0) return leaveJoint(region)
  if (isJointRegion(region)) return 'the joint state has to be left first'
  const joint = changes.length > 1
  let peers = region.peers
  const changed = new Set<number>()
  for (const change of changes) {
    if (changed.has(change.peerId)) return `peer ${change.peerId} is changed twice`
    changed.add(change.peerId)
    const next = changeOne(peers, change, joint)
    if (typeof next === 'string') return next
    peers = next
  }
  if (!peers.some(votesInFuture)) return 'no voter would be left'
  return withPeers(region, peers, changes.length)
}

function votesInFuture({ role }: Peer): boolean {
  return role === PeerRole.Voter || role === PeerRole.IncomingVoter
}

function leaveJoint(region: Region): Region | string {
  const converted = region.peers.filter(isTransitional).length
  if (converted === 0) return 'there is no joint state to leave'
  const peers = region.peers.map((peer): Peer => {
    if (!isTransitional(peer)) return peer
    const joins = peer.role === PeerRole.IncomingVoter
    return { ...peer, role: joins ? PeerRole.Voter : PeerRole.Learner }
  })
  return withPeers(region, peers, converted)
}

function withPeers(region: Region, peers: readonly Peer[], changes: number): Region {
  const { confVer, version } = region.epoch
  return { ...region, peers, epoch: { confVer: confVer + changes, version } }
}

function changeOne(
  peers: readonly Peer[],
  change: PeerChange,
  joint: boolean,
): readonly Peer[] | string {
  const { type, peerId, storeId } = change
  const there = peers.find((peer) => peer.id === peerId)
  if (there !== undefined && there.storeId !== storeId) {
    return `peer ${peerId} is on store ${there.storeId}, not on store ${storeId}`
  }
  if (type === ChangeType.Remove) return remove(peers, peerId, there, joint)
  const role = type === ChangeType.AddVoter ? PeerRole.Voter : PeerRole.Learner
  if (there === undefined) {
    const other = peers.find((peer) => peer.storeId === storeId)
    if (other !== undefined) return `store ${storeId} has peer ${other.id} already`
    const joins = joint && role === PeerRole.Voter
    return [...peers, { id: peerId, storeId, role: joins ? PeerRole.IncomingVoter : role }]
  }
  if (there.role === role) return `peer ${peerId} is that already`
  const next = joint ? inJoint(role) : role
  return peers.map((peer) => (peer === there ? { ...peer, role: next } : peer))
}

function inJoint(role: PeerRole): PeerRole {
  return role === PeerRole.Voter ? PeerRole.IncomingVoter : PeerRole.DemotingVoter
}

function remove(
  peers: readonly Peer[],
  peerId: number,
  there: Peer | undefined,
  joint: boolean,
): readonly Peer[] | string {
  if (there === undefined) return `peer ${peerId} is no member`
  if (joint && there.role !== PeerRole.Learner) {
    return `voter ${peerId} has to be demoted before it is removed`
  }
  return peers.filter((peer) => peer !== there)
}

/** Peers that only the earlier region has. */
export function removedPeers(before: Region, after: Region): Peer[] {
  return before.peers.filter((peer) => peerById(after, peer.id) === undefined)
}
