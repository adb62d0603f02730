/**
 * The end of a store that can do nothing more: every request that it took and did not answer, from
 * wherever it waits. Proposed ones may have taken effect or not, so none of them gets another answer
 * than "undetermined".
 */
import type { Peer } from '../peer/peer.ts'
import { UNDETERMINED } from '../peer/region-errors.ts'
import { RawRequest, regionErrorResponse } from '../protocol/raw.ts'
import type { RoundReads } from './round-reads.ts'

/** Returns with every mailbox, queue and batch empty. `release` is told of each request. */
export function abandonRequests(
  peers: Iterable<Peer>,
  reads: RoundReads,
  release: (request: RawRequest) => void,
): void {
  const response = regionErrorResponse(UNDETERMINED)
  const answer = (request: RawRequest): void => {
    release(request)
    request.sink.respond(request, response)
  }
  for (const peer of peers) {
    for (const { requests } of peer.proposals.takeAll()) requests.forEach(answer)
    if (peer.writes.length > 0) peer.writes.takeRequests().forEach(answer)
    peer.reads.takeAll().forEach(answer)
    peer.takeRoundReads().forEach(answer)
    for (let m = peer.mailbox.take(); m !== undefined; m = peer.mailbox.take()) {
      if (m instanceof RawRequest) answer(m)
    }
  }
  // A round that ended half-way had cleared these and not run them.
  reads.takeWaiting().forEach(answer)
}
