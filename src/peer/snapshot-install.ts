/**
 * A follower that gets a snapshot: what happens between its arrival and the first entry behind it.
 *
 *   arrived   held until apply and fsyncs of this region are done; then raft takes or refuses it
 *   recording the engine notes, durably, that the region is being replaced; no readies meanwhile
 *   ingesting the raft log begins anew behind the snapshot, data is replaced; the peer votes and
 *             stores entries, but applies none and answers no read
 *   complete  data and log are both there: the engine notes that the region is whole
 *   failed    the files were damaged: the leader is asked for another snapshot
 *
 * INVARIANTS
 * - Apply has nothing of the region from before recording until it is registered anew.
 * - The order on disk is: region state Applying → raft log, data → region state Normal. A start in
 *   between finds Applying, makes the log agree, and ingests again.
 */
import { assert } from '../base/assert.ts'
import type { ReadyNumber } from '../base/ids.ts'
import { regionErrorResponse } from '../protocol/raw.ts'
import type { Ready } from '../raft/ready.ts'
import { type HardState, StateRole } from '../raft/types.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import { runConfirmedReads } from './on-read.ts'
import { handleReadies } from './on-ready.ts'
import type { Peer } from './peer.ts'
import { UNDETERMINED } from './region-errors.ts'
import { transferAway } from './transfer-away.ts'

export type InstallPhase = 'recorded' | 'ingested' | 'installed' | 'failed'

export interface Install {
  kind: 'recording' | 'ingesting' | 'completing' | 'failed'
  readonly index: number
  readonly term: number
  readonly data: Uint8Array
  readonly readyNumber: ReadyNumber
  readonly hardState: HardState
  /** The new raft log is on disk. */
  logDurable: boolean
  ingested: boolean
}

/** A snapshot message whose files are all here. */
export function onSnapshotArrived(peer: Peer, envelope: RaftEnvelope): void {
  const { snapshots } = peer.ports
  snapshots.accepted(peer.id)
  if (envelope.to.id === peer.self.id && peer.takesSnapshot) {
    // Raft looks at its term; who leads may not be known here yet.
    peer.strangers.set(envelope.from.id, envelope.from)
    peer.heldSnapshot = envelope
  } else {
    snapshots.discard(envelope.message.snapshot!.data)
  }
}

/** At the end of a round: gives raft the snapshot that waits, if nothing of before is under way. */
export function maybeStepSnapshot(peer: Peer): void {
  const envelope = peer.heldSnapshot
  if (envelope === undefined) return
  if (peer.appliedIndex < peer.handedOverIndex || peer.persist.length > 0) return
  peer.heldSnapshot = undefined
  const { data } = envelope.message.snapshot!
  if (peer.ports.replicas.isOccupied(peer.ports.snapshots.regionOf(data))) {
    // The leader tries again, until whoever is there has learnt of its end.
    peer.ports.snapshots.discard(data)
    return
  }
  const before = peer.install
  peer.raft.step(envelope.message)
  // At once, so that the ready holds the snapshot and no entries behind it.
  handleReadies(peer)
  if (peer.install === before) peer.ports.snapshots.discard(data)
}

/** Raft took the snapshot: its state is the snapshot's from here on. */
export function beginInstall(peer: Peer, ready: Ready): void {
  const { number, snapshot, entries, committedEntries, persistedMessages } = ready
  assert(snapshot !== undefined && entries.length === 0, 'a snapshot comes alone')
  assert(committedEntries.length === 0, 'nothing is applied while a snapshot waits')
  const { index, term } = snapshot.metadata
  const { ports, raft } = peer
  const hardState = { term: raft.term, vote: raft.vote, commit: index }
  // Whether they are part of the snapshot is not known.
  for (const { requests } of peer.proposals.takeAll()) {
    for (const request of requests) peer.answer(request, regionErrorResponse(UNDETERMINED))
  }
  if (!peer.isInitialised) ports.metrics.peersInitialised++
  else if (peer.install === undefined) ports.apply.destroy(peer.id)
  peer.storage.becomeSnapshot(index, term, hardState)
  peer.persist.pushWrite(number, persistedMessages)
  peer.unwrittenHardState = undefined
  peer.changes.length = 0
  peer.setRegion(ports.snapshots.regionOf(snapshot.data))
  peer.install = {
    kind: 'recording',
    index,
    term,
    data: snapshot.data,
    readyNumber: number,
    hardState,
    logDurable: false,
    ingested: false,
  }
  raft.advanceAppendAsync(ready)
  const state = { term: raft.term, vote: raft.vote, index, indexTerm: term }
  ports.snapshots.install(peer.id, snapshot.data, state)
  ports.logger.info({ region: peer.id, index, term }, 'installing a snapshot')
}

export function onInstallPhase(peer: Peer, phase: InstallPhase): void {
  const { install } = peer
  assert(install !== undefined, `region ${peer.id} installs a snapshot that is ${phase}`)
  switch (phase) {
    case 'recorded': {
      const { readyNumber, hardState } = install
      install.kind = 'ingesting'
      peer.ports.log.write({ regionId: peer.id, readyNumber, entries: [], hardState })
      break
    }
    case 'ingested':
      install.ingested = true
      maybeComplete(peer, install)
      break
    case 'installed':
      onInstalled(peer, install)
      break
    case 'failed':
      install.kind = 'failed'
      // Another set has another name.
      peer.ports.snapshots.discard(install.data)
      break
  }
}

export function onInstallPersisted(peer: Peer, number: ReadyNumber): void {
  const { install } = peer
  if (install === undefined || number < install.readyNumber) return
  install.logDurable = true
  maybeComplete(peer, install)
}

function maybeComplete(peer: Peer, install: Install): void {
  if (install.kind !== 'ingesting' || !install.ingested || !install.logDurable) return
  install.kind = 'completing'
  peer.ports.snapshots.complete(peer.id, install.data)
}

function onInstalled(peer: Peer, { index, term }: Install): void {
  peer.install = undefined
  peer.appliedIndex = index
  peer.appliedTerm = term
  peer.handedOverIndex = index
  peer.snapshotIndex = index
  peer.logGc.bytes = 0
  peer.ports.apply.register(peer.region, {
    appliedIndex: index,
    appliedTerm: term,
    truncatedIndex: index,
    truncatedTerm: term,
  })
  peer.storage.becomeApplied()
  const { raftElectionTimeoutTicks } = peer.ports.config
  peer.raft.setElectionTimeout(raftElectionTimeoutTicks * 2)
  peer.raft.advanceApplyTo(index)
  peer.raft.onEntriesFetched(0)
  if (peer.reads.hasConfirmed) runConfirmedReads(peer)
  peer.ports.logger.info({ region: peer.id, index }, 'installed a snapshot')
}

/**
 * Once a tick, before raft's: a replica without its data does not campaign, since as a leader it
 * could serve nobody. Where the files were damaged it asks for others; and if it came to lead all
 * the same, it lets somebody else.
 */
export function tickInstall(peer: Peer, nowMs: number): void {
  const { raft, install } = peer
  raft.setElectionTimeout(Number.MAX_SAFE_INTEGER)
  if (install?.kind !== 'failed') return
  if (peer.isLeader) transferAway(peer, nowMs)
  else if (raft.role === StateRole.Follower) raft.requestSnapshot()
}
