/**
 * The steps that an operator is made of: each is one order to a region's leader, and the sight of the
 * region that tells that it was carried out.
 */
import { unreachable } from '../../base/assert.ts'
import type { PeerId, StoreId } from '../../base/ids.ts'
import { type Peer, PeerRole, peerById, peerOnStore } from '../../region/region.ts'
import type { ClusterFacts } from '../checkers/cluster.ts'
import type { PeerPlan } from '../checkers/peer-plan.ts'
import { canPromote, canRemove, isDown, isHealthy, isPending } from '../checkers/quorum.ts'
import { ChangePeerType, type RegionOrder } from '../port.ts'
import type { RegionRecord } from '../region-tree.ts'
import { mustBeLeft } from '../store-condition.ts'

export type Step =
  | { readonly kind: 'add-learner'; readonly peer: Peer }
  | { readonly kind: 'promote'; readonly peer: Peer }
  | { readonly kind: 'transfer-leader'; readonly to: StoreId }
  | { readonly kind: 'remove'; readonly peer: Peer }

/** What to do about the present step of an operator. */
export type Verdict =
  | { readonly kind: 'send' }
  /** It is on its way, or would be dangerous now. */
  | { readonly kind: 'wait' }
  | { readonly kind: 'cancel'; readonly reason: string }

const SEND: Verdict = { kind: 'send' }
const WAIT: Verdict = { kind: 'wait' }

function cancel(reason: string): Verdict {
  return { kind: 'cancel', reason }
}

export function stepsOf(plan: PeerPlan, newPeerId: PeerId): Step[] {
  const steps: Step[] = []
  const { add, promote, leaderTo, remove } = plan
  if (add !== undefined) {
    const peer = { id: newPeerId, storeId: add, role: PeerRole.Learner }
    steps.push({ kind: 'add-learner', peer }, { kind: 'promote', peer })
  }
  if (promote !== undefined) steps.push({ kind: 'promote', peer: promote })
  if (leaderTo !== undefined) steps.push({ kind: 'transfer-leader', to: leaderTo })
  if (remove !== undefined) steps.push({ kind: 'remove', peer: remove })
  return steps
}

export function isDone(step: Step, record: RegionRecord): boolean {
  switch (step.kind) {
    case 'add-learner': {
      const peer = peerById(record.region, step.peer.id)
      return peer !== undefined && !isPending(record, peer) && !isDown(record, peer)
    }
    case 'promote':
      return peerById(record.region, step.peer.id)?.role === PeerRole.Voter
    case 'transfer-leader':
      return record.leader?.storeId === step.to
    case 'remove':
      return peerById(record.region, step.peer.id) === undefined
    default:
      return unreachable(step)
  }
}

/** By how much the step raises conf_ver, as far as the region shows it. */
export function confChanges(step: Step, record: RegionRecord): number {
  if (step.kind === 'transfer-leader') return 0
  if (step.kind === 'add-learner') return peerById(record.region, step.peer.id) ? 1 : 0
  return isDone(step, record) ? 1 : 0
}

/** Of a step that is not done. */
export function judge(step: Step, record: RegionRecord, cluster: ClusterFacts): Verdict {
  switch (step.kind) {
    case 'add-learner':
      return judgeAdd(step.peer, record, cluster)
    case 'promote':
      return judgePromote(step.peer, record, cluster)
    case 'transfer-leader':
      return judgeTransfer(step.to, record, cluster)
    case 'remove':
      return judgeRemove(step.peer, record, cluster)
    default:
      return unreachable(step)
  }
}

function lostStore(storeId: StoreId, cluster: ClusterFacts): Verdict | undefined {
  const condition = cluster.store(storeId)?.condition ?? 'tombstone'
  return mustBeLeft(condition) ? cancel(`store ${storeId} is ${condition}`) : undefined
}

function judgeAdd(peer: Peer, record: RegionRecord, cluster: ClusterFacts): Verdict {
  const lost = lostStore(peer.storeId, cluster)
  if (lost !== undefined) return lost
  const there = peerOnStore(record.region, peer.storeId)
  if (there !== undefined && there.id !== peer.id) {
    return cancel(`store ${peer.storeId} has peer ${there.id} of the region`)
  }
  if (there !== undefined) return WAIT
  return cluster.store(peer.storeId)!.alive ? SEND : WAIT
}

function judgePromote(peer: Peer, record: RegionRecord, cluster: ClusterFacts): Verdict {
  const learner = peerById(record.region, peer.id)
  if (learner === undefined) return cancel(`peer ${peer.id} is gone`)
  const lost = lostStore(peer.storeId, cluster)
  if (lost !== undefined) return lost
  return canPromote(cluster, record, learner) ? SEND : WAIT
}

function judgeTransfer(to: StoreId, record: RegionRecord, cluster: ClusterFacts): Verdict {
  const peer = peerOnStore(record.region, to)
  if (peer?.role !== PeerRole.Voter) return cancel(`store ${to} has no voter of the region`)
  const lost = lostStore(to, cluster)
  if (lost !== undefined) return lost
  return isHealthy(cluster, record, peer) ? SEND : WAIT
}

function judgeRemove(peer: Peer, record: RegionRecord, cluster: ClusterFacts): Verdict {
  const current = peerById(record.region, peer.id)!
  if (record.leader?.id === peer.id) return cancel(`peer ${peer.id} leads the region`)
  return canRemove(cluster, record, current) ? SEND : WAIT
}

export function orderOf(step: Step, record: RegionRecord): RegionOrder {
  const { region, leader } = record
  return {
    regionId: region.id,
    regionEpoch: region.epoch,
    targetPeer: leader,
    changePeer: changeOf(step),
    transferLeader: step.kind === 'transfer-leader' ? peerOnStore(region, step.to) : undefined,
  }
}

function changeOf(step: Step): RegionOrder['changePeer'] {
  switch (step.kind) {
    case 'add-learner':
      return { peer: step.peer, changeType: ChangePeerType.AddLearnerNode }
    case 'promote':
      return {
        peer: { ...step.peer, role: PeerRole.Voter },
        changeType: ChangePeerType.AddNode,
      }
    case 'remove':
      return { peer: step.peer, changeType: ChangePeerType.RemoveNode }
    case 'transfer-leader':
      return undefined
    default:
      return unreachable(step)
  }
}

export function describeStep(step: Step): string {
  switch (step.kind) {
    case 'add-learner':
      return `add learner ${step.peer.id} on store ${step.peer.storeId}`
    case 'promote':
      return `promote peer ${step.peer.id} on store ${step.peer.storeId}`
    case 'transfer-leader':
      return `move the leader to store ${step.to}`
    case 'remove':
      return `remove peer ${step.peer.id} from store ${step.peer.storeId}`
    default:
      return unreachable(step)
  }
}
