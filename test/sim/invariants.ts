/** What must hold in the world after every step, whatever was done to it. */
import type { ApplyTask } from '../../src/apply/port.ts'
import { assert } from '../../src/base/assert.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import type { Peer } from '../../src/peer/peer.ts'
import type { SimStore } from './sim-store.ts'

interface Committed {
  readonly term: number
  readonly sum: number
}

/** It would answer a read now, asking nobody. */
export function holdsLease(peer: Peer): boolean {
  if (!peer.isLeader || peer.appliedTerm !== peer.raft.term) return false
  return peer.lease.validAt(peer.ports.clock.monotonicMs())
}

export class Invariants {
  /** By region: what each index holds, once anyone knew it committed. */
  readonly committed = new Map<number, Map<number, Committed>>()
  /** Highest committed index by region. */
  readonly #highest = new Map<number, number>()
  readonly #leaders = new Map<string, number>()
  readonly #stores: readonly SimStore[]
  readonly counts = { leaders: 0, commits: 0, leases: 0 }

  constructor(stores: readonly SimStore[]) {
    this.#stores = stores
  }

  onCommitted(store: SimStore, { regionId, entries }: ApplyTask): void {
    let known = this.committed.get(regionId)
    if (known === undefined) {
      known = new Map()
      this.committed.set(regionId, known)
    }
    for (const { index, term, data } of entries) {
      const sum = crc32c(Buffer.from(data.buffer, data.byteOffset, data.length))
      const before = known.get(index)
      if (before === undefined) {
        this.#mustBeDurable(regionId, index, term)
        known.set(index, { term, sum })
        this.#highest.set(regionId, Math.max(index, this.#highest.get(regionId) ?? 0))
        this.counts.commits++
        continue
      }
      assert(
        before.term === term && before.sum === sum,
        `region ${regionId}: entry ${index} of store ${store.id} differs from another's`,
      )
    }
  }

  /** Of those that are up, and so can be asked, a quorum less those that are not has it on disk. */
  #mustBeDurable(regionId: number, index: number, term: number): void {
    let have = 0
    for (const store of this.#stores) {
      const raft = store.peer(regionId)?.raft
      if (raft === undefined) have++
      else if (raft.persistedIndex >= index && raft.termAt(index) === term) have++
    }
    assert(
      have * 2 > this.#stores.length,
      `region ${regionId}: entry ${index} is committed with ${have} durable copies`,
    )
  }

  /** Everything that may be checked at any moment. */
  check(): void {
    const leases = new Map<number, number>()
    for (const store of this.#stores) {
      if (store.life === undefined || store.life.failed !== undefined) continue
      for (const peer of store.life.router.all()) {
        this.#checkPeer(peer)
        if (!holdsLease(peer)) continue
        this.counts.leases++
        const other = leases.get(peer.id)
        assert(
          other === undefined,
          `region ${peer.id}: stores ${other} and ${store.id} both hold a lease`,
        )
        leases.set(peer.id, store.id)
      }
    }
  }

  #checkPeer(peer: Peer): void {
    const { raft } = peer
    assert(
      peer.appliedIndex <= raft.commitIndex && raft.commitIndex <= raft.lastIndex,
      `region ${peer.id}: applied ${peer.appliedIndex}, committed ${raft.commitIndex}, last ${raft.lastIndex}`,
    )
    if (!peer.isLeader) return
    const office = `${peer.id}/${raft.term}`
    const holder = this.#leaders.get(office)
    if (holder === undefined) {
      this.counts.leaders++
      this.#leaders.set(office, peer.self.id)
    }
    assert(
      holder === undefined || holder === peer.self.id,
      `region ${peer.id} has two leaders in term ${raft.term}: peers ${holder} and ${peer.self.id}`,
    )
  }

  /** After a restart: what the engine holds was committed, and the log still has the rest. */
  checkRestart(store: SimStore): void {
    for (const peer of store.peers) {
      const highest = this.#highest.get(peer.id) ?? 5
      assert(
        peer.appliedIndex <= highest,
        `region ${peer.id}: store ${store.id} applied ${peer.appliedIndex}, committed is ${highest}`,
      )
    }
  }
}
