/**
 * One replica of a region: its raft node and everything that waits on it. State only; what happens
 * to it is told in on-request, on-raft-message, on-ready, on-applied and on-tick.
 *
 * INVARIANTS
 * - Touched only within the poller's round, by one message at a time.
 * - Every request that entered is answered once, through `answer`.
 */

import { assert } from '../base/assert.ts'
import type { LogIndex, PeerId, RegionId, Term } from '../base/ids.ts'
import { withItem } from '../base/lazy-list.ts'
import type { Fsm } from '../batch-system/fsm.ts'
import { Mailbox } from '../batch-system/mailbox.ts'
import type { RawRequest, RawResponse } from '../protocol/raw.ts'
import { type RegionError, regionErrorResponse } from '../protocol/raw.ts'
import { defaultRaftConfig } from '../raft/config.ts'
import { RawNode } from '../raft/raw-node.ts'
import { type HardState, type Message, StateRole } from '../raft/types.ts'
import { type Peer as PeerMeta, peerOnStore, type Region } from '../region/region.ts'
import type { ApplyState } from '../region/state.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import type { PendingChange } from './admin/change-peer.ts'
import type { Destroying } from './destroy.ts'
import type { Farewell } from './farewell.ts'
import { Hibernation } from './hibernate.ts'
import { Lease } from './lease.ts'
import { type PeerMessage, PeerTag } from './messages.ts'
import { PeerStorage } from './peer-storage.ts'
import { PendingReads } from './pending-reads.ts'
import { PendingWrites } from './pending-writes.ts'
import { PersistQueue } from './persist-queue.ts'
import type { PeerPorts } from './ports.ts'
import { ProposalQueue } from './proposal-queue.ts'
import { Roster } from './roster.ts'
import type { Install } from './snapshot-install.ts'
import { SnapshotSource } from './snapshot-source.ts'

/** What a leader reports of its traffic since its last report to PD. */
export class Traffic {
  keysWritten = 0
  bytesWritten = 0
  keysRead = 0
  bytesRead = 0

  addRead(keys: number, bytes: number): void {
    this.keysRead += keys
    this.bytesRead += bytes
  }
}

/** What a leader remembers of its log between two looks at it. */
export class LogGcState {
  /** Looks that found too little to compact. */
  skippedTicks = 0
  /** Highest index of which a compaction was proposed. */
  proposedIndex: LogIndex = 0
  /** Bytes of entries in the log, roughly: what a restart found is not counted. */
  bytes = 0
}

export interface PeerOptions {
  readonly region: Region
  /** Of a replica without data, whose region does not name it yet. */
  readonly self?: PeerMeta
  readonly applyState: ApplyState
  readonly mailboxCapacity: number
  /** Created by a bootstrap just now, so its vote is promised to nobody. */
  readonly fresh: boolean
  /** A snapshot whose installation a restart interrupted. */
  readonly install?: Install
}

export class Peer implements Fsm<PeerMessage> {
  readonly id: RegionId
  readonly mailbox: Mailbox<PeerMessage>
  readonly ports: PeerPorts
  self: PeerMeta
  region: Region
  readonly storage: PeerStorage
  readonly raft: RawNode
  readonly writes: PendingWrites
  readonly proposals = new ProposalQueue()
  readonly persist = new PersistQueue()
  readonly lease: Lease
  readonly reads: PendingReads
  /** Reads of this round, decided at its end with one look at the clock. */
  roundReads: RawRequest[] | undefined = undefined
  /** Leading, it was asked for read indexes by followers. */
  servesReplicas = false
  appliedIndex: LogIndex
  appliedTerm: Term
  /** Of `region`; leading, it is told of every peer that is heard. */
  readonly roster: Roster
  /** Monotonic time at which this replica led, or last heard a leader. */
  leaderHeardMs: number
  /** Peers that the last report called pending. */
  pendingCount = 0
  // Membership
  /** Committed changes that apply has not told of. */
  readonly changes: PendingChange[] = []
  /** Where peers are that the region does not name: it is behind, or has just let them go. */
  readonly strangers = new Map<PeerId, PeerMeta>()
  /** Peers that were removed a moment ago. */
  readonly farewells: Farewell[] = []
  /** Latest membership in which somebody took this replica, still without data, for a member. */
  memberSince = 0
  destroying: Destroying | undefined = undefined
  traffic = new Traffic()
  readonly logGc = new LogGcState()
  readonly hibernation = new Hibernation()
  /** A commit index that waits for the next write to the log. */
  unwrittenHardState: HardState | undefined = undefined
  /** Restarted as the only replica: nobody else will lead, so it need not wait to be called on. */
  campaignsOnceApplied = false
  /** Ticks for which it has not led while proposals of its own wait for their fate. */
  strandedTicks = 0
  /** Last entry given to apply. */
  handedOverIndex: LogIndex
  // Snapshots: as the leader, and as a follower
  readonly source: SnapshotSource
  /** Arrived; raft takes it when nothing of before is under way. */
  heldSnapshot: RaftEnvelope | undefined = undefined
  /** The region's data is being replaced. */
  install: Install | undefined
  /** Of the last snapshot installed: what apply tells of before is out of date. */
  snapshotIndex: LogIndex = 0

  constructor(ports: PeerPorts, options: PeerOptions) {
    const { region, applyState } = options
    const self = options.self ?? peerOnStore(region, ports.storeId)
    assert(self !== undefined, `region ${region.id} has no peer on store ${ports.storeId}`)
    const { config } = ports
    this.id = region.id
    this.mailbox = new Mailbox<PeerMessage>(options.mailboxCapacity)
    this.ports = ports
    this.self = self
    this.region = region
    this.roster = new Roster(region)
    this.writes = new PendingWrites(config.raftEntryMaxSize)
    this.reads = new PendingReads(ports.random)
    this.lease = new Lease(config.raftStoreMaxLeaderLeaseMs, ports.standstill)
    this.leaderHeardMs = ports.clock.monotonicMs()
    this.appliedIndex = applyState.appliedIndex
    this.appliedTerm = applyState.appliedTerm
    this.handedOverIndex = applyState.appliedIndex
    this.source = new SnapshotSource((data) => ports.snapshots.release(data))
    this.install = options.install
    this.storage = new PeerStorage(ports.log, region, applyState, this.source, (to, error) => {
      if (error !== undefined) ports.fail(error)
      else ports.notify(region.id, { tag: PeerTag.EntriesFetched, to })
    })
    if (options.install !== undefined) this.storage.becomeInstalling()
    this.raft = new RawNode(
      {
        ...defaultRaftConfig(self.id, applyState.appliedIndex),
        electionTick: config.raftElectionTimeoutTicks,
        heartbeatTick: config.raftHeartbeatTicks,
        maxSizePerMsg: config.raftMaxSizePerMsg,
        maxInflightMsgs: config.raftMaxInflightMsgs,
      },
      this.storage,
      ports.random,
    )
    ports.awake.add(this.id)
    if (options.fresh) this.raft.assumeNoPromises()
    // Followers learn it with the next append or heartbeat: a message less for each entry and follower.
    this.raft.skipCommitBroadcast(true)
  }

  /** It has data, or is about to have it; otherwise not even its range is known. */
  get isInitialised(): boolean {
    return this.region.peers.length > 0
  }

  setRegion(region: Region): void {
    this.region = region
    this.roster.change(region)
    this.self = this.roster.get(this.self.id) ?? this.self
    this.strangers.clear()
    this.ports.replicas.onRegion(region)
  }

  /** A member, or whoever else has business with this region. */
  addressOf(id: PeerId): PeerMeta | undefined {
    return this.roster.get(id) ?? this.strangers.get(id)
  }

  envelopeTo(to: PeerMeta, message: Message): RaftEnvelope {
    const { id, self, region } = this
    return { regionId: id, from: self, to, epoch: region.epoch, message }
  }

  /** Ready for another snapshot. */
  get takesSnapshot(): boolean {
    const isWhole = this.install === undefined || this.install.kind === 'failed'
    return isWhole && this.heldSnapshot === undefined && this.destroying === undefined
  }

  get isLeader(): boolean {
    return this.destroying === undefined && this.raft.role === StateRole.Leader
  }

  /** The leader as far as this peer knows. */
  get leader(): PeerMeta | undefined {
    return this.addressOf(this.raft.leaderId)
  }

  addRead(request: RawRequest): void {
    this.roundReads = withItem(this.roundReads, request)
  }

  /** Reads of this round, which are the caller's to answer. */
  takeRoundReads(): RawRequest[] {
    const taken = this.roundReads ?? []
    this.roundReads = undefined
    return taken
  }

  answer(request: RawRequest, response: RawResponse): void {
    this.ports.release(request)
    request.sink.respond(request, response)
  }

  refuse(request: RawRequest, error: RegionError): void {
    this.ports.metrics.refused++
    this.answer(request, regionErrorResponse(error))
  }
}
