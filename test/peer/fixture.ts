/** A peer alone, with everything around it in the test's hands. */
import type { ApplyClient, ApplyResult, ApplyTask } from '../../src/apply/port.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { type PeerMessage, PeerTag } from '../../src/peer/messages.ts'
import { PeerMetrics } from '../../src/peer/metrics.ts'
import { Peer } from '../../src/peer/peer.ts'
import { PeerHandler } from '../../src/peer/peer-handler.ts'
import { confStateOf } from '../../src/peer/peer-storage.ts'
import type { PeerPorts, RegionReport } from '../../src/peer/ports.ts'
import { Standstill } from '../../src/peer/standstill.ts'
import { type RawKind, RawRequest, type RawResponse } from '../../src/protocol/raw.ts'
import { newMessage } from '../../src/raft/message.ts'
import { type Entry, type Message, MessageType } from '../../src/raft/types.ts'
import type { LogWrite, RaftLog, RegionLogState } from '../../src/raftlog/port.ts'
import { type Peer as PeerMeta, PeerRole, type Region } from '../../src/region/region.ts'
import {
  INITIAL_APPLY_STATE,
  INITIAL_LOG_INDEX,
  INITIAL_LOG_TERM,
  type Tombstone,
} from '../../src/region/state.ts'
import { defaultStoreConfig } from '../../src/store/config.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import { ROOMY_DISKS } from '../roomy-disks.ts'

export const REGION_ID = 7

/** Peer 10 on store 1, and so on; 'l' marks learners. */
export function regionOf(text: string, confVer = 5): Region {
  return {
    id: REGION_ID,
    startKey: Buffer.from('b'),
    endKey: Buffer.from('y'),
    epoch: { confVer, version: 1 },
    peers: text.split(' ').map((word) => {
      const role = word.endsWith('l') ? PeerRole.Learner : PeerRole.Voter
      return peerOn(Number.parseInt(word, 10), role)
    }),
  }
}

export function peerOn(storeId: number, role: PeerRole = PeerRole.Voter): PeerMeta {
  return { id: storeId * 10, storeId, role }
}

export const NOBODY: Region = {
  id: REGION_ID,
  startKey: Buffer.alloc(0),
  endKey: Buffer.alloc(0),
  epoch: { confVer: 0, version: 0 },
  peers: [],
}

/** One region's log, on a disk that takes its time. */
class FakeLog {
  state: RegionLogState | undefined
  entries: Entry[] = []
  unsynced: LogWrite[] = []
  removed = false

  constructor(index: number, term: number) {
    const hardState = { term, vote: 0, commit: index }
    this.state = { hardState, firstIndex: index + 1, lastIndex: index }
  }

  port(): RaftLog {
    const log: Partial<RaftLog> = {
      state: () => this.state,
      term: (_id, index) =>
        this.entries.find((e) => e.index === index)?.term ?? this.baseTerm(index),
      entries: (_id, low, high) => this.entries.filter((e) => e.index >= low && e.index < high),
      create: (_id, index, _term, hardState) => {
        this.entries = []
        this.state = { hardState, firstIndex: index + 1, lastIndex: index }
      },
      write: (write) => this.write(write),
      remove: () => {
        this.removed = true
        this.state = undefined
      },
      evict: () => {},
      flush: () => {},
    }
    return log as RaftLog
  }

  baseTerm(index: number): number {
    return index === 0 ? 0 : INITIAL_LOG_TERM
  }

  write(write: LogWrite): void {
    const first = write.entries[0]?.index
    if (first !== undefined) this.entries = this.entries.filter((e) => e.index < first)
    this.entries.push(...write.entries)
    const state = this.state!
    this.state = {
      hardState: write.hardState ?? state.hardState,
      firstIndex: state.firstIndex,
      lastIndex: this.entries.at(-1)?.index ?? state.firstIndex - 1,
    }
    this.unsynced.push(write)
  }
}

export class PeerFixture {
  readonly log: FakeLog
  readonly sent: RaftEnvelope[] = []
  readonly applied: Entry[] = []
  readonly reports: RegionReport[] = []
  readonly tombstones: Tombstone[] = []
  readonly answers: RawResponse[] = []
  readonly calls: string[] = []
  readonly metrics = new PeerMetrics()
  readonly ports: PeerPorts
  readonly peer: Peer
  readonly #handler: PeerHandler
  nowMs = 100_000
  /** Of which one round handles no more. */
  messagesMax = 1000
  occupied = false

  /** The peer of store 1; with `region` undefined it has no data yet. */
  constructor(region: Region | undefined) {
    const empty = region === undefined
    this.log = new FakeLog(empty ? 0 : INITIAL_LOG_INDEX, empty ? 0 : INITIAL_LOG_TERM)
    const ports = this.#makePorts()
    this.ports = ports
    const none = { appliedIndex: 0, appliedTerm: 0, truncatedIndex: 0, truncatedTerm: 0 }
    this.peer = new Peer(ports, {
      region: region ?? NOBODY,
      ...(empty && { self: peerOn(1, PeerRole.Learner) }),
      applyState: empty ? none : INITIAL_APPLY_STATE,
      mailboxCapacity: 1000,
      fresh: true,
    })
    this.#handler = new PeerHandler(ports)
  }

  #makePorts(): PeerPorts {
    const called = (name: string) => (): void => void this.calls.push(name)
    const apply: ApplyClient = {
      register: () => called('register')(),
      apply: ({ entries }: ApplyTask) => void this.applied.push(...entries),
      applyLater: ({ entries }: ApplyTask) => void this.applied.push(...entries),
      hurry: () => {},
      snapshot: () => called('snapshot')(),
      cancelSnapshot: () => called('cancelSnapshot')(),
      destroy: () => called('destroy')(),
      flush: () => {},
      close: async () => {},
    }
    return {
      storeId: 1,
      config: defaultStoreConfig(),
      clock: { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs },
      standstill: new Standstill(),
      random: { below: () => 0 } as PeerPorts['random'],
      logger: silentLogger,
      log: this.log.port(),
      transport: {
        send: (envelope) => {
          this.sent.push(envelope)
          return true
        },
        flush: () => {},
        sendSnapshot: () => {},
        close: async () => {},
      },
      apply,
      reads: { read: () => {}, flush: () => {} },
      snapshots: {
        reserve: () => true,
        release: () => called('release')(),
        discardBuilt: () => called('discardBuilt')(),
        send: () => called('send')(),
        accepted: () => called('accepted')(),
        discard: () => called('discard')(),
        regionOf: () => this.snapshotRegion,
        install: () => called('install')(),
        complete: () => called('complete')(),
        cancel: () => called('cancel')(),
      },
      disks: ROOMY_DISKS,
      awake: new Set(),
      replicas: {
        onRegion: () => {},
        isOccupied: () => this.occupied,
        clear: (tombstone) => void this.tombstones.push(tombstone),
        forget: () => {
          called('forget')()
          this.peer.mailbox.close()
        },
      },
      metrics: this.metrics,
      notify: (_regionId, signal) => this.peer.mailbox.pushForced(signal),
      reportRegion: (report) => void this.reports.push(report),
      release: () => {},
      fail: (error) => {
        throw error
      },
    }
  }

  /** What every snapshot is of. */
  snapshotRegion: Region = regionOf('1l 2 3')

  /** Gives the peer messages, and runs one round. */
  round(...messages: PeerMessage[]): void {
    for (const message of messages) this.peer.mailbox.pushForced(message)
    this.#handler.begin()
    this.#handler.handleNormal(this.peer, this.messagesMax)
    this.#handler.lightEnd([this.peer])
    this.#handler.end()
  }

  /** The disk has everything. */
  sync(): void {
    const readyNumber = this.log.unsynced.at(-1)?.readyNumber
    this.log.unsynced = []
    if (readyNumber !== undefined) this.round({ tag: PeerTag.Persisted, readyNumber })
  }

  /** Apply has come this far. */
  apply(index: number, told: Partial<ApplyResult> = {}): void {
    const appliedTerm = this.applied.find((entry) => entry.index === index)!.term
    const counts = { writtenKeys: 0, writtenBytes: 0 }
    const result = {
      regionId: REGION_ID,
      appliedIndex: index,
      appliedTerm,
      rejections: [],
      ...counts,
    }
    this.round({ tag: PeerTag.Applied, result: { ...result, ...told } })
  }

  /** A raft message of the peer on another store. */
  receive(
    storeId: number,
    message: Partial<Message> & Pick<Message, 'type'>,
    envelope: Partial<RaftEnvelope> = {},
  ): void {
    const from = peerOn(storeId)
    const full: Message = { ...newMessage(message.type, 10), from: from.id, ...message }
    const { region, self } = this.peer
    const routed = { regionId: REGION_ID, from, to: self, epoch: region.epoch, message: full }
    this.round({ tag: PeerTag.Raft, envelope: { ...routed, ...envelope } })
  }

  /** A snapshot of `snapshotRegion` from store 2, with all its files. */
  receiveSnapshot(index: number, term = 6): void {
    const confState = confStateOf(this.snapshotRegion)
    const metadata = { index, term, confState }
    const snapshot = { metadata, data: Buffer.from('set') }
    const from = peerOn(2)
    const message = { ...newMessage(MessageType.Snapshot, 10), from: from.id, term, snapshot }
    const { epoch } = this.snapshotRegion
    const envelope = { regionId: REGION_ID, from, to: peerOn(1), epoch, message }
    this.round({ tag: PeerTag.SnapshotArrived, envelope })
  }

  /** Elected by store 2, committed in its own term with store 2, and that applied. */
  lead(): void {
    const { raft } = this.peer
    this.round({ tag: PeerTag.Campaign })
    if (!this.peer.isLeader) {
      const { term } = raft
      this.receive(2, { type: MessageType.RequestPreVoteResponse, term: term + 1 })
      this.sync()
      this.receive(2, { type: MessageType.RequestVoteResponse, term: raft.term })
    }
    this.commit()
    this.apply(raft.commitIndex)
    this.sent.length = 0
  }

  /** Stores 2, 3, … have all of the log. */
  commit(...storeIds: number[]): void {
    this.sync()
    const { raft } = this.peer
    for (const storeId of storeIds.length > 0 ? storeIds : [2, 3]) {
      this.receive(storeId, {
        type: MessageType.AppendResponse,
        term: raft.term,
        index: raft.lastIndex,
      })
    }
  }

  request(kind: RawKind, fields: Partial<RawRequest> = {}): RawRequest {
    const request = new RawRequest(
      kind,
      {
        respond: (_request: RawRequest, response: RawResponse) => void this.answers.push(response),
      },
      0,
    )
    request.regionId = REGION_ID
    request.peerId = this.peer.self.id
    request.version = this.peer.region.epoch.version
    request.key = Buffer.from('k')
    request.value = Buffer.from('v')
    return Object.assign(request, fields)
  }
}
