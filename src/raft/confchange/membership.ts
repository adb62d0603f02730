/**
 * Who takes part. A membership is immutable; its lists are ascending and free of duplicates, so that
 * replicas print, compare and iterate them alike. `outgoing` is non-empty exactly in the joint state.
 *
 * INVARIANTS: voters and learners are disjoint; learnersNext ⊆ outgoing; a joint state has both
 * halves; autoLeave only in a joint state.
 */
import { assert } from '../../base/assert.ts'
import type { PeerId } from '../../base/ids.ts'
import type { ConfState } from '../types.ts'

export interface Membership {
  readonly voters: readonly PeerId[]
  readonly outgoing: readonly PeerId[]
  readonly learners: readonly PeerId[]
  /** Outgoing voters that become learners when the joint state is left. */
  readonly learnersNext: readonly PeerId[]
  readonly autoLeave: boolean
}

const NOBODY: readonly PeerId[] = Object.freeze([])

/** Ascending, without duplicates; one shared list when empty. */
export function idList(ids: Iterable<PeerId>): readonly PeerId[] {
  const list = [...new Set(ids)].sort((a, b) => a - b)
  return list.length === 0 ? NOBODY : list
}

export function isJoint(membership: Membership): boolean {
  return membership.outgoing.length > 0
}

export function isVoter(membership: Membership, id: PeerId): boolean {
  return membership.voters.includes(id) || membership.outgoing.includes(id)
}

export function isMember(membership: Membership, id: PeerId): boolean {
  return isVoter(membership, id) || membership.learners.includes(id)
}

/** Everyone, ascending. */
export function members(membership: Membership): readonly PeerId[] {
  return idList([...membership.voters, ...membership.outgoing, ...membership.learners])
}

export function mustBeSound(membership: Membership): void {
  const { voters, outgoing, learners, learnersNext } = membership
  for (const id of learners) assert(!isVoter(membership, id), `learner ${id} is no voter`)
  for (const id of learnersNext) {
    assert(outgoing.includes(id), `the future learner ${id} is an outgoing voter`)
    assert(!voters.includes(id), `the future learner ${id} is no incoming voter`)
  }
  if (outgoing.length > 0) return
  assert(learnersNext.length === 0, 'future learners exist only in a joint state')
  assert(!membership.autoLeave, 'autoLeave is set only in a joint state')
}

export function toConfState(membership: Membership): ConfState {
  return {
    voters: membership.voters,
    votersOutgoing: membership.outgoing,
    learners: membership.learners,
    learnersNext: membership.learnersNext,
    autoLeave: membership.autoLeave,
  }
}
