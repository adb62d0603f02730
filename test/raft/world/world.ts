/**
 * A small random world: a group of replicas, a network that loses, doubles, delays and parts, disks
 * that lag, crashes. Everything comes from one seed.
 */
import { assert } from '../../../src/base/assert.ts'
import { type Random, seededRandom } from '../../../src/base/clock.ts'
import { defaultRaftConfig, type RaftConfig } from '../../../src/raft/config.ts'
import { describeStatus } from '../../../src/raft/describe.ts'
import {
  ConfChangeTransition,
  ConfChangeType,
  type Message,
  MessageType,
  ReadOnlyOption,
  type ReadState,
  StateRole,
} from '../../../src/raft/types.ts'
import { confStateOf } from '../script/storage.ts'
import { Checks } from './checks.ts'
import { Replica } from './replica.ts'

export interface WorldOptions {
  readonly seed: number
  readonly nodes: number
  /** Lease-based reads; all nodes then tick at the same pace, on which leases rest. */
  readonly leases: boolean
  readonly membershipChanges: boolean
}

interface Flight {
  readonly message: Message
  readonly due: number
  /** Position in the order of sending. */
  readonly sent: number
}

const ELECTION_TICK = 10
const START_INDEX = 5

export class World {
  readonly #options: WorldOptions
  readonly #random: Random
  readonly #checks = new Checks()
  readonly replicas: Replica[] = []
  #flights: Flight[] = []
  #now = 0
  /** Chance of a lost message, in a thousand. */
  #loss = 0
  #isStormy = true
  /** Events until the weather changes. */
  #weatherLeft = 0
  /** Chance of a tick, in a thousand: how long a tick is beside a round trip. */
  readonly #pace: number
  /** Links that carry nothing, as `from>to`. */
  readonly #cutLinks = new Set<string>()
  #nextValue = 0
  #sent = 0
  /** Of each link, the latest message that arrived. */
  readonly #latest = new Map<string, number>()
  /** Commit index that each asked read must reach. */
  readonly #reads = new Map<string, number>()
  readonly counts = {
    crashes: 0,
    coups: 0,
    reads: 0,
    lost: 0,
    snapshots: 0,
    requestedSnapshots: 0,
    elections: 0,
    changes: 0,
    transfers: 0,
    duplicated: 0,
    reordered: 0,
    commits: 0,
  }

  constructor(options: WorldOptions) {
    this.#options = options
    this.#random = seededRandom(options.seed)
    this.#pace = 30 + this.#random.below(140)
    const ids = Array.from({ length: options.nodes }, (_, i) => i + 1)
    const confState = confStateOf(ids)
    const start = {
      metadata: { index: START_INDEX, term: START_INDEX, confState },
      data: Buffer.from('0'),
    }
    const shared = this.#sharedConfig()
    for (const id of ids) {
      const config = (applied: number): RaftConfig => ({ ...shared, id, applied })
      this.replicas.push(
        new Replica(id, config, start, seededRandom(options.seed * 31 + id), {
          onMessages: (_, messages) => this.#onMessages(messages),
          onApplied: (_, index, term, state) => this.#checks.onApplied(index, term, state),
          onReadState: (replica, read) => this.#onReadState(replica, read),
          onDurable: (replica) => this.#checks.onDurable(replica),
        }),
      )
    }
  }

  #sharedConfig(): RaftConfig {
    return {
      ...defaultRaftConfig(1, START_INDEX),
      electionTick: ELECTION_TICK,
      maxSizePerMsg: 1 + this.#random.below(64),
      maxInflightMsgs: 1 + this.#random.below(8),
      maxCommittedSizePerReady: this.#random.below(64),
      preVote: this.#random.below(3) > 0,
      checkQuorum: this.#options.leases || this.#random.below(3) > 0,
      // A leader that removed itself may hold a longer log than the survivor whose vote it must
      // refuse: only its word of what is committed lets that one go on.
      commitByVote: this.#random.below(2) > 0 || this.#options.membershipChanges,
      disableProposalForwarding: this.#random.below(2) > 0,
      readOnlyOption: this.#options.leases ? ReadOnlyOption.LeaseBased : ReadOnlyOption.Safe,
    }
  }

  /** One random event, then everything that must hold. */
  step(): void {
    this.#event()
    for (const replica of this.replicas) {
      if (replica.up) replica.pump()
      this.#checks.onStep(replica, this.replicas)
    }
  }

  run(steps: number): void {
    for (let i = 0; i < steps; i++) {
      this.step()
      if (i % 50 === 0) this.#checks.logsMatch(this.replicas)
    }
    this.#checks.logsMatch(this.replicas)
    this.counts.commits = this.#checks.commitMax - START_INDEX
  }

  #event(): void {
    if (this.#weatherLeft-- === 0) this.#changeWeather()
    const dice = this.#random.below(1000)
    if (dice < 600 - this.#pace) this.#deliver()
    else if (dice < 600) this.#tick()
    else if (dice < 800) this.#syncSome()
    else if (dice < 890) this.#propose()
    else if (dice < 930) this.#read()
    else if (dice < 942) this.#changeMembership()
    else if (dice < 952) this.#pick().compact()
    else if (dice < 956) this.#transfer()
    else if (this.#isStormy) this.#fault()
    else this.#deliver()
  }

  #fault(): void {
    const dice = this.#random.below(44)
    if (dice < 12) this.#crashOrRestart()
    else if (dice < 18) this.#part()
    else if (dice < 24) this.#coup()
    else if (dice < 30) this.#campaign()
    else if (dice < 38) this.#report()
    else this.#transfer()
  }

  /** Storms make the states that calm, in which groups get on, must find its way out of. */
  #changeWeather(): void {
    this.#isStormy = !this.#isStormy
    this.#weatherLeft = 30 + this.#random.below(this.#isStormy ? 300 : 500)
    this.#loss = this.#isStormy ? this.#random.below(4) * 50 : 0
    if (this.#isStormy) return
    this.#cutLinks.clear()
    for (const replica of this.replicas) {
      if (!replica.up && this.#random.below(4) > 0) this.#restart(replica)
    }
  }

  #pick(): Replica {
    return this.replicas[this.#random.below(this.replicas.length)]!
  }

  #at(id: number): Replica {
    return this.replicas[id - 1]!
  }

  #onMessages(messages: readonly Message[]): void {
    for (const message of messages) {
      this.#checks.onMessage(message)
      if (message.type === MessageType.Snapshot) this.counts.snapshots++
      const copies = this.#random.below(20) === 0 ? 2 : 1
      this.counts.duplicated += copies - 1
      for (let i = 0; i < copies; i++) {
        const delay =
          this.#random.below(10) === 0 ? this.#random.below(400) : this.#random.below(20)
        this.#flights.push({ message, due: this.#now + delay, sent: this.#sent++ })
      }
    }
  }

  /** Everything that is due; reordered by its delays. */
  #deliver(): void {
    this.#now += 10
    const due = this.#flights.filter((flight) => flight.due <= this.#now)
    this.#flights = this.#flights.filter((flight) => flight.due > this.#now)
    due.sort((a, b) => a.due - b.due)
    for (const { message, sent } of due) {
      const link = `${message.from}>${message.to}`
      if (sent < (this.#latest.get(link) ?? 0)) this.counts.reordered++
      else this.#latest.set(link, sent)
      this.#arrive(message)
    }
  }

  #arrive(message: Message): void {
    const to = this.#at(message.to)
    const isCut = this.#cutLinks.has(`${message.from}>${message.to}`)
    if (!to.up || isCut || this.#random.below(1000) < this.#loss) {
      this.counts.lost++
      this.#reportSnapshot(message, false)
      return
    }
    this.#reportSnapshot(message, true)
    to.node.step(message)
    to.pump()
    this.#checks.onStep(to, this.replicas)
  }

  /** A transport tells what became of a snapshot; whether it was installed is another matter. */
  #reportSnapshot({ type, from, to }: Message, arrived: boolean): void {
    const sender = this.#at(from)
    if (type === MessageType.Snapshot && sender.up) sender.node.reportSnapshot(to, arrived)
  }

  #tick(): void {
    for (const replica of this.replicas) {
      if (!replica.up || (!this.#options.leases && this.#random.below(3) === 0)) continue
      const before = replica.node.role
      replica.node.tick()
      replica.pump()
      if (before !== replica.node.role) this.counts.elections++
    }
  }

  #syncSome(): void {
    for (const replica of this.replicas) {
      if (!replica.up || this.#random.below(2) === 0) continue
      replica.sync(1 + this.#random.below(Math.max(1, replica.unsyncedCount)))
    }
  }

  #propose(): void {
    const replica = this.#pick()
    if (replica.up) replica.node.propose(Buffer.from(`v${this.#nextValue++}`))
  }

  #read(): void {
    // Most of all, who believes to lead must not be wrong.
    const replica =
      this.#random.below(3) === 0 ? this.#pick() : (this.#pickLeader() ?? this.#pick())
    if (!replica.up) return
    const context = Buffer.from(`read ${this.#nextValue++}`)
    this.#reads.set(`${replica.id} ${context}`, this.#checks.commitMax)
    replica.node.readIndex(context)
  }

  #onReadState(replica: Replica, { index, context }: ReadState): void {
    const least = this.#reads.get(`${replica.id} ${Buffer.from(context)}`)
    if (least === undefined) return
    assert(index >= least, `a read at ${index} misses what was committed at ${least}`)
    this.counts.reads++
  }

  #crashOrRestart(): void {
    const replica = this.#pick()
    if (!replica.up) {
      this.#restart(replica)
      return
    }
    replica.crash()
    this.counts.crashes++
    if (this.#random.below(2) === 0) this.#restart(replica)
  }

  #restart(replica: Replica): void {
    replica.restart()
    this.#checks.onRestart(replica)
  }

  /** A whole network, two sides, a bridge between nodes that do not hear each other, or one way. */
  #part(): void {
    this.#cutLinks.clear()
    const kind = this.#random.below(5)
    const sides = this.replicas.map(() => this.#random.below(2))
    for (const { id: from } of this.replicas) {
      for (const { id: to } of this.replicas) {
        if (kind === 0 && sides[from - 1] !== sides[to - 1]) this.#cutLinks.add(`${from}>${to}`)
        if (kind === 1 && this.#random.below(3) === 0) this.#cutLinks.add(`${from}>${to}`)
      }
    }
    if (kind !== 2) return
    const [a, b] = [this.#pick().id, this.#pick().id]
    this.#cutLinks.add(`${a}>${b}`).add(`${b}>${a}`)
  }

  #transfer(): void {
    const replica = this.#pick()
    if (!replica.up) return
    replica.node.transferLeader(this.#pick().id)
    this.counts.transfers++
  }

  #pickLeader(): Replica | undefined {
    const leaders = this.replicas.filter((one) => one.up && one.node.role === StateRole.Leader)
    return leaders[this.#random.below(Math.max(1, leaders.length))]
  }

  /**
   * What it takes to overthrow a leader that does not notice: it hears nothing more, its voters
   * forget, another one campaigns, perhaps on its own order.
   */
  #coup(): void {
    const leader = this.#pickLeader()
    const rival = this.#pick()
    if (leader === undefined || rival === leader || !rival.up) return
    const alsoMute = this.#random.below(2) === 0
    for (const { id } of this.replicas) {
      if (id === leader.id) continue
      this.#cutLinks.add(`${id}>${leader.id}`)
      if (alsoMute) this.#cutLinks.add(`${leader.id}>${id}`)
    }
    if (this.#random.below(2) === 0) leader.node.transferLeader(rival.id)
    leader.pump()
    for (const replica of this.replicas) {
      if (replica === leader || !replica.up || this.#random.below(2) === 0) continue
      replica.crash()
      this.#restart(replica)
    }
    if (this.#random.below(2) === 0) rival.node.campaign()
    this.counts.coups++
  }

  #campaign(): void {
    const replica = this.#pick()
    // A campaign out of turn breaks the promise that leases rest on only by ending the own one.
    if (replica.up) replica.node.campaign()
  }

  #report(): void {
    const replica = this.#pick()
    if (!replica.up) return
    if (this.#random.below(4) > 0) replica.node.reportUnreachable(this.#pick().id)
    else if (replica.node.requestSnapshot() === 'ok') this.counts.requestedSnapshots++
  }

  #changeMembership(): void {
    const replica = this.#pickLeader()
    if (!this.#options.membershipChanges || replica === undefined) return
    const types = [ConfChangeType.AddNode, ConfChangeType.RemoveNode, ConfChangeType.AddLearnerNode]
    const count = this.#random.below(3)
    const changes = Array.from({ length: count }, () => ({
      type: types[this.#random.below(types.length)]!,
      nodeId: this.#pick().id,
    }))
    const transition = [
      ConfChangeTransition.Auto,
      ConfChangeTransition.Implicit,
      ConfChangeTransition.Explicit,
    ][count === 0 ? 0 : this.#random.below(3)]!
    const context = Buffer.from(`change ${this.#nextValue++}`)
    if (replica.node.proposeConfChange({ transition, changes, context }) === 'ok') {
      this.counts.changes++
    }
  }

  /** All faults end; the group must come to one state that holds a new proposal. */
  heal(): void {
    this.#loss = 0
    this.#cutLinks.clear()
    for (const replica of this.replicas) if (!replica.up) this.#restart(replica)
    const target = this.#checks.commitMax
    let proposedAt = 0
    for (let round = 0; round < 3000; round++) {
      this.#calmRound()
      const leader = this.#stableLeader()
      if (leader === undefined) continue
      // A leader that lost its office took the proposal with it.
      if (leader.node.lastIndex < proposedAt) proposedAt = 0
      if (proposedAt === 0 && leader.node.propose(Buffer.from('last')) === 'ok') {
        proposedAt = leader.node.lastIndex
      }
      if (proposedAt > 0 && this.#agreeOn(Math.max(target, proposedAt))) return
    }
    assert(false, `no progress after healing:\n${this.#describe()}\n`)
  }

  #calmRound(): void {
    for (const replica of this.replicas) {
      replica.node.tick()
      replica.pump()
      replica.sync(replica.unsyncedCount)
      this.#checks.onStep(replica, this.replicas)
    }
    this.#now += 500
    const due = this.#flights
    this.#flights = []
    for (const { message } of due) this.#arrive(message)
    for (const replica of this.replicas) this.#checks.onStep(replica, this.replicas)
  }

  #stableLeader(): Replica | undefined {
    const leaders = this.replicas.filter(({ node }) => node.role === StateRole.Leader)
    return leaders.find(({ node }) => node.committedToCurrentTerm())
  }

  /** Every member of the final membership applied the same. */
  #agreeOn(index: number): boolean {
    const leader = this.#stableLeader()
    if (leader === undefined || leader.applied < index) return false
    const { voters, votersOutgoing, learners } = leader.node.confState
    const state = leader.stateAt(leader.applied)
    return [...voters, ...votersOutgoing, ...learners].every((id) => {
      const replica = this.#at(id)
      return replica.applied === leader.applied && replica.stateAt(replica.applied) === state
    })
  }

  #describe(): string {
    return this.replicas.map(({ node }) => describeStatus(node.status())).join('\n')
  }
}
