/** Results of apply: reads that waited may run, and writes are answered. */
import type { ApplyResult } from '../apply/port.ts'
import { assert } from '../base/assert.ts'
import { OK_RESPONSE, regionErrorResponse } from '../protocol/raw.ts'
import { onChangePeerResult } from './admin/change-peer.ts'
import { evictableIndex, onCompactLogResult } from './admin/compact-log.ts'
import { becomeDestroying } from './destroy.ts'
import { runConfirmedReads } from './on-read.ts'
import type { Peer } from './peer.ts'
import type { Proposal } from './proposal-queue.ts'
import { epochNotMatch } from './region-errors.ts'

// @hot bench: store
export function onApplied(peer: Peer, result: ApplyResult): void {
  const { appliedIndex } = result
  // From before a snapshot replaced the region, of a worker that was late to hear of it.
  if (peer.install !== undefined || appliedIndex < peer.snapshotIndex) return
  assert(
    appliedIndex >= peer.appliedIndex && appliedIndex <= peer.raft.commitIndex,
    () =>
      `region ${peer.id}: applied went from ${peer.appliedIndex} to ${appliedIndex}, committed is ${peer.raft.commitIndex}`,
  )
  peer.ports.metrics.appliedEntries += appliedIndex - peer.appliedIndex
  peer.appliedIndex = appliedIndex
  peer.appliedTerm = result.appliedTerm
  if (peer.isLeader) {
    peer.traffic.keysWritten += result.writtenKeys
    peer.traffic.bytesWritten += result.writtenBytes
  }
  if (peer.changes.length > 0) {
    onChangePeerResult(peer, appliedIndex, (index) => isRejected(result, index))
  }
  peer.raft.advanceApplyTo(appliedIndex)
  for (let p = peer.proposals.takeApplied(appliedIndex); p !== undefined; ) {
    answerProposal(peer, p, result)
    p = peer.proposals.takeApplied(appliedIndex)
  }
  if (!peer.roster.has(peer.self.id)) {
    becomeDestroying(peer, 'it applied its own removal')
    return
  }
  if (peer.reads.hasConfirmed) runConfirmedReads(peer)
  if (peer.campaignsOnceApplied) maybeCampaign(peer)
  if (result.truncatedIndex !== undefined) onCompactLogResult(peer, result.truncatedIndex)
  peer.ports.log.evict(peer.id, evictableIndex(peer))
}

function answerProposal(peer: Peer, proposal: Proposal, result: ApplyResult): void {
  const rejected = isRejected(result, proposal.index)
  const response = rejected ? regionErrorResponse(epochNotMatch(peer.region)) : OK_RESPONSE
  for (const request of proposal.requests) peer.answer(request, response)
}

function maybeCampaign(peer: Peer): void {
  if (peer.appliedIndex < peer.raft.commitIndex) return
  peer.campaignsOnceApplied = false
  if (!peer.isLeader) peer.raft.campaign()
}

function isRejected({ rejections }: ApplyResult, index: number): boolean {
  return rejections.some((rejection) => rejection.index === index)
}
