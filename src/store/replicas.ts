/**
 * The replicas of a store: how they start, come to be by a message of their leader, and end.
 *
 *   message for a region unknown here ─▶ may it be? ─▶ peer without data ─ snapshot ─▶ initialised
 *   destroyed ─▶ tombstone, data (snapshot worker) ─▶ raft log (peer) ─▶ forgotten
 *
 * INVARIANTS
 * - A peer whose id is not above that of the region's tombstone here is never created.
 * - A region is in `ranges` from the moment it has a range until all of it is gone.
 */
import { assert } from '../base/assert.ts'
import { errorMessage } from '../base/errors.ts'
import { NO_ID, type RegionId, type StoreId } from '../base/ids.ts'
import { ColumnFamily, type KvReader } from '../engine/port.ts'
import { CAMPAIGN, CLEARED, type PeerMessage, PeerTag } from '../peer/messages.ts'
import { Peer } from '../peer/peer.ts'
import type { PeerPorts, ReplicaService } from '../peer/ports.ts'
import { rejectVoteOfGone } from '../raft/election.ts'
import { isVoteRequest, newMessage } from '../raft/message.ts'
import { MessageType } from '../raft/types.ts'
import { regionStateKey } from '../region/keys.ts'
import { type Peer as PeerMeta, peerById, peerOnStore, type Region } from '../region/region.ts'
import {
  type ApplyState,
  decodeRegionState,
  RegionStateKind,
  type Tombstone,
} from '../region/state.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import { RegionRanges } from './region-ranges.ts'
import type { StoreRouter } from './store-handler.ts'
import type { InterruptedInstall } from './store-regions.ts'

export interface ReplicasOptions {
  readonly router: StoreRouter
  readonly engine: Pick<KvReader, 'get'>
  readonly mailboxCapacity: number
  readonly applyStateOf: (regionId: RegionId) => ApplyState
  /** Buries off this thread. */
  readonly bury: (tombstone: Tombstone) => Promise<void>
  readonly fail: (error: Error) => void
}

/** Replicas that wait for their first data. More than come in a moment are created in the next. */
const UNINITIALISED_MAX = 1024

const NO_APPLY_STATE: ApplyState = {
  appliedIndex: 0,
  appliedTerm: 0,
  truncatedIndex: 0,
  truncatedTerm: 0,
}

export class Replicas implements ReplicaService {
  readonly #options: ReplicasOptions
  readonly #ranges = new RegionRanges()
  #ports: PeerPorts | undefined = undefined

  constructor(options: ReplicasOptions) {
    this.#options = options
  }

  /** Once, before any other call: peers need this service among their ports. */
  attach(ports: PeerPorts): void {
    this.#ports = ports
  }

  get initialisedCount(): number {
    return this.#ranges.size
  }

  start(region: Region, fresh: boolean): void {
    const { router, applyStateOf, mailboxCapacity } = this.#options
    const ports = this.#attached()
    const applyState = applyStateOf(region.id)
    ports.apply.register(region, applyState)
    const peer = new Peer(ports, { region, applyState, mailboxCapacity, fresh })
    router.register(peer)
    this.#ranges.set(region)
    const alone = region.peers.length === 1
    const first = fresh && peerOnStore(region, ports.storeId) === region.peers[0]
    // Bootstrap spreads the first peers over the stores: elections without waiting, leaders balanced.
    if (alone || first) router.sendForced(region.id, CAMPAIGN)
    // Until its committed entries are read from disk it may not campaign.
    if (alone && peer.appliedIndex < peer.raft.commitIndex) peer.campaignsOnceApplied = true
    // Committed entries that were not applied before the stop are waiting.
    if (!first) router.sendForced(region.id, { tag: PeerTag.EntriesFetched, to: 0 })
  }

  /** The region votes and stores entries again; it applies once the snapshot is installed. */
  resume({ region, index, term, data }: InterruptedInstall): void {
    const { router, applyStateOf, mailboxCapacity } = this.#options
    const ports = this.#attached()
    const peer = new Peer(ports, {
      region,
      applyState: applyStateOf(region.id),
      mailboxCapacity,
      fresh: false,
      install: {
        kind: data === undefined ? 'failed' : 'ingesting',
        index,
        term,
        data: data ?? new Uint8Array(0),
        readyNumber: 0,
        hardState: { term, vote: 0, commit: index },
        logDurable: true,
        ingested: false,
      },
    })
    router.register(peer)
    this.#ranges.set(region)
    ports.logger.info({ region: region.id, index }, 'goes on installing a snapshot')
    if (data !== undefined) ports.snapshots.install(region.id, data, undefined)
  }

  /** To its peer, which it may bring into being once the store has opened all that it has. */
  deliver(envelope: RaftEnvelope, mayCreate: boolean): boolean {
    const { router } = this.#options
    const { regionId } = envelope
    const message: PeerMessage = { tag: PeerTag.Raft, envelope }
    const outcome = router.send(regionId, message)
    if (outcome !== 'not-found') return outcome === 'ok'
    return mayCreate && this.onUnknown(envelope) && router.send(regionId, message) === 'ok'
  }

  /** A message for a region that is not here. True when its peer is there now, to be sent it. */
  onUnknown(envelope: RaftEnvelope): boolean {
    const ports = this.#attached()
    const { regionId, to } = envelope
    if (to.storeId !== ports.storeId || envelope.tombstone === true) return false
    // What stores tell each other beside their regions.
    if (regionId === NO_ID || to.id === NO_ID) return false
    const tombstone = this.#tombstoneOf(regionId)
    if (tombstone !== undefined && !isLater(envelope, tombstone)) {
      this.#answerForDead(envelope, tombstone)
      return false
    }
    if (!isInitial(envelope)) return false
    if (this.#options.router.size - this.#ranges.size >= UNINITIALISED_MAX) return false
    this.#create(regionId, to, envelope.from.storeId)
    return true
  }

  #create(regionId: RegionId, self: PeerMeta, by: StoreId): void {
    const ports = this.#attached()
    // A vote of before a restart may be on disk.
    if (ports.log.state(regionId) === undefined) {
      ports.log.create(regionId, 0, 0, { term: 0, vote: 0, commit: 0 })
    }
    const region: Region = {
      id: regionId,
      startKey: Buffer.alloc(0),
      endKey: Buffer.alloc(0),
      epoch: { confVer: 0, version: 0 },
      peers: [],
    }
    const { mailboxCapacity, router } = this.#options
    const applyState = NO_APPLY_STATE
    router.register(new Peer(ports, { region, self, applyState, mailboxCapacity, fresh: false }))
    ports.metrics.peersCreated++
    ports.logger.info({ region: regionId, peer: self.id, by }, 'created a replica')
  }

  onRegion(region: Region): void {
    this.#ranges.set(region)
  }

  isOccupied(region: Region): boolean {
    return this.#ranges.findOther(region) !== undefined
  }

  clear(tombstone: Tombstone): void {
    const { bury, router, fail } = this.#options
    const { id } = tombstone.region
    bury(tombstone).then(
      () => router.sendForced(id, CLEARED),
      (error: unknown) => fail(error instanceof Error ? error : new Error(errorMessage(error))),
    )
  }

  forget(regionId: RegionId): void {
    const peer = this.#options.router.remove(regionId)
    assert(peer !== undefined, `region ${regionId} is forgotten once`)
    this.#ranges.delete(regionId)
    this.#attached().awake.delete(regionId)
  }

  #tombstoneOf(regionId: RegionId): Tombstone | undefined {
    const bytes = this.#options.engine.get(ColumnFamily.Raft, regionStateKey(regionId))
    const state = bytes === undefined ? undefined : decodeRegionState(bytes)
    return state?.kind === RegionStateKind.Tombstone ? state : undefined
  }

  /**
   * Who asks for the vote of our dead peer knows an earlier membership. It was removed itself; or it
   * is a member, and needs that vote until it hears that the removal was committed. The dead peer may
   * have been the only one who knew, so the candidate would ask for ever.
   */
  #answerForDead(envelope: RaftEnvelope, { region, peerId, removedAt }: Tombstone): void {
    const { from, to, epoch, message, regionId } = envelope
    const isEarlier = epoch.confVer < region.epoch.confVer && region.peers.length > 0
    if (!isVoteRequest(message.type) || !isEarlier) return
    const { transport, metrics } = this.#attached()
    const answer = { regionId, from: { ...to, id: peerId }, to: from, epoch: region.epoch }
    if (peerById(region, from.id) === undefined) {
      const heartbeat = newMessage(MessageType.Heartbeat, from.id)
      transport.send({ ...answer, message: heartbeat, tombstone: true })
      metrics.tombstoneMessagesSent++
    } else if (removedAt !== undefined && to.id === peerId) {
      transport.send({ ...answer, message: rejectVoteOfGone(message, peerId, removedAt) })
    }
  }

  #attached(): PeerPorts {
    assert(this.#ports !== undefined, 'replicas have their ports')
    return this.#ports
  }
}

/** Ids of peers only rise: this one was added after the dead one had gone. */
function isLater({ to, epoch }: RaftEnvelope, { peerId, region }: Tombstone): boolean {
  return to.id > peerId && epoch.confVer >= region.epoch.confVer
}

/**
 * What a peer hears first: a candidate's question, or a leader that knows nothing of its log. Anything
 * else is meant for one that was here before.
 */
function isInitial({ message }: RaftEnvelope): boolean {
  switch (message.type) {
    case MessageType.RequestVote:
    case MessageType.RequestPreVote:
      return true
    case MessageType.Heartbeat:
      return message.commit === 0
    default:
      return false
  }
}
