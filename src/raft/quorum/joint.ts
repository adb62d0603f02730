/** A joint quorum holds when both its majorities do. */
import { VoteResult } from './majority.ts'

export function jointIndex(incoming: number, outgoing: number): number {
  return Math.min(incoming, outgoing)
}

export function jointVote(incoming: VoteResult, outgoing: VoteResult): VoteResult {
  if (incoming === VoteResult.Lost || outgoing === VoteResult.Lost) return VoteResult.Lost
  if (incoming === VoteResult.Won && outgoing === VoteResult.Won) return VoteResult.Won
  return VoteResult.Pending
}
