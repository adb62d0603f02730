/**
 * Carries out a ready, in the order that correctness and latency ask for:
 *
 *   role change → messages that need no fsync (a leader's) → reads → committed entries to apply →
 *   write task (or, with nothing to write, attach to the one under way)
 */
import type { ReadyNumber } from '../base/ids.ts'
import { regionErrorResponse } from '../protocol/raw.ts'
import type { Ready } from '../raft/ready.ts'
import {
  type Entry,
  EntryType,
  type Message,
  MessageType,
  type SoftState,
  StateRole,
} from '../raft/types.ts'
import { noteChangePeer } from './admin/change-peer.ts'
import { failReads, onReadStates } from './on-read.ts'
import { abandonSnapshots, sendSnapshot } from './on-snapshot.ts'
import type { Peer } from './peer.ts'
import type { Proposal } from './proposal-queue.ts'
import { STALE_COMMAND } from './region-errors.ts'
import { reportRegion } from './report.ts'
import { beginInstall, onInstallPersisted } from './snapshot-install.ts'

export function handleReadies(peer: Peer): void {
  // A ready without I/O can complete at once and make another.
  while (peer.install?.kind !== 'recording' && peer.raft.hasReady()) {
    handleReady(peer, peer.raft.ready())
  }
}

function handleReady(peer: Peer, ready: Ready): void {
  peer.ports.metrics.readies++
  if (ready.softState !== undefined) onRoleChange(peer, ready.softState)
  sendMessages(peer, ready.messages)
  if (ready.readStates.length > 0) onReadStates(peer, ready.readStates)
  if (ready.snapshot !== undefined) {
    beginInstall(peer, ready)
    return
  }
  if (ready.committedEntries.length > 0) handOverCommitted(peer, ready.committedEntries)
  persist(peer, ready)
}

function onRoleChange(peer: Peer, state: SoftState): void {
  peer.lease.reset()
  peer.strandedTicks = 0
  peer.roster.forgetHeard()
  if (state.role === StateRole.Leader) {
    // What an earlier leadership proposed may never have been committed.
    peer.logGc.proposedIndex = 0
    peer.ports.metrics.leaderChanges++
    peer.ports.logger.info(
      { region: peer.id, peer: peer.self.id, term: peer.raft.term },
      'became leader',
    )
    reportRegion(peer)
  } else {
    peer.servesReplicas = false
    failReads(peer)
    abandonSnapshots(peer)
    for (const request of peer.writes.length > 0 ? peer.writes.takeRequests() : []) {
      peer.refuse(request, {
        code: 'NotLeader',
        message: `leadership of region ${peer.id} was lost before the write was proposed`,
        regionId: peer.id,
        leader: peer.leader,
      })
    }
  }
}

export function sendMessages(peer: Peer, messages: readonly Message[]): void {
  const { transport, metrics } = peer.ports
  for (const message of messages) {
    const to = peer.addressOf(message.to)
    if (to === undefined) continue
    // From here on the target may campaign at any moment, without waiting for time-outs.
    if (message.type === MessageType.TimeoutNow) peer.lease.suspect()
    const envelope = peer.envelopeTo(to, message)
    if (message.type === MessageType.Snapshot) {
      sendSnapshot(peer, envelope)
      continue
    }
    const sent = transport.send(envelope)
    if (sent) {
      metrics.raftMessagesSent++
    } else {
      metrics.raftMessagesDropped++
      peer.raft.reportUnreachable(message.to)
    }
  }
}

function handOverCommitted(peer: Peer, entries: readonly Entry[]): void {
  const { apply, metrics } = peer.ports
  const stale: Proposal[] = []
  let renewedMs = Number.NEGATIVE_INFINITY
  for (const entry of entries) {
    if (entry.type !== EntryType.Normal) noteChangePeer(peer, entry)
    const proposal = peer.proposals.onCommitted(entry, stale)
    if (proposal !== undefined && proposal.term === peer.raft.term) renewedMs = proposal.proposedMs
  }
  // A quorum answered an append that was sent after the proposal was made.
  if (peer.isLeader) peer.lease.renew(renewedMs)
  for (const proposal of stale) {
    metrics.stale += proposal.requests.length
    for (const request of proposal.requests)
      peer.answer(request, regionErrorResponse(STALE_COMMAND))
  }
  metrics.committedEntries += entries.length
  peer.handedOverIndex = entries.at(-1)!.index
  const task = { regionId: peer.id, entries }
  if (peer.isLeader || peer.reads.hasConfirmed) apply.apply(task)
  else apply.applyLater(task)
}

/**
 * A commit index alone is not worth an fsync: a restart learns it anew, and takes at least what was
 * applied. It goes to disk with the next write.
 */
function persist(peer: Peer, ready: Ready): void {
  const { number, entries, persistedMessages } = ready
  const hardState = ready.hardState ?? peer.unwrittenHardState
  if (!ready.mustSync) {
    peer.unwrittenHardState = hardState
    peer.raft.advanceAppendAsync(ready)
    if (peer.persist.attachEmpty(number, persistedMessages)) return
    sendMessages(peer, persistedMessages)
    peer.raft.onPersistReady(number)
    return
  }
  peer.unwrittenHardState = undefined
  for (let i = 0; i < entries.length; i++) peer.logGc.bytes += entries[i]!.data.length
  peer.persist.pushWrite(number, persistedMessages)
  peer.ports.log.write({ regionId: peer.id, readyNumber: number, entries, hardState })
  peer.raft.advanceAppendAsync(ready)
}

/** The log engine has fsynced everything of this region up to `number`. */
export function onPersisted(peer: Peer, number: ReadyNumber): void {
  const complete = peer.persist.onPersisted(number, (messages) => sendMessages(peer, messages))
  if (complete > 0) peer.raft.onPersistReady(complete)
  if (peer.install !== undefined) onInstallPersisted(peer, number)
}
