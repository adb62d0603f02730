/** Snapshots of a store without threads, sockets or peers: virtual time, memory for a disk. */
import type { Clock, Later } from '../../src/base/clock.ts'
import type { KvEngine } from '../../src/engine/port.ts'
import type { FileSystem } from '../../src/env/port.ts'
import type { PeerSignal } from '../../src/peer/messages.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { MessageType } from '../../src/raft/types.ts'
import { encodeMeta, type SnapshotMeta } from '../../src/snap/format.ts'
import {
  type SnapAnswer,
  type SnapCalls,
  type SnapRequest,
  SnapTasks,
} from '../../src/store/snap-tasks.ts'
import type { RaftEnvelope, SnapshotOutcome, SnapshotSource } from '../../src/transport/port.ts'
import { DIR, region } from '../snap/support.ts'
import { envelope as plainEnvelope } from '../transport/fixtures.ts'

export const TERM = 7

/** Time that only moves when it is told to. */
export class VirtualTime {
  nowMs = 1000
  readonly #timers: { readonly atMs: number; readonly run: () => void }[] = []
  readonly clock: Clock = { monotonicMs: () => this.nowMs, wallMs: () => this.nowMs }
  readonly later: Later = (delayMs, run) => {
    const timer = { atMs: this.nowMs + delayMs, run }
    this.#timers.push(timer)
    return () => {
      const at = this.#timers.indexOf(timer)
      if (at >= 0) this.#timers.splice(at, 1)
    }
  }

  get waiting(): number {
    return this.#timers.length
  }

  /** Runs what is due on the way, in order, with everything that follows from it. */
  async advance(ms: number): Promise<void> {
    const endMs = this.nowMs + ms
    await settle()
    for (;;) {
      const next = this.#timers
        .filter(({ atMs }) => atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.#timers.splice(this.#timers.indexOf(next), 1)
      this.nowMs = Math.max(this.nowMs, next.atMs)
      next.run()
      await settle()
    }
    this.nowMs = endMs
  }
}

/** Lets promises that wait for nothing outside run to their end. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** The tasks of the snapshot thread, on this one. */
export class InlineCalls implements SnapCalls {
  readonly requests: SnapRequest[] = []
  readonly #tasks: SnapTasks

  constructor(engine: KvEngine, fs: FileSystem) {
    this.#tasks = new SnapTasks({ engine, fs, dir: DIR, pause: async () => {} })
  }

  async call(
    request: SnapRequest,
    _transfer?: readonly ArrayBuffer[],
    onProgress?: (bytes: number) => void,
  ): Promise<SnapAnswer> {
    this.requests.push(request)
    return this.#tasks.run(request, onProgress)
  }

  async close(): Promise<void> {}
}

/** What snapshots look at of a peer. */
export class FakePeer {
  isLeader = true
  readonly self = { id: 102, storeId: 2, role: 0 as const }
  region = region()
  readonly raft = { term: TERM, commitIndex: 5 }
  takesSnapshot = true
  heldSnapshot: RaftEnvelope | undefined = undefined
  install: object | undefined = undefined

  constructor(id = 7) {
    this.region = {
      ...region(),
      id,
      peers: [1, 2, 3].map((storeId) => ({ id: 100 + storeId, storeId, role: 0 as const })),
    }
  }

  get peer(): Peer {
    return this as unknown as Peer
  }
}

export function offer(meta: SnapshotMeta, to = 2): RaftEnvelope {
  const metadata = {
    index: meta.index,
    term: meta.term,
    confState: {
      voters: [101, 102],
      votersOutgoing: [],
      learners: [],
      learnersNext: [],
      autoLeave: false,
    },
  }
  const message = {
    type: MessageType.Snapshot,
    term: TERM,
    snapshot: { metadata, data: encodeMeta(meta) },
  }
  return { ...plainEnvelope(to, message), regionId: meta.region.id }
}

export interface Sending {
  readonly envelope: RaftEnvelope
  readonly source: SnapshotSource
  readonly done: (outcome: SnapshotOutcome, reason: string) => void
}

/** Transfers that a test ends by hand. */
export class HeldTransport {
  readonly sendings: Sending[] = []

  sendSnapshot(
    envelope: RaftEnvelope,
    source: SnapshotSource,
    done: (outcome: SnapshotOutcome, reason: string) => void,
  ): void {
    this.sendings.push({ envelope, source, done })
  }

  /** The oldest one that is under way. */
  take(): Sending {
    const sending = this.sendings.shift()
    if (sending === undefined) throw new Error('nothing is being sent')
    return sending
  }
}

/** Signals to peers, in order. */
export class Signals {
  readonly all: { readonly regionId: number; readonly signal: PeerSignal }[] = []
  readonly notify = (regionId: number, signal: PeerSignal): void => {
    this.all.push({ regionId, signal })
  }
}
