/**
 * ChangePeer: a region gets, loses or converts replicas.
 *
 *   Propose    here: the leader checks an order of the placement driver
 *   Apply      apply/admin/change-peer.ts
 *   On result  here: the region becomes the next one, then raft is told; the placement driver hears
 *              of it at once, and a replica that was removed destroys itself
 *
 * INVARIANTS
 * - One change at a time, proposed only by a leader that applied an entry of its own term: so it has
 *   applied all changes of its predecessors.
 * - The region moves before any message leaves that depends on its new membership.
 * - A leader neither removes nor demotes itself alone: it hands leadership over first.
 * - Raft is in the joint state exactly when the region's roles say so: a restart has nothing but them.
 */
import { assert } from '../../base/assert.ts'
import { asBuffer, EMPTY_BYTES } from '../../base/bytes.ts'
import type { LogIndex } from '../../base/ids.ts'
import {
  AdminKind,
  type ChangePeerCommand,
  decodeChangePeer,
  encodeAdminCommand,
} from '../../command/admin.ts'
import { decodeConfChange } from '../../raft/conf-change-codec.ts'
import { ConfChangeTransition, type ConfChangeV2, type Entry } from '../../raft/types.ts'
import {
  changePeers,
  isJointRegion,
  type PeerChange,
  removedPeers,
} from '../../region/change-peers.ts'
import { PeerRole, peerById, type Region } from '../../region/region.ts'
import { isHealthy } from '../health.ts'
import { abandonSnapshots } from '../on-snapshot.ts'
import type { Peer } from '../peer.ts'
import { reportRegion } from '../report.ts'

/** A change that is committed, and on its way through apply. */
export interface PendingChange {
  readonly index: LogIndex
  readonly change: ConfChangeV2
  readonly command: ChangePeerCommand
}

/** Undefined when it was proposed, else why it was not. */
export function proposeChangePeer(
  peer: Peer,
  changes: readonly PeerChange[],
  nowMs: number,
): string | undefined {
  const { raft, region } = peer
  const unready = whyUnready(peer)
  if (unready !== undefined) return unready
  const next = changePeers(region, changes)
  if (typeof next === 'string') return next
  const refusal =
    refuseHiddenJoint(changes, next) ?? refuseSelf(peer, next) ?? refuseQuorum(peer, next, nowMs)
  if (refusal !== undefined) return refusal
  const { confVer } = region.epoch
  const outcome = raft.proposeConfChange({
    transition: changes.length > 1 ? ConfChangeTransition.Explicit : ConfChangeTransition.Auto,
    changes: changes.map(({ type, peerId }) => ({ type, nodeId: peerId })),
    context: encodeAdminCommand({ kind: AdminKind.ChangePeer, confVer, changes }),
  })
  if (outcome !== 'ok') return `raft refuses: ${outcome}`
  peer.ports.metrics.peerChangesProposed++
  return undefined
}

function whyUnready({ isLeader, raft, install, appliedTerm, changes }: Peer): string | undefined {
  if (!isLeader) return 'it does not lead'
  if (install !== undefined) return 'its data is being replaced'
  if (appliedTerm !== raft.term) return 'it has applied nothing of its own term yet'
  if (raft.leadTransferee !== 0) return 'leadership is being handed over'
  return changes.length > 0 ? 'another change is under way' : undefined
}

/**
 * Several changes take raft through the joint state, which only roles of voters show. After changes of
 * learners alone nobody would know of it, and so nobody could leave it. TiKV refuses them as well.
 */
function refuseHiddenJoint(changes: readonly PeerChange[], next: Region): string | undefined {
  return changes.length > 1 && !isJointRegion(next)
    ? 'several changes of learners alone: order them one by one'
    : undefined
}

function refuseSelf({ self }: Peer, next: Region): string | undefined {
  const role = peerById(next, self.id)?.role
  if (role === undefined) return 'a leader is not removed: transfer leadership first'
  return role === PeerRole.Learner && self.role === PeerRole.Voter
    ? 'a leader is not demoted: transfer leadership first'
    : undefined
}

/**
 * A quorum of each half must be able to commit at once: heard lately, and with a log that joins the
 * leader's. A single voter may always take in another, or it could never grow.
 */
function refuseQuorum(peer: Peer, next: Region, nowMs: number): string | undefined {
  if (peer.region.peers.filter(({ role }) => role === PeerRole.Voter).length <= 1) return undefined
  const incoming = next.peers.filter(
    ({ role }) => role === PeerRole.Voter || role === PeerRole.IncomingVoter,
  )
  const outgoing = next.peers.filter(
    ({ role }) => role === PeerRole.Voter || role === PeerRole.DemotingVoter,
  )
  for (const half of outgoing.length === incoming.length ? [incoming] : [incoming, outgoing]) {
    const healthy = half.filter((other) => isHealthy(peer, other, nowMs)).length
    if (healthy * 2 <= half.length) {
      return `only ${healthy} of ${half.length} voters would be healthy`
    }
  }
  return undefined
}

/** Committed, and handed to apply with the entries around it. */
export function noteChangePeer(peer: Peer, entry: Entry): void {
  const change = decodeConfChange(entry)
  const command = decodeChangePeer(asBuffer(change.context))
  peer.changes.push({ index: entry.index, change, command })
}

/** Apply has come to `appliedIndex`; what it refused on the way changes nothing. */
export function onChangePeerResult(
  peer: Peer,
  appliedIndex: LogIndex,
  isRejected: (index: LogIndex) => boolean,
): void {
  while (peer.changes.length > 0 && peer.changes[0]!.index <= appliedIndex) {
    const pending = peer.changes.shift()!
    if (!isRejected(pending.index)) onChanged(peer, pending)
  }
}

function onChanged(peer: Peer, { index, change, command }: PendingChange): void {
  const before = peer.region
  const next = changePeers(before, command.changes)
  assert(typeof next !== 'string', `apply accepted what the peer refuses: ${next}`)
  peer.setRegion(next)
  // Raft has a last word for those who go: that they may know of it.
  for (const gone of removedPeers(before, next)) {
    peer.strangers.set(gone.id, gone)
    peer.farewells.push({ to: gone, ticks: 0 })
  }
  const wasLeader = peer.isLeader
  peer.raft.applyConfChange(change)
  leaveHiddenJoint(peer)
  // They tell of the earlier membership.
  abandonSnapshots(peer)
  peer.ports.metrics.peerChangesApplied++
  const fields = { region: peer.id, index, confVer: next.epoch.confVer, peers: show(next) }
  peer.ports.logger.info(fields, 'membership changed')
  if (wasLeader && peer.isLeader) reportRegion(peer)
}

/**
 * Logs may hold several changes of learners alone, which were proposed once. Both halves of that joint
 * state are the same voters, so each replica can leave it by itself, as a restart does.
 */
function leaveHiddenJoint({ raft, region }: Peer): void {
  if (raft.confState.votersOutgoing.length === 0 || isJointRegion(region)) return
  const { Auto } = ConfChangeTransition
  raft.applyConfChange({ transition: Auto, changes: [], context: EMPTY_BYTES })
}

const ROLE_MARKS = ['', ' (learner)', ' (incoming)', ' (demoting)'] as const

function show({ peers }: Region): string {
  return peers.map(({ id, storeId, role }) => `${id}@${storeId}${ROLE_MARKS[role]}`).join(', ')
}
