/**
 * Membership changes as pure functions: a membership and changes in, the next membership or the
 * reason for a refusal out. The same inputs give the same answer on every replica.
 */
import type { PeerId } from '../../base/ids.ts'
import {
  type ConfChangeSingle,
  ConfChangeTransition,
  ConfChangeType,
  type ConfChangeV2,
} from '../types.ts'
import { idList, isJoint, type Membership, mustBeSound } from './membership.ts'

export type Refusal =
  | 'config is already joint'
  | "can't leave a non-joint config"
  | "can't make a zero-voter config joint"
  | "can't apply simple config change in joint config"
  | 'more than one voter changed without entering joint config'
  | 'removed all voters'

/** A change without changes, in automatic mode: "leave the joint state". */
export function isLeaveJoint(change: ConfChangeV2): boolean {
  return change.changes.length === 0 && change.transition === ConfChangeTransition.Auto
}

/** Whatever the change asks for. */
export function changeMembership(current: Membership, change: ConfChangeV2): Membership | Refusal {
  if (isLeaveJoint(change)) return leaveJoint(current)
  if (change.transition === ConfChangeTransition.Auto && change.changes.length === 1) {
    return changeSimple(current, change.changes)
  }
  const autoLeave = change.transition !== ConfChangeTransition.Explicit
  return enterJoint(current, change.changes, autoLeave)
}

/** Any learners, but at most one voter, at once. */
export function changeSimple(
  current: Membership,
  changes: readonly ConfChangeSingle[],
): Membership | Refusal {
  if (isJoint(current)) return "can't apply simple config change in joint config"
  const next = applyAll(current, changes)
  if (typeof next === 'string') return next
  if (countDifferent(current.voters, next.voters) > 1) {
    return 'more than one voter changed without entering joint config'
  }
  return sound(next)
}

/** Today's voters become the outgoing half; the changes shape the incoming one. */
export function enterJoint(
  current: Membership,
  changes: readonly ConfChangeSingle[],
  autoLeave: boolean,
): Membership | Refusal {
  if (isJoint(current)) return 'config is already joint'
  if (current.voters.length === 0) return "can't make a zero-voter config joint"
  const next = applyAll({ ...current, outgoing: current.voters }, changes)
  return typeof next === 'string' ? next : sound({ ...next, autoLeave })
}

/** The incoming half alone decides from here on. */
export function leaveJoint(current: Membership): Membership | Refusal {
  if (!isJoint(current)) return "can't leave a non-joint config"
  return sound({
    voters: current.voters,
    outgoing: idList([]),
    learners: idList([...current.learners, ...current.learnersNext]),
    learnersNext: idList([]),
    autoLeave: false,
  })
}

function sound(membership: Membership): Membership {
  mustBeSound(membership)
  return membership
}

interface Draft {
  readonly outgoing: readonly PeerId[]
  readonly voters: Set<PeerId>
  readonly learners: Set<PeerId>
  readonly learnersNext: Set<PeerId>
}

function applyAll(
  current: Membership,
  changes: readonly ConfChangeSingle[],
): Membership | 'removed all voters' {
  const draft: Draft = {
    outgoing: current.outgoing,
    voters: new Set(current.voters),
    learners: new Set(current.learners),
    learnersNext: new Set(current.learnersNext),
  }
  for (const change of changes) applyOne(draft, change)
  if (draft.voters.size === 0) return 'removed all voters'
  return {
    voters: idList(draft.voters),
    outgoing: current.outgoing,
    learners: idList(draft.learners),
    learnersNext: idList(draft.learnersNext),
    autoLeave: current.autoLeave,
  }
}

/** Peer 0 stands for a change that was struck out. An update changes nothing that raft knows of. */
function applyOne(draft: Draft, { type, nodeId }: ConfChangeSingle): void {
  if (nodeId === 0 || type === ConfChangeType.UpdateNode) return
  draft.voters.delete(nodeId)
  draft.learners.delete(nodeId)
  draft.learnersNext.delete(nodeId)
  if (type === ConfChangeType.AddNode) draft.voters.add(nodeId)
  if (type !== ConfChangeType.AddLearnerNode) return
  // A voter of the outgoing half still votes there, so it turns learner only when that half goes.
  if (draft.outgoing.includes(nodeId)) draft.learnersNext.add(nodeId)
  else draft.learners.add(nodeId)
}

function countDifferent(a: readonly PeerId[], b: readonly PeerId[]): number {
  const gone = a.filter((id) => !b.includes(id)).length
  return gone + b.filter((id) => !a.includes(id)).length
}
