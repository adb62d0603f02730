/**
 * A small group for tests that read as stories: every step is taken by hand, settle() takes all
 * that are left. Disks answer only when told to.
 */
import { seededRandom } from '../../src/base/clock.ts'
import { decodeConfChange } from '../../src/raft/conf-change-codec.ts'
import { defaultRaftConfig, type RaftConfig } from '../../src/raft/config.ts'
import { newMessage } from '../../src/raft/message.ts'
import { RawNode } from '../../src/raft/raw-node.ts'
import type { Ready } from '../../src/raft/ready.ts'
import type { TraceWriter } from '../../src/raft/trace.ts'
import {
  type ConfState,
  type Entry,
  EntryType,
  type Message,
  type MessageType,
  type ReadState,
  type Snapshot,
} from '../../src/raft/types.ts'
import { confStateOf, MemoryStorage } from './script/storage.ts'

export const START_INDEX = 10
export const START_TERM = 1

export function startSnapshot(confState: ConfState): Snapshot {
  return { metadata: { index: START_INDEX, term: START_TERM, confState }, data: Buffer.alloc(0) }
}

export function testConfig(id: number, options: Partial<RaftConfig> = {}): RaftConfig {
  return {
    ...defaultRaftConfig(id, START_INDEX),
    preVote: false,
    checkQuorum: false,
    ...options,
  }
}

export class Member {
  readonly id: number
  readonly #options: Partial<RaftConfig>
  readonly #seed: number
  readonly #trace: TraceWriter
  storage: MemoryStorage
  node: RawNode
  readonly applied: Entry[] = []
  readonly reads: ReadState[] = []
  /** Taken, written, and not yet told to be durable. */
  unpersisted: Ready[] = []

  constructor(id: number, confState: ConfState, options: Partial<RaftConfig>, trace: TraceWriter) {
    this.#trace = trace
    this.id = id
    this.#options = options
    this.#seed = id * 7
    this.storage = new MemoryStorage(startSnapshot(confState))
    this.storage.hardState = { term: START_TERM, vote: 0, commit: START_INDEX }
    this.node = this.#newNode(START_INDEX)
    this.node.assumeNoPromises()
    // It campaigns when told to.
    this.node.setElectionTimeout(1000)
  }

  #newNode(applied: number): RawNode {
    const config = testConfig(this.id, { ...this.#options, applied })
    return new RawNode(config, this.storage, seededRandom(this.#seed), undefined, this.#trace)
  }

  /** Takes one ready, writes and applies it; it is durable only after persist(). */
  take(): Ready {
    const ready = this.node.ready()
    if (ready.hardState !== undefined) this.storage.hardState = ready.hardState
    if (ready.snapshot !== undefined) this.storage.install(ready.snapshot)
    this.storage.append(ready.entries)
    this.node.advanceAppendAsync(ready)
    this.unpersisted.push(ready)
    this.reads.push(...ready.readStates)
    this.apply(ready.committedEntries)
    return ready
  }

  apply(entries: readonly Entry[]): void {
    for (const entry of entries) {
      let { confState } = this.storage.latest.metadata
      if (entry.type !== EntryType.Normal) {
        confState = this.node.applyConfChange(decodeConfChange(entry))
      }
      const metadata = { index: entry.index, term: entry.term, confState }
      this.storage.latest = { metadata, data: Buffer.alloc(0) }
      this.applied.push(entry)
    }
    const last = entries.at(-1)
    if (last !== undefined) this.node.advanceApplyTo(last.index)
  }

  /** Everything taken is durable; answers what may be sent now. */
  persist(): Message[] {
    const persisted = this.unpersisted.splice(0)
    const last = persisted.at(-1)
    if (last === undefined) return []
    this.node.onPersistReady(last.number)
    const snapshot = persisted.findLast((ready) => ready.snapshot !== undefined)?.snapshot
    if (snapshot !== undefined) this.node.advanceApplyTo(snapshot.metadata.index)
    return persisted.flatMap((ready) => ready.persistedMessages)
  }

  /** Comes back with what its storage holds. */
  restart(applied: number): void {
    this.unpersisted = []
    this.node = this.#newNode(applied)
  }

  get appliedData(): string[] {
    return this.applied
      .filter((entry) => entry.data.length > 0 && entry.type === EntryType.Normal)
      .map((entry) => Buffer.from(entry.data).toString())
  }
}

export class Group {
  readonly members: readonly Member[]
  queue: Message[] = []
  /** Lines of the state trace, of all members. */
  readonly trace: string[] = []
  /** Peers that hear nothing and are not heard. */
  readonly cut = new Set<number>()

  constructor(size: number, options: Partial<RaftConfig> = {}, learners: readonly number[] = []) {
    const voters = Array.from({ length: size }, (_, i) => i + 1).filter(
      (id) => !learners.includes(id),
    )
    const confState = confStateOf(voters, learners)
    const ids = [...voters, ...learners].sort((a, b) => a - b)
    const trace = { write: (line: string) => this.trace.push(line) }
    this.members = ids.map((id) => new Member(id, confState, options, trace))
  }

  at(id: number): Member {
    return this.members[id - 1]!
  }

  /** Takes the readies of one member and queues what may be sent at once. */
  take(id: number): Ready[] {
    const member = this.at(id)
    const taken: Ready[] = []
    while (member.node.hasReady()) {
      const ready = member.take()
      taken.push(ready)
      this.queue.push(...ready.messages)
    }
    return taken
  }

  persist(id: number): void {
    this.queue.push(...this.at(id).persist())
  }

  /** Delivers what waits for these members, or for all. */
  deliver(...to: number[]): void {
    const queue = this.queue
    this.queue = []
    for (const message of queue) {
      if (to.length > 0 && !to.includes(message.to)) this.queue.push(message)
      else if (!this.cut.has(message.to) && !this.cut.has(message.from)) {
        this.at(message.to).node.step(message)
      }
    }
  }

  /** Takes, persists and delivers until nothing is left to do. */
  settle(): void {
    for (let busy = true; busy; ) {
      busy = false
      for (const { id } of this.members) {
        if (this.take(id).length > 0 || this.at(id).unpersisted.length > 0) busy = true
        this.persist(id)
      }
      if (this.queue.length > 0) busy = true
      this.deliver()
    }
  }

  elect(id: number): Member {
    this.at(id).node.campaign()
    this.settle()
    return this.at(id)
  }

  tickAll(count: number): void {
    for (let i = 0; i < count; i++) {
      for (const { node } of this.members) node.tick()
      this.settle()
    }
  }
}

/** A message as another peer would send it. */
export function messageFrom(
  from: number,
  to: number,
  type: MessageType,
  fields: Partial<Message>,
): Message {
  return { ...newMessage(type, to), from, ...fields }
}

export function entry(index: number, term: number, data = `${term}/${index}`): Entry {
  return { index, term, type: EntryType.Normal, data: Buffer.from(data) }
}
