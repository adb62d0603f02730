/**
 * The progress of all members, held by a leader alone: built when it takes office, dropped when it
 * leaves. Lists are ascending by id, so that everything sent to all leaves in one order.
 *
 * @hot committedIndex runs for every acknowledgement: no allocation, no closure.
 */
import type { LogIndex, PeerId } from '../../base/ids.ts'
import { isVoter, type Membership, members } from '../confchange/membership.ts'
import { jointIndex, jointVote } from '../quorum/joint.ts'
import { majorityIndex, majorityVote, VoteResult } from '../quorum/majority.ts'
import { Inflights } from './inflights.ts'
import { Progress } from './progress.ts'

/** Shared by all groups of a thread: nothing survives a call. */
const scratch: number[] = []

const NOBODY: readonly Progress[] = Object.freeze([])

export class Tracker {
  readonly #inflightMessagesMax: number
  readonly #inflightBytesMax: number
  /** Everyone. */
  all: readonly Progress[] = NOBODY
  #voters: readonly Progress[] = NOBODY
  #outgoing: readonly Progress[] = NOBODY

  constructor(inflightMessagesMax: number, inflightBytesMax: number) {
    this.#inflightMessagesMax = inflightMessagesMax
    this.#inflightBytesMax = inflightBytesMax
  }

  get(id: PeerId): Progress | undefined {
    const all = this.all
    for (let i = 0; i < all.length; i++) if (all[i]!.id === id) return all[i]
    return undefined
  }

  /** Takes over a membership: who stays keeps its progress, who is new starts at `next`. */
  reconcile(membership: Membership, next: LogIndex, newIsActive: boolean): void {
    const all: Progress[] = []
    for (const id of members(membership)) {
      const isLearner = !isVoter(membership, id)
      const known = this.get(id)
      if (known === undefined) all.push(this.#newProgress(id, next, isLearner, newIsActive))
      else {
        known.isLearner = isLearner
        all.push(known)
      }
    }
    // Sliced: arrays that grew have room for more, which thousands of groups would pay for.
    this.all = all.slice()
    this.#voters = only(this.all, membership.voters)
    this.#outgoing = only(this.all, membership.outgoing)
  }

  /** Highest index that is durable on a quorum. */
  committedIndex(): LogIndex {
    return jointIndex(matchOf(this.#voters), matchOf(this.#outgoing))
  }

  /** Latest heartbeat round that a quorum answered. */
  confirmedRound(): number {
    return jointIndex(roundOf(this.#voters), roundOf(this.#outgoing))
  }

  /** A quorum was heard from since the last check. */
  quorumActive(): boolean {
    return jointVote(activityOf(this.#voters), activityOf(this.#outgoing)) === VoteResult.Won
  }

  #newProgress(id: PeerId, next: LogIndex, isLearner: boolean, active: boolean): Progress {
    const window = new Inflights(this.#inflightMessagesMax, this.#inflightBytesMax)
    return new Progress(id, next, isLearner, active, window)
  }
}

/** The progress of these members; mostly they are all, or none. */
function only(all: readonly Progress[], ids: readonly PeerId[]): readonly Progress[] {
  if (ids.length === 0) return NOBODY
  return ids.length === all.length ? all : all.filter(({ id }) => ids.includes(id)).slice()
}

function matchOf(voters: readonly Progress[]): LogIndex {
  for (let i = 0; i < voters.length; i++) scratch[i] = voters[i]!.match
  return majorityIndex(scratch, voters.length)
}

function roundOf(voters: readonly Progress[]): number {
  for (let i = 0; i < voters.length; i++) scratch[i] = voters[i]!.ackedRound
  return majorityIndex(scratch, voters.length)
}

function activityOf(voters: readonly Progress[]): VoteResult {
  let active = 0
  for (let i = 0; i < voters.length; i++) if (voters[i]!.recentActive) active++
  return majorityVote(voters.length, active, voters.length - active)
}
