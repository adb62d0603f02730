/** A membership takes effect: after its entry was applied, or with a snapshot. */
import { assert } from '../base/assert.ts'
import { NO_ID } from '../base/ids.ts'
import { changeMembership } from './confchange/changer.ts'
import { isVoter, type Membership, toConfState } from './confchange/membership.ts'
import type { Raft } from './raft.ts'
import { answerConfirmedReads } from './reads.ts'
import { broadcastAppend, maybeCommit, maybeSendAppend, shareCommit } from './replication.ts'
import { type ConfChangeV2, type ConfState, StateRole } from './types.ts'

/** Applies a committed change. Proposing checked it, so that a refusal here is a broken invariant. */
export function applyConfChange(raft: Raft, change: ConfChangeV2): ConfState {
  const next = changeMembership(raft.membership, change)
  assert(typeof next !== 'string', `a committed membership change is refused: ${next}`)
  switchMembership(raft, next)
  return toConfState(raft.membership)
}

export function switchMembership(raft: Raft, membership: Membership): void {
  raft.membership = membership
  raft.trace?.info({ id: raft.id, membership }, 'switched membership')
  if (raft.role === StateRole.Leader) onLeaderSwitched(raft)
}

function onLeaderSwitched(raft: Raft): void {
  const tracker = raft.tracker!
  // A newcomer is probed at the last entry, and counts as active until it had its chance to answer.
  tracker.reconcile(raft.membership, Math.max(raft.log.lastIndex, 1), true)
  if (!isVoter(raft.membership, raft.id)) {
    if (!raft.config.stepDownOnRemoval) return
    // Its last word: without it the others may not learn in time that they can do without its vote.
    shareCommit(raft)
    raft.becomeFollower(raft.term, NO_ID)
    return
  }
  if (raft.membership.voters.length === 0) return
  // A smaller quorum may have been reached already; if not, newcomers need not wait for a heartbeat.
  if (maybeCommit(raft)) broadcastAppend(raft)
  else {
    for (const progress of tracker.all) {
      if (progress.id !== raft.id) maybeSendAppend(raft, progress, false)
    }
  }
  if (!isVoter(raft.membership, raft.leadTransferee)) raft.leadTransferee = NO_ID
  answerConfirmedReads(raft)
}
