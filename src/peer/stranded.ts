/**
 * Proposals of a leader that was deposed. The first entry that commits after them decides them (see
 * proposal-queue.ts); but a replica that hears of nobody learns of none, and its clients would wait
 * for their own deadlines. Then they are told what is certain: that the outcome is open.
 *
 * Nothing less will do for a refusal: a replica that still holds such an entry may yet lead and commit it.
 */
import { regionErrorResponse } from '../protocol/raw.ts'
import type { Peer } from './peer.ts'
import { OUTCOME_OPEN } from './region-errors.ts'

/** Election time-outs in which a next leader usually commits its first entry, and decides. */
const ELECTIONS_MAX = 3

/** Once a tick of a replica that does not lead. */
export function tickStranded(peer: Peer): void {
  if (peer.proposals.undecided === 0) return
  const { config, metrics } = peer.ports
  if (++peer.strandedTicks < ELECTIONS_MAX * config.raftElectionTimeoutTicks) return
  peer.strandedTicks = 0
  for (const { requests } of peer.proposals.takeUndecided()) {
    metrics.stranded += requests.length
    for (const request of requests) peer.answer(request, regionErrorResponse(OUTCOME_OPEN))
  }
}
