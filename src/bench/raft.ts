/**
 * Suite `raft`: the consensus core alone. A group of three in one thread, whose disks and network
 * take no time: proposals per second are what the core costs for all three replicas together.
 *
 *   k proposals ─▶ leader ─▶ appends ─▶ two followers ─▶ answers ─▶ commit ─▶ handed out     = a round
 *
 * Latency is that of a round. `bytesPerProposal` is what a proposal allocates on all three replicas,
 * messages included, its payload not. The idle rows tell what a replica at rest holds on the heap,
 * without its storage.
 */
import { getHeapStatistics } from 'node:v8'
import { build, type Histogram } from 'hdr-histogram-js'
import { type Random, seededRandom } from '../base/clock.ts'
import { KIB } from '../base/limits.ts'
import { defaultRaftConfig } from '../raft/config.ts'
import { RawNode } from '../raft/raw-node.ts'
import type { Ready } from '../raft/ready.ts'
import type { RaftStorage, Unavailable } from '../raft/storage.ts'
import { type Entry, type HardState, type Message, StateRole } from '../raft/types.ts'
import { heapAfterGc } from './heap.ts'
import { BenchReport } from './report.ts'
import type { BenchOptions } from './suite.ts'

const SECONDS_DEFAULT = 2
const ENTRY_BYTES = 256
const PROPOSALS_PER_ROUND = [1, 16, 256]
const IDLE_NODES = 10_000
const IDLE_BYTES_MAX = 2 * KIB
const NANOS_MAX = 60_000_000_000
const ALLOCATION_ROUNDS = 400
/** Entries that a log keeps behind the applied index. */
const KEEP_ENTRIES = 1024

const CONF_STATE = {
  voters: [1, 2, 3],
  votersOutgoing: [],
  learners: [],
  learnersNext: [],
  autoLeave: false,
}

export async function run(options: BenchOptions): Promise<void> {
  const seconds = options.seconds ?? SECONDS_DEFAULT
  const report = new BenchReport(options.json)
  report.note(`raft core alone: 3 replicas in one thread, no disk, no network, ${seconds} s a case`)
  for (const perRound of PROPOSALS_PER_ROUND) runGroup(perRound, seconds, report)
  for (const leads of [false, true]) runIdle(leads, report)
  report.finish()
}

function runGroup(perRound: number, seconds: number, report: BenchReport): void {
  const group = new BenchGroup()
  const histogram = build({ highestTrackableValue: NANOS_MAX, numberOfSignificantValueDigits: 3 })
  for (let i = 0; i < 2000; i++) group.round(perRound)
  const start = performance.now()
  let rounds = 0
  let now = start
  while (now < start + seconds * 1000) {
    group.round(perRound)
    const after = performance.now()
    histogram.recordValue(Math.round((after - now) * 1e6))
    now = after
    rounds++
  }
  const count = rounds * perRound
  report.add({
    suite: 'raft',
    case: `3 replicas, ${perRound} proposals a round`,
    system: 'polyraft',
    ...latency(histogram),
    opsPerSec: count / ((now - start) / 1000),
    n: count,
    config: { entryBytes: ENTRY_BYTES, bytesPerProposal: allocatedPerProposal(group, perRound) },
  })
}

function latency(histogram: Histogram): { p50Ms: number; p99Ms: number } {
  return {
    p50Ms: histogram.getValueAtPercentile(50) / 1e6,
    p99Ms: histogram.getValueAtPercentile(99) / 1e6,
  }
}

/** The median of many rounds: those in which garbage was collected stand out and drop out. */
function allocatedPerProposal(group: BenchGroup, perRound: number): number {
  const grown = new Float64Array(ALLOCATION_ROUNDS)
  for (let i = 0; i < ALLOCATION_ROUNDS; i++) {
    const before = getHeapStatistics().used_heap_size
    for (let j = 0; j < 8; j++) group.round(perRound)
    grown[i] = getHeapStatistics().used_heap_size - before
  }
  grown.sort()
  return Math.round(grown[ALLOCATION_ROUNDS / 2]! / (8 * perRound))
}

function runIdle(leads: boolean, report: BenchReport): void {
  const storages = Array.from({ length: IDLE_NODES }, () => new BenchStorage())
  const random = seededRandom(1)
  const nodes = storages.map((storage) => idleNode(storage, random, leads))
  const held = heapAfterGc()
  // Their storages stay, so that only the replicas themselves count.
  nodes.length = 0
  const bytes = Math.round((held - heapAfterGc()) / storages.length)
  const role = leads ? 'leaders' : 'followers'
  const verdict = bytes <= IDLE_BYTES_MAX ? 'within' : 'ABOVE'
  report.note(`idle ${role}: ${bytes} bytes each, ${verdict} the limit of ${IDLE_BYTES_MAX}`)
  report.add({
    suite: 'raft',
    case: `idle ${role}`,
    system: 'polyraft',
    opsPerSec: 0,
    p50Ms: 0,
    p99Ms: 0,
    n: storages.length,
    config: { bytesPerNode: bytes, limit: IDLE_BYTES_MAX },
  })
}

/** A replica that has done something and has nothing left to do. */
function idleNode(storage: BenchStorage, random: Random, leads: boolean): RawNode {
  const node = new RawNode(config(1), storage, random)
  const otherStorage = new BenchStorage()
  const other = new RawNode(config(2), otherStorage, random)
  const members = [new Member(node, storage), new Member(other, otherStorage)]
  const leader = leads ? node : other
  leader.campaign()
  settle(members)
  if (leader.role !== StateRole.Leader) throw new Error('the group has no leader')
  leader.tick()
  leader.tick()
  settle(members)
  return node
}

function config(id: number) {
  return { ...defaultRaftConfig(id, 0), preVote: false, checkQuorum: false }
}

class BenchGroup {
  readonly #members: readonly Member[]
  readonly #leader: RawNode
  readonly #data = Buffer.alloc(ENTRY_BYTES, 'e')

  constructor() {
    this.#members = [1, 2, 3].map((id) => {
      const storage = new BenchStorage()
      return new Member(new RawNode(config(id), storage, seededRandom(id)), storage)
    })
    this.#leader = this.#members[0]!.node
    this.#leader.campaign()
    // As a store does it.
    for (const { node } of this.#members) node.skipCommitBroadcast(true)
    settle(this.#members)
    if (this.#leader.role !== StateRole.Leader) throw new Error('the group has no leader')
  }

  round(proposals: number): void {
    for (let i = 0; i < proposals; i++) this.#leader.propose(this.#data)
    settle(this.#members)
    if (this.#leader.commitIndex !== this.#leader.lastIndex) throw new Error('not all committed')
  }
}

class Member {
  readonly node: RawNode
  readonly #storage: BenchStorage

  constructor(node: RawNode, storage: BenchStorage) {
    this.node = node
    this.#storage = storage
  }

  /** Everything is durable and applied at once. */
  work(members: readonly Member[]): boolean {
    if (!this.node.hasReady()) return false
    const ready = this.node.ready()
    this.#storage.write(ready)
    this.node.advanceAppendAsync(ready)
    deliver(ready.messages, members)
    this.node.onPersistReady(ready.number)
    deliver(ready.persistedMessages, members)
    const last = ready.committedEntries.at(-1)
    if (last === undefined) return true
    this.node.advanceApplyTo(last.index)
    this.#storage.compact(last.index - KEEP_ENTRIES)
    return true
  }
}

function deliver(messages: readonly Message[], members: readonly Member[]): void {
  for (const message of messages) members[message.to - 1]?.node.step(message)
}

function settle(members: readonly Member[]): void {
  for (let busy = true; busy; ) {
    busy = false
    for (const member of members) if (member.work(members)) busy = true
  }
}

/** A log in memory that forgets its beginning. */
class BenchStorage implements RaftStorage {
  #hardState: HardState = { term: 0, vote: 0, commit: 0 }
  #entries: Entry[] | undefined = undefined
  #truncated = 0
  #truncatedTerm = 0

  initialState() {
    return { hardState: this.#hardState, confState: CONF_STATE }
  }

  firstIndex(): number {
    return this.#truncated + 1
  }

  lastIndex(): number {
    return this.#truncated + (this.#entries?.length ?? 0)
  }

  term(index: number): number | Unavailable {
    if (index === this.#truncated) return this.#truncatedTerm
    if (index < this.#truncated) return 'compacted'
    return this.#entries?.[index - this.#truncated - 1]?.term ?? 'unavailable'
  }

  entries(low: number, high: number, maxBytes: number): Entry[] | Unavailable {
    if (low <= this.#truncated) return 'compacted'
    const from = low - this.#truncated - 1
    let to = from
    let bytes = 0
    const entries = this.#entries ?? []
    while (to < high - this.#truncated - 1) {
      bytes += entries[to]!.data.length
      if (bytes > maxBytes && to > from) break
      to++
    }
    return entries.slice(from, to)
  }

  snapshot(): Unavailable {
    return 'unavailable'
  }

  write({ hardState, entries }: Ready): void {
    if (hardState !== undefined) this.#hardState = hardState
    if (entries.length === 0) return
    this.#entries ??= []
    this.#entries.length = entries[0]!.index - this.#truncated - 1
    for (const entry of entries) this.#entries.push(entry)
  }

  /** In larger steps, so that it costs nothing per round. */
  compact(index: number): void {
    if (index < this.#truncated + KEEP_ENTRIES * 4) return
    this.#truncatedTerm = this.term(index) as number
    this.#entries = this.#entries!.slice(index - this.#truncated)
    this.#truncated = index
  }
}
