/**
 * A region at rest costs nothing: no ticks, no heartbeats. Its replicas agree to sleep, and whatever
 * happens to one of them wakes it.
 *
 *   leader      quiet for an election time-out ── ask(n) ──▶ every other replica
 *   replica     has all that the leader has, nothing under way ── agrees(n) ──▶ leader, and sleeps
 *   leader      all of them agreed within this tick, and nothing was to say since: sleeps
 *
 *   awake again: a raft message, something to propose or to ask others, an order; for the leader
 *                silence of a store that has a replica, for the others of the leader's store
 *
 * Sleep is about time alone: raft's state does not change by it, and a promise that is counted in
 * ticks only lasts longer. A leader's lease ends by the clock; its first read after that asks a quorum,
 * which wakes the others.
 *
 * INVARIANTS
 * - Only awake replicas are ticked. `ports.awake` holds them, and the dying ones.
 * - An ask is good for one tick of its leader, or until it has something else to say: that wakes those
 *   who agreed.
 * - Who sleeps will hear of the end of the leader's store: what links carry without regions tells.
 * - No follower is awake for long without its leader: it would miss it, campaign, and win.
 */
import type { PeerId, StoreId } from '../base/ids.ts'
import { newMessage } from '../raft/message.ts'
import { ProgressState } from '../raft/tracker/progress.ts'
import { type Message, MessageType, StateRole } from '../raft/types.ts'
import { type Peer as PeerMeta, PeerRole, peerOnStore } from '../region/region.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import { silentMs } from './health.ts'
import { type PeerSignal, PeerTag } from './messages.ts'
import { handleReadies } from './on-ready.ts'
import type { Peer } from './peer.ts'
import { electionTimeoutMs } from './ports.ts'
import { noteAllHeard } from './report.ts'

/** What a replica knows of its region's rest. */
export class Hibernation {
  asleep = false
  /** Of a leader: ticks in a row for which nothing was to do. */
  quietTicks = 0
  /** Number of the last ask, so that a late answer to an earlier one is not taken for its own. */
  ask = 0
  /** Who agreed to the ask of this tick; undefined when there is none, or it was taken back. */
  agreed: PeerId[] | undefined = undefined

  /** Something to say, or to ask others, would be news. */
  get isStill(): boolean {
    return this.asleep || this.agreed !== undefined
  }
}

/** Once a tick of an awake replica, behind raft's own. */
export function tickHibernation(peer: Peer, nowMs: number): void {
  const { hibernation } = peer
  const { hibernateRegions, raftElectionTimeoutTicks } = peer.ports.config
  hibernation.agreed = undefined
  if (!peer.isLeader || !hibernateRegions) return
  hibernation.quietTicks = couldAsk(peer, nowMs) ? hibernation.quietTicks + 1 : 0
  if (hibernation.quietTicks < raftElectionTimeoutTicks) return
  hibernation.quietTicks = 0
  hibernation.ask++
  hibernation.agreed = []
  for (const other of others(peer)) say(peer, other, MessageType.Heartbeat, hibernation.ask)
  maybeSleep(peer)
}

function couldAsk(peer: Peer, nowMs: number): boolean {
  if (peer.proposals.length > 0 || peer.writes.length > 0) return false
  // Heartbeats of this tick leave before the ask: behind it they would wake whoever agrees.
  handleReadies(peer)
  return isQuiet(peer) && haveAll(peer) && allAnswer(peer, nowMs)
}

/** A message about sleep, not for raft. */
export function onHibernateMessage(peer: Peer, envelope: RaftEnvelope, ask: number): void {
  if (envelope.message.type === MessageType.Heartbeat) onAsked(peer, envelope, ask)
  else onAgreed(peer, envelope.from, ask)
}

function onAsked(peer: Peer, { from, message }: RaftEnvelope, ask: number): void {
  const { raft } = peer
  // Answers to heartbeats leave before the agreement: behind it they would wake the leader.
  if (!peer.hibernation.asleep) handleReadies(peer)
  const follows =
    raft.role === StateRole.Follower && raft.term === message.term && raft.leaderId === from.id
  if (!follows || raft.lastIndex !== message.index || !isQuiet(peer)) return
  say(peer, from, MessageType.HeartbeatResponse, ask)
  sleep(peer)
}

function onAgreed(peer: Peer, from: PeerMeta, ask: number): void {
  const { hibernation } = peer
  const { agreed } = hibernation
  if (agreed === undefined || ask !== hibernation.ask || agreed.includes(from.id)) return
  agreed.push(from.id)
  maybeSleep(peer)
}

function maybeSleep(peer: Peer): void {
  const { agreed } = peer.hibernation
  if (agreed === undefined || !peer.isLeader || !isQuiet(peer) || !haveAll(peer)) return
  if (others(peer).every(({ id }) => agreed.includes(id))) sleep(peer)
}

function sleep(peer: Peer): void {
  const { hibernation, ports } = peer
  if (hibernation.asleep) return
  hibernation.asleep = true
  hibernation.agreed = undefined
  ports.awake.delete(peer.id)
  ports.metrics.hibernations++
}

/** Time goes on for this replica; how long it slept counts as time in which all was well. */
export function wake(peer: Peer): void {
  const { hibernation, ports } = peer
  if (!hibernation.asleep) return
  hibernation.asleep = false
  hibernation.quietTicks = 0
  ports.awake.add(peer.id)
  ports.metrics.wakeUps++
  noteAllHeard(peer, ports.clock.monotonicMs())
}

/**
 * Wakes whoever has to be awake for this. A store that fell silent may be back: a follower asks the
 * leader there for a sign of life, which wakes that one too, before it campaigns.
 */
export function wakeFor(peer: Peer, signal: PeerSignal): void {
  if (!peer.hibernation.asleep || !wakes(peer, signal)) return
  wake(peer)
  const missing = signal.tag === PeerTag.Silent || signal.tag === PeerTag.Unreachable
  if (!missing || peer.isLeader || peer.leader === undefined) return
  const message = messageTo(peer, peer.leader, MessageType.HeartbeatResponse)
  peer.ports.transport.send(peer.envelopeTo(peer.leader, message))
}

/** There is something to do: who sleeps wakes up, and who is about to stays awake. */
export function stir(peer: Peer): void {
  peer.hibernation.agreed = undefined
  wake(peer)
}

/** Whether a sleeping replica has to be awake for this. What makes a ready wakes it in any case. */
function wakes(peer: Peer, signal: PeerSignal): boolean {
  switch (signal.tag) {
    case PeerTag.Raft:
      return signal.envelope.hibernate === undefined
    case PeerTag.Unreachable:
    case PeerTag.Silent:
      return misses(peer, signal.storeId)
    // Only a leader does something with it.
    case PeerTag.TransferAway:
    case PeerTag.PdOrder:
      return peer.isLeader
    // All it has is applied, and with everybody, or it would not sleep: late, or of a truncated log.
    case PeerTag.Applied:
    case PeerTag.EntriesFetched:
    case PeerTag.HeartbeatPd:
    case PeerTag.RaftLogGc:
      return false
    default:
      return true
  }
}

function misses(peer: Peer, storeId: StoreId): boolean {
  if (peer.isLeader) return peerOnStore(peer.region, storeId) !== undefined
  return peer.leader === undefined || peer.leader.storeId === storeId
}

/** Everything that this replica knows of is done with. */
function isQuiet(peer: Peer): boolean {
  const { raft } = peer
  const last = raft.lastIndex
  return (
    raft.commitIndex === last &&
    raft.persistedIndex === last &&
    peer.appliedIndex === last &&
    !raft.hasReady() &&
    peer.persist.length === 0 &&
    peer.writes.length === 0 &&
    peer.proposals.length === 0 &&
    peer.roundReads === undefined &&
    peer.reads.length === 0 &&
    isUnchanging(peer)
  )
}

/** Neither membership nor data is being moved. */
function isUnchanging(peer: Peer): boolean {
  return (
    peer.isInitialised &&
    peer.destroying === undefined &&
    peer.install === undefined &&
    peer.heldSnapshot === undefined &&
    peer.source.kind === 'idle' &&
    peer.changes.length === 0 &&
    peer.farewells.length === 0 &&
    peer.pendingCount === 0 &&
    !peer.campaignsOnceApplied
  )
}

/** Every replica is known to hold the whole log of this leader. */
function haveAll(peer: Peer): boolean {
  const { raft } = peer
  if (raft.leadTransferee !== 0 || peer.appliedTerm !== raft.term) return false
  return peer.region.peers.every(({ id, role }) => {
    if (role !== PeerRole.Voter && role !== PeerRole.Learner) return false
    if (id === peer.self.id) return true
    const progress = raft.progressOf(id)
    return progress?.state === ProgressState.Replicate && progress.match === raft.lastIndex
  })
}

/** A replica that is away would not agree: no need to ask the others each time. */
function allAnswer(peer: Peer, nowMs: number): boolean {
  const silentMsMax = electionTimeoutMs(peer.ports.config)
  return others(peer).every((other) => silentMs(peer, other, nowMs) <= silentMsMax)
}

function others(peer: Peer): PeerMeta[] {
  return peer.region.peers.filter(({ id }) => id !== peer.self.id)
}

function say(peer: Peer, to: PeerMeta, type: MessageType, ask: number): void {
  const message = messageTo(peer, to, type)
  message.index = peer.raft.lastIndex
  peer.ports.transport.send({ ...peer.envelopeTo(to, message), hibernate: ask })
}

function messageTo(peer: Peer, to: PeerMeta, type: MessageType): Message {
  const message = newMessage(type, to.id)
  message.from = peer.self.id
  message.term = peer.raft.term
  return message
}
