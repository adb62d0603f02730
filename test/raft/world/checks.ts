/** What must hold in every step of a random world, whatever happens in it. */
import { assert } from '../../../src/base/assert.ts'
import { type Message, MessageType, StateRole } from '../../../src/raft/types.ts'
import type { MemoryStorage } from '../script/storage.ts'
import type { Replica } from './replica.ts'

interface Committed {
  readonly term: number
  /** Term of the node that was first seen to know it: it was committed then or earlier. */
  readonly knownIn: number
}

export class Checks {
  readonly #leaders = new Map<number, number>()
  readonly #votes = new Map<string, number>()
  readonly #committed = new Map<number, Committed>()
  readonly #states = new Map<number, string>()
  readonly #knownCommit = new Map<number, number>()
  readonly #durable = new Map<number, { term: number; commit: number }>()
  /** Highest index that any node knows to be committed: what a client may have been told. */
  commitMax = 0

  /** After anything happened to this node. */
  onStep(replica: Replica, all: readonly Replica[]): void {
    if (!replica.up) return
    const { node } = replica
    if (node.role === StateRole.Leader) this.#oneLeaderPerTerm(replica)
    const known = this.#knownCommit.get(replica.id) ?? 0
    if (node.commitIndex > known) this.#onCommit(replica, known, all)
    this.#knownCommit.set(replica.id, node.commitIndex)
    replica.memberships = [node.confState]
    assert(node.appliedIndex <= node.commitIndex, 'applied ≤ commit')
    assert(node.appliedIndex <= replica.disk.lastIndex(), 'only what is durable is applied')
  }

  onRestart(replica: Replica): void {
    this.#knownCommit.delete(replica.id)
    const { node } = replica
    const before = this.#durable.get(replica.id)
    if (before === undefined) return
    assert(node.term >= before.term, 'the term does not fall over a restart')
    assert(node.commitIndex >= before.commit, 'the commit index does not fall over a restart')
  }

  #oneLeaderPerTerm({ id, node, storage }: Replica): void {
    const leader = this.#leaders.get(node.term)
    assert(leader === undefined || leader === id, `term ${node.term} has leaders ${leader}, ${id}`)
    if (leader !== undefined) return
    this.#leaders.set(node.term, id)
    for (const [index, { term, knownIn }] of this.#committed) {
      // Who learns late of its election may lack what later leaders committed.
      if (index < storage.firstIndex() - 1 || knownIn >= node.term) continue
      assert(node.termAt(index) === term, `leader ${id} of term ${node.term} lacks entry ${index}`)
    }
  }

  #onCommit(replica: Replica, known: number, all: readonly Replica[]): void {
    const { node, storage } = replica
    const from = Math.max(known + 1, storage.firstIndex())
    for (let index = from; index <= node.commitIndex; index++) {
      const term = node.termAt(index)
      if (typeof term !== 'number') continue
      const before = this.#committed.get(index)
      assert(before === undefined || before.term === term, `entry ${index} committed twice`)
      if (before === undefined) this.#committed.set(index, { term, knownIn: node.term })
    }
    if (node.commitIndex <= this.commitMax) return
    this.commitMax = node.commitIndex
    this.#isDurableOnQuorum(replica, all)
  }

  /** By a membership that the committing leader went by in this step. */
  #isDurableOnQuorum({ node, memberships }: Replica, all: readonly Replica[]): void {
    const index = node.commitIndex
    const term = node.termAt(index)
    const holders = all
      .filter(({ disk }) => disk.firstIndex() > index || disk.term(index) === term)
      .map(({ id }) => id)
    const hasQuorum = (half: readonly number[]): boolean =>
      half.length === 0 || half.filter((id) => holders.includes(id)).length * 2 > half.length
    assert(
      memberships.some((of) => hasQuorum(of.voters) && hasQuorum(of.votersOutgoing)),
      `entry ${index} is committed but durable on ${holders} only`,
    )
  }

  onMessage(message: Message): void {
    if (message.type !== MessageType.RequestVoteResponse || message.reject) return
    this.#voteOnce(message.from, message.term, message.to)
  }

  #voteOnce(voter: number, term: number, candidate: number): void {
    const key = `${voter}@${term}`
    const before = this.#votes.get(key)
    assert(
      before === undefined || before === candidate,
      `${voter} votes for ${before} and ${candidate} in term ${term}`,
    )
    this.#votes.set(key, candidate)
  }

  onDurable({ id, disk }: Replica): void {
    const { term, vote, commit } = disk.hardState
    const before = this.#durable.get(id)
    if (before !== undefined) {
      assert(term >= before.term && commit >= before.commit, 'the hard state never goes back')
    }
    if (vote !== 0) this.#voteOnce(id, term, vote)
    assert(commit <= disk.lastIndex(), 'the durable commit index is within the durable log')
    this.#durable.set(id, { term, commit })
  }

  onApplied(index: number, term: number, state: number): void {
    const now = `${term}:${state}`
    const before = this.#states.get(index)
    assert(before === undefined || before === now, `states differ at ${index}: ${before}, ${now}`)
    this.#states.set(index, now)
  }

  /** Where two logs agree on a term, they agree on everything before. */
  logsMatch(all: readonly Replica[]): void {
    for (const a of all) for (const b of all) if (a.id < b.id) pairMatches(a.storage, b.storage)
  }
}

function pairMatches(a: MemoryStorage, b: MemoryStorage): void {
  const low = Math.max(a.firstIndex(), b.firstIndex())
  let agreed = false
  for (let index = Math.min(a.lastIndex(), b.lastIndex()); index >= low; index--) {
    const same = a.term(index) === b.term(index)
    assert(same || !agreed, `logs agree behind entry ${index} but not on it`)
    agreed = same
  }
}
