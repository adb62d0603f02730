/**
 * The poller's handler for peers: messages first, then, at the end of the round, proposals, readies
 * and one hand-over to each thread and link.
 *
 * The order at the end is deliberate. Proposals make readies. Frames leave before the write task, so
 * that followers persist while this store does. Apply comes after the log: it is the larger message.
 */
import { assert, unreachable } from '../base/assert.ts'
import { RawRequest } from '../protocol/raw.ts'
import { proposeCompactLog } from './admin/compact-log.ts'
import { onSignalWhileDestroying } from './destroy.ts'
import { tickFarewells } from './farewell.ts'
import { stir, tickHibernation, wakeFor } from './hibernate.ts'
import { type PeerMessage, type PeerSignal, PeerTag } from './messages.ts'
import { onApplied } from './on-applied.ts'
import { onPdOrder } from './on-order.ts'
import { onRaftMessage, onRemovedSignal } from './on-raft-message.ts'
import { decideReads, retryReads } from './on-read.ts'
import { handleReadies, onPersisted } from './on-ready.ts'
import { maybeProposeWrites, onRequest } from './on-request.ts'
import { maybeOrderSnapshot, onSnapshotBuilt, onSnapshotSent } from './on-snapshot.ts'
import type { Peer } from './peer.ts'
import type { PeerPorts } from './ports.ts'
import { regionNotFound } from './region-errors.ts'
import { reportCaughtUp, reportRegion } from './report.ts'
import {
  maybeStepSnapshot,
  onInstallPhase,
  onSnapshotArrived,
  tickInstall,
} from './snapshot-install.ts'
import { tickStranded } from './stranded.ts'
import { transferAway } from './transfer-away.ts'

export class PeerHandler {
  readonly #ports: PeerPorts
  #nowMs = 0

  constructor(ports: PeerPorts) {
    this.#ports = ports
  }

  // @hot bench: store
  begin(): void {
    const { clock, standstill, logger } = this.#ports
    this.#nowMs = clock.monotonicMs()
    const gainedMs = standstill.look(this.#nowMs, clock.wallMs())
    if (gainedMs === 0) return
    logger.info({ gainedMs }, 'the machine was suspended, or its clock set: leases begin anew')
  }

  // @hot bench: store
  handleNormal(peer: Peer, messagesMax: number): void {
    for (let left = messagesMax; left > 0; left--) {
      const message = peer.mailbox.take()
      if (message === undefined) return
      this.#handle(peer, message)
    }
  }

  lightEnd(peers: readonly Peer[]): void {
    const nowMs = this.#ports.clock.monotonicMs()
    for (const peer of peers) {
      if (peer.destroying !== undefined) continue
      if (peer.isLeader) maybeProposeWrites(peer, nowMs)
      if (peer.roundReads !== undefined || peer.reads.hasOpen) decideReads(peer, nowMs)
      // Whatever it has to tell or to ask, time has to go on for the answer.
      if (peer.hibernation.isStill && peer.raft.hasReady()) stir(peer)
      handleReadies(peer)
      if (peer.heldSnapshot !== undefined) maybeStepSnapshot(peer)
      if (peer.source.kind === 'wanted') maybeOrderSnapshot(peer)
    }
  }

  end(): void {
    this.#ports.transport.flush()
    this.#ports.log.flush()
    this.#ports.apply.flush()
  }

  #handle(peer: Peer, message: PeerMessage): void {
    if (peer.destroying !== undefined) {
      if (message instanceof RawRequest) peer.refuse(message, regionNotFound(peer.id))
      else onSignalWhileDestroying(peer, message)
    } else if (message instanceof RawRequest) onRequest(peer, message, this.#nowMs)
    else this.#onSignal(peer, message)
  }

  #onSignal(peer: Peer, signal: PeerSignal): void {
    wakeFor(peer, signal)
    switch (signal.tag) {
      case PeerTag.Raft:
        return onRaftMessage(peer, signal.envelope, this.#nowMs)
      case PeerTag.Tick:
        if (peer.isLeader) peer.leaderHeardMs = this.#nowMs
        if (peer.install !== undefined) tickInstall(peer, this.#nowMs)
        peer.source.tick()
        if (!peer.isLeader) tickStranded(peer)
        peer.raft.tick()
        if (peer.pendingCount > 0) reportCaughtUp(peer)
        if (peer.farewells.length > 0) tickFarewells(peer)
        retryReads(peer, this.#nowMs)
        return tickHibernation(peer, this.#nowMs)
      case PeerTag.Persisted:
        return onPersisted(peer, signal.readyNumber)
      case PeerTag.Applied:
        return onApplied(peer, signal.result)
      case PeerTag.EntriesFetched:
        return peer.raft.onEntriesFetched(signal.to)
      case PeerTag.Unreachable: {
        peer.hibernation.agreed = undefined
        const other = peer.region.peers.find(({ storeId }) => storeId === signal.storeId)
        if (other !== undefined) peer.raft.reportUnreachable(other.id)
        return
      }
      case PeerTag.Silent:
        peer.hibernation.agreed = undefined
        return
      case PeerTag.TransferAway:
        return transferAway(peer, this.#nowMs)
      case PeerTag.Campaign:
        if (!peer.isLeader) peer.raft.campaign()
        return
      case PeerTag.HeartbeatPd:
        return reportRegion(peer)
      case PeerTag.RaftLogGc:
        return proposeCompactLog(peer, signal.forcedIndex)
      case PeerTag.SnapshotBuilt:
        return onSnapshotBuilt(peer, signal.id, signal.result, signal.error)
      case PeerTag.SnapshotSent:
        return onSnapshotSent(peer, signal.to, signal.ok)
      case PeerTag.SnapshotArrived:
        return onSnapshotArrived(peer, signal.envelope)
      case PeerTag.SnapshotInstall:
        return onInstallPhase(peer, signal.phase)
      case PeerTag.PdOrder:
        return onPdOrder(peer, signal.order, this.#nowMs)
      case PeerTag.Removed:
        return onRemovedSignal(peer, signal)
      case PeerTag.Cleared:
        assert(false, `region ${peer.id} is cleared only while its peer is destroyed`)
        return
      default:
        return unreachable(signal)
    }
  }
}
