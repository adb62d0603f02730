/** The membership that a stored or received ConfState describes. */
import type { ConfState } from '../types.ts'
import { idList, type Membership, mustBeSound } from './membership.ts'

export function restoreMembership(state: ConfState): Membership {
  const membership: Membership = {
    voters: idList(state.voters),
    outgoing: idList(state.votersOutgoing),
    learners: idList(state.learners),
    learnersNext: idList(state.learnersNext),
    autoLeave: state.autoLeave,
  }
  mustBeSound(membership)
  return membership
}
