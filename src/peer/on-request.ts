/**
 * A client's request arrives at a region: checked in a fixed order, then a write joins the entry of
 * this round and a read waits for the end of the round.
 */
import { compareBytes } from '../base/bytes.ts'
import {
  isWrite,
  OK_RESPONSE,
  RawKind,
  type RawRequest,
  type RegionError,
} from '../protocol/raw.ts'
import { type Region, regionContains } from '../region/region.ts'
import { diskRefusal } from './disk-full.ts'
import type { Peer } from './peer.ts'
import { writeBytes } from './pending-writes.ts'
import {
  DEADLINE_EXCEEDED,
  entryTooLarge,
  epochNotMatch,
  keyNotInRegion,
  mismatchPeerId,
  notLeader,
  regionNotFound,
  STALE_COMMAND,
} from './region-errors.ts'

// @hot bench: store
export function onRequest(peer: Peer, request: RawRequest, nowMs: number): void {
  const refusal = checkRequest(peer, request, nowMs)
  if (refusal !== undefined) {
    peer.refuse(request, refusal)
    return
  }
  if (!isWrite(request.kind)) {
    peer.addRead(request)
    return
  }
  const bytes = writeBytes(request)
  if (bytes === 0) {
    // A batch of nothing is done.
    peer.answer(request, OK_RESPONSE)
    return
  }
  if (peer.ports.disks.tight) {
    const short = diskRefusal(peer, request)
    if (short !== undefined) {
      peer.refuse(request, short)
      return
    }
  }
  if (peer.writes.isTooLarge(bytes)) {
    peer.refuse(request, entryTooLarge(peer.id, bytes, peer.ports.config.raftEntryMaxSize))
    return
  }
  if (peer.writes.isFullFor(bytes)) proposeWrites(peer, nowMs)
  peer.writes.add(request, peer.region.epoch.version)
}

/** The order of these checks is part of the protocol: clients react to the first that fails. */
function checkRequest(peer: Peer, request: RawRequest, nowMs: number): RegionError | undefined {
  if (request.deadlineMs <= nowMs) return DEADLINE_EXCEEDED
  if (request.peerId !== peer.self.id) return mismatchPeerId(request.peerId, peer.self.id)
  if (!peer.isInitialised) return regionNotFound(peer.id)
  if (!peer.isLeader && !(request.replicaRead && !isWrite(request.kind))) {
    return notLeader(peer.id, peer.leader)
  }
  // Clients may be one term behind without knowing; more means that another leader came between.
  if (request.term !== 0 && peer.raft.term > request.term + 1) return STALE_COMMAND
  const { epoch } = peer.region
  if (request.version !== epoch.version) return epochNotMatch(peer.region)
  return checkKeys(peer.region, request)
}

function checkKeys(region: Region, request: RawRequest): RegionError | undefined {
  if (request.kind === RawKind.Scan) return checkScan(region, request)
  if (
    request.kind === RawKind.Put ||
    request.kind === RawKind.Get ||
    request.kind === RawKind.Delete
  ) {
    return regionContains(region, request.key) ? undefined : keyNotInRegion(request.key, region)
  }
  for (const key of request.keys) {
    if (!regionContains(region, key)) return keyNotInRegion(key, region)
  }
  return undefined
}

/** A scan must start inside; where it ends is clipped to the region. */
function checkScan(region: Region, request: RawRequest): RegionError | undefined {
  if (!request.reverse) {
    return regionContains(region, request.key) ? undefined : keyNotInRegion(request.key, region)
  }
  // Reverse: the start is an exclusive upper bound, so the region's own end is inside.
  const { startKey, endKey } = region
  const open = request.key.length === 0
  const above = endKey.length > 0 && (open || compareBytes(request.key, endKey) > 0)
  const below = !open && compareBytes(request.key, startKey) <= 0
  return above || below ? keyNotInRegion(request.key, region) : undefined
}

/**
 * Proposes what was collected, unless earlier readies still wait for their fsync: then more writes
 * gather meanwhile and share the next entry. With nothing uncommitted there is no reason to wait.
 */
export function maybeProposeWrites(peer: Peer, nowMs: number): void {
  if (peer.writes.length === 0) return
  const held = peer.persist.length >= peer.ports.config.unpersistedReadiesMax
  if (held && peer.raft.commitIndex < peer.raft.lastIndex) return
  proposeWrites(peer, nowMs)
}

function proposeWrites(peer: Peer, nowMs: number): void {
  const { data, requests } = peer.writes.take()
  const outcome = peer.raft.propose(data)
  if (outcome !== 'ok') {
    const refusal = notLeader(peer.id, peer.isLeader ? undefined : peer.leader)
    for (const request of requests) peer.refuse(request, refusal)
    return
  }
  const { metrics } = peer.ports
  metrics.proposals++
  metrics.proposedCommands += requests.length
  metrics.proposedBytes += data.length
  peer.proposals.push({
    index: peer.raft.lastIndex,
    term: peer.raft.term,
    proposedMs: nowMs,
    requests,
  })
}
