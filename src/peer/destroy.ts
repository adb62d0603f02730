/**
 * The end of a replica: it applied its own removal, or was told by somebody who knows better.
 *
 *   draining   requests are answered; what apply, links and the snapshot worker still do for it ends
 *   clearing   the tombstone is written, durably; then the data goes
 *   gone       the raft log goes, and the store forgets the peer
 *
 * INVARIANTS
 * - Nothing of it is removed before the tombstone is durable; and apply writes nothing behind that.
 * - The peer stays in the router to the end: nobody of its region is created meanwhile.
 * - Raft is not touched any more.
 */
import { RawRequest, regionErrorResponse } from '../protocol/raw.ts'
import { peerById } from '../region/region.ts'
import { RegionStateKind } from '../region/state.ts'
import { type PeerSignal, PeerTag } from './messages.ts'
import { sendMessages } from './on-ready.ts'
import type { Peer } from './peer.ts'
import { regionNotFound, UNDETERMINED } from './region-errors.ts'
import type { Install, InstallPhase } from './snapshot-install.ts'

export interface Destroying {
  kind: 'draining' | 'clearing'
  /** Apply does nothing any more: it stopped by itself, or was never asked. */
  applyStopped: boolean
  installSettled: boolean
}

export function becomeDestroying(peer: Peer, reason: string): void {
  if (peer.destroying !== undefined) return
  const { install, ports, self } = peer
  const removesItself = appliedRemoval(peer)
  // A leader's last word: without it the others may not know that they need it no longer. If it gets
  // lost, the tombstone answers those who ask (store/replicas.ts).
  if (removesItself && peer.raft.hasReady()) sendMessages(peer, peer.raft.ready().messages)
  peer.destroying = {
    kind: 'draining',
    applyStopped: removesItself || install !== undefined || !peer.isInitialised,
    installSettled: isSettled(install),
  }
  answerAll(peer)
  if (peer.source.abandon()) ports.apply.cancelSnapshot(peer.id)
  if (peer.heldSnapshot !== undefined) {
    ports.snapshots.discard(peer.heldSnapshot.message.snapshot!.data)
    peer.heldSnapshot = undefined
  }
  if (install !== undefined && !peer.destroying.installSettled) ports.snapshots.cancel(peer.id)
  ports.logger.info({ region: peer.id, peer: self.id, reason }, 'destroying a replica')
  maybeClear(peer)
}

/** False if it heard from others. */
function appliedRemoval({ isInitialised, region, self }: Peer): boolean {
  return isInitialised && peerById(region, self.id) === undefined
}

function isSettled(install: Install | undefined): boolean {
  if (install === undefined || install.kind === 'failed') return true
  return install.kind === 'ingesting' && install.ingested
}

/** What was proposed may still take effect elsewhere; everything else certainly did not. */
function answerAll(peer: Peer): void {
  const undetermined = regionErrorResponse(UNDETERMINED)
  for (const { requests } of peer.proposals.takeAll()) {
    for (const request of requests) peer.answer(request, undetermined)
  }
  const waiting = peer.writes.length > 0 ? peer.writes.takeRequests() : []
  waiting.push(...peer.takeRoundReads(), ...peer.reads.takeAll())
  for (const request of waiting) peer.refuse(request, regionNotFound(peer.id))
}

/** All that a dying peer still listens to. */
export function onSignalWhileDestroying(peer: Peer, signal: PeerSignal): void {
  const { snapshots, log, replicas, metrics, logger } = peer.ports
  switch (signal.tag) {
    case PeerTag.Applied:
      peer.appliedIndex = Math.max(peer.appliedIndex, signal.result.appliedIndex)
      // Its removal was on its way through apply when it heard of it from others.
      if (signal.result.removed === true) peer.destroying!.applyStopped = true
      break
    case PeerTag.SnapshotBuilt:
      peer.source.onBuilt(signal.id, undefined, 0)
      if (signal.result !== undefined) snapshots.discardBuilt(signal.result.data)
      break
    case PeerTag.SnapshotSent:
      peer.source.onSent(signal.ok)
      break
    case PeerTag.SnapshotArrived:
      snapshots.accepted(peer.id)
      snapshots.discard(signal.envelope.message.snapshot!.data)
      break
    case PeerTag.SnapshotInstall:
      onInstallPhase(peer, signal.phase)
      break
    case PeerTag.Cleared:
      log.remove(peer.id)
      replicas.forget(peer.id)
      metrics.peersDestroyed++
      logger.info({ region: peer.id, peer: peer.self.id }, 'destroyed a replica')
      drainMailbox(peer)
      return
    default:
      return
  }
  maybeClear(peer)
}

/** Nobody else takes what is left there. */
function drainMailbox(peer: Peer): void {
  for (let m = peer.mailbox.take(); m !== undefined; m = peer.mailbox.take()) {
    if (m instanceof RawRequest) peer.refuse(m, regionNotFound(peer.id))
    else onSignalWhileDestroying(peer, m)
  }
}

/** Recording goes over into ingesting by itself. */
function onInstallPhase(peer: Peer, phase: InstallPhase): void {
  if (phase === 'recorded') return
  peer.destroying!.installSettled = true
}

function maybeClear(peer: Peer): void {
  const destroying = peer.destroying!
  const { install, ports, self, region } = peer
  if (destroying.kind !== 'draining' || peer.source.isSending) return
  if (!destroying.applyStopped && peer.appliedIndex < peer.handedOverIndex) return
  if (!destroying.installSettled) return
  destroying.kind = 'clearing'
  if (install === undefined && peer.isInitialised) ports.apply.destroy(peer.id)
  if (install !== undefined && install.data.length > 0) ports.snapshots.discard(install.data)
  // What this round found safe to read: another thread clears the data, perhaps before the round ends.
  ports.reads.flush()
  // Where apply has left a tombstone, that one counts (snap/bury.ts): it names the entry of the removal.
  ports.replicas.clear({ kind: RegionStateKind.Tombstone, region, peerId: self.id, cleared: false })
}
