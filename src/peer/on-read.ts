/**
 * Reads: inside the lease a leader answers by itself, otherwise a quorum confirms it first.
 *
 * The clock is read once at the end of the round, after every request of the round has arrived, so
 * the moment at which the lease was valid lies between each request and its answer.
 */
import type { RawRequest } from '../protocol/raw.ts'
import type { ReadState } from '../raft/types.ts'
import type { Peer } from './peer.ts'
import { electionTimeoutMs } from './ports.ts'
import { notLeader } from './region-errors.ts'

// @hot bench: store
export function decideReads(peer: Peer, nowMs: number): void {
  if (peer.roundReads !== undefined) {
    const requests = peer.takeRoundReads()
    if (!canReadLocally(peer, nowMs)) for (const request of requests) peer.reads.add(request)
    else if (mayLagBehindReplicas(peer)) peer.reads.addConfirmed(peer.raft.commitIndex, requests)
    else runReads(peer, requests)
  }
  if (peer.reads.hasOpen) issueReadIndex(peer, nowMs)
}

/** Applied in its own term: everything that earlier leaders acknowledged is in the engine. */
function canReadLocally(peer: Peer, nowMs: number): boolean {
  if (peer.install !== undefined) return false
  if (!peer.isLeader || peer.appliedTerm !== peer.raft.term || !peer.lease.validAt(nowMs)) {
    return false
  }
  return true
}

/**
 * What clients know through this leader, it has applied. But a follower may be ahead of it, and show
 * what is committed to a client that then asks here: so once followers read, what is committed is
 * waited for.
 */
function mayLagBehindReplicas(peer: Peer): boolean {
  return peer.servesReplicas && peer.appliedIndex < peer.raft.commitIndex
}

function runReads(peer: Peer, requests: readonly RawRequest[]): void {
  peer.ports.metrics.leaseReads += requests.length
  for (const request of requests) run(peer, request)
}

function run(peer: Peer, request: RawRequest): void {
  peer.ports.reads.read(request, peer.region)
}

function issueReadIndex(peer: Peer, nowMs: number): void {
  if (peer.raft.leaderId === 0) {
    failReads(peer)
    return
  }
  peer.ports.metrics.readIndexRounds++
  peer.raft.readIndex(peer.reads.issue(nowMs))
}

export function onReadStates(peer: Peer, states: readonly ReadState[]): void {
  for (const { context, index } of states) {
    const issuedMs = peer.reads.onReadState(context, index)
    // A quorum answered what was sent at or after that time.
    if (issuedMs !== undefined && peer.isLeader) peer.lease.renew(issuedMs)
  }
  runConfirmedReads(peer)
  if (peer.reads.hasConfirmed) peer.ports.apply.hurry(peer.id)
}

export function runConfirmedReads(peer: Peer): void {
  // The data is being replaced: what applied says does not hold.
  if (peer.install !== undefined) return
  for (;;) {
    const requests = peer.reads.takeReadable(peer.appliedIndex)
    if (requests === undefined) return
    peer.ports.metrics.indexReads += requests.length
    for (const request of requests) run(peer, request)
  }
}

/** Messages get lost: asks again, with a new context, for what a whole election time-out has not answered. */
export function retryReads(peer: Peer, nowMs: number): void {
  const before = nowMs - electionTimeoutMs(peer.ports.config)
  const context = peer.reads.reissueOlderThan(before, nowMs)
  if (context.length > 0) peer.raft.readIndex(context)
}

/** Who leads is open: the client finds out elsewhere. */
export function failReads(peer: Peer): void {
  const refusal = notLeader(peer.id, peer.isLeader ? undefined : peer.leader)
  for (const request of peer.reads.takeAll()) peer.refuse(request, refusal)
}
