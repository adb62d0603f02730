/** What must hold in the world after every step, whatever was done to it. */
import { DEFAULT_APPLY_LIMITS } from '../../src/apply/limits.ts'
import type { ApplyResult, ApplyTask } from '../../src/apply/port.ts'
import { assert } from '../../src/base/assert.ts'
import { asBuffer } from '../../src/base/bytes.ts'
import { crc32c } from '../../src/base/crc32c.ts'
import { ColumnFamily } from '../../src/engine/port.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { MessageType } from '../../src/raft/types.ts'
import { applyStateKey, dataEndKey, dataKey, regionStateKey } from '../../src/region/keys.ts'
import { type Peer as PeerMeta, PeerRole, type Region } from '../../src/region/region.ts'
import {
  decodeApplyState,
  decodeRegionState,
  type RegionState,
  RegionStateKind,
} from '../../src/region/state.ts'
import { SNAPSHOT_FAMILIES } from '../../src/snap/builder.ts'
import { decodeMeta, filePath, type SnapshotMeta, snapshotName } from '../../src/snap/format.ts'
import type { SnapRequest } from '../../src/store/snap-tasks.ts'
import type { RaftEnvelope } from '../../src/transport/port.ts'
import { SNAP_DIR } from './sim-life.ts'
import type { SimStore } from './sim-store.ts'

const { Voter, IncomingVoter, DemotingVoter } = PeerRole

interface Committed {
  readonly term: number
  readonly sum: number
}

/** It would answer a read now, asking nobody. */
export function holdsLease(peer: Peer): boolean {
  if (!peer.isLeader || peer.appliedTerm !== peer.raft.term) return false
  const { clock, standstill } = peer.ports
  const nowMs = clock.monotonicMs()
  // The next round begins with a look at that.
  if (standstill.gainedMs(nowMs, clock.wallMs()) > 0) return false
  return peer.lease.validAt(nowMs)
}

export class Invariants {
  /** By region: what each index holds, once anyone knew it committed. */
  readonly committed = new Map<number, Map<number, Committed>>()
  /** Highest committed index by region. */
  readonly #highest = new Map<number, number>()
  readonly #leaders = new Map<string, number>()
  /** By region and conf_ver. */
  readonly #memberships = new Map<number, Map<number, Region>>()
  /** By region: checksum of the data that applying up to an index makes. */
  readonly #data = new Map<number, Map<number, number>>()
  /** By region: up to where a restart found data that its apply state did not count yet. */
  readonly #replayedTo = new Map<number, number>()
  /** By peer, region and term: who got the vote. */
  readonly #votes = new Map<string, number>()
  /** By peer and region: highest term that others heard of. */
  readonly #terms = new Map<string, number>()
  /** By store and transfer: what is being received. */
  readonly #transfers = new Map<string, SnapshotMeta>()
  readonly #stores: readonly SimStore[]
  readonly counts = {
    leaders: 0,
    commits: 0,
    leases: 0,
    compactions: 0,
    installs: 0,
    applyings: 0,
    resumedInstalls: 0,
    replays: 0,
  }

  constructor(stores: readonly SimStore[]) {
    this.#stores = stores
  }

  onCommitted(store: SimStore, { regionId, entries }: ApplyTask): void {
    // A change that came into force in this very round has not been looked at yet.
    this.#remember(store.peer(regionId)!.region)
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

  /**
   * Of those that are up, and so can be asked, a quorum less those that are not has it on disk, in
   * one of the memberships that the region has had.
   */
  #mustBeDurable(regionId: number, index: number, term: number): void {
    const has = ({ id, storeId }: PeerMeta): boolean => {
      const peer = this.#stores[storeId - 1]?.peer(regionId)
      if (peer === undefined || peer.self.id !== id) return true
      return peer.raft.persistedIndex >= index && hasTerm(peer.raft.termAt(index), term)
    }
    const memberships = [...this.#memberships.get(regionId)!.values()]
    assert(
      memberships.some((region) => isQuorum(region, has)),
      `region ${regionId}: entry ${index} is committed without a quorum of durable copies`,
    )
  }

  /** What leaves a store is a promise: one vote a term, and terms are not forgotten. */
  onSend({ regionId, from, to, message }: RaftEnvelope): void {
    const { type, term, reject } = message
    if (type === MessageType.RequestPreVote || type === MessageType.RequestPreVoteResponse) return
    const place = `${from.id}/${regionId}`
    this.#terms.set(place, Math.max(term, this.#terms.get(place) ?? 0))
    const granted = type === MessageType.RequestVoteResponse && !reject
    if (type !== MessageType.RequestVote && !granted) return
    const candidate = granted ? to.id : from.id
    const vote = this.#votes.get(`${place}/${term}`)
    assert(
      vote === undefined || vote === candidate,
      `region ${regionId}: peer ${from.id} votes for ${candidate} in term ${term}, and did for ${vote}`,
    )
    this.#votes.set(`${place}/${term}`, candidate)
  }

  /** Replicas that applied the same entries hold the same data, and a region that installs applies none. */
  onWritten(store: SimStore, results: readonly ApplyResult[]): void {
    for (const { regionId, appliedIndex } of results) {
      const { kind, region } = stateOf(store, regionId)
      // The last thing that a replica applies may be its own removal.
      const applies = kind === RegionStateKind.Normal || kind === RegionStateKind.Tombstone
      assert(applies, `region ${regionId} of store ${store.id} applies while it installs`)
      this.#checkData(store, region, appliedIndex)
    }
  }

  /** What goes was applied, and that is on disk. */
  onCompact(store: SimStore, regionId: number, index: number): void {
    this.counts.compactions++
    const stored = store.engine.getSynced(ColumnFamily.Raft, applyStateKey(regionId))
    assert(stored !== undefined, `region ${regionId} has an apply state`)
    const { appliedIndex, truncatedIndex } = decodeApplyState(stored)
    assert(
      appliedIndex >= index && truncatedIndex >= index,
      `region ${regionId}: store ${store.id} gives up ${index}, on disk applied ${appliedIndex}, truncated ${truncatedIndex}`,
    )
  }

  onRead(store: SimStore, regionId: number): void {
    this.#mustBeNormal(store, regionId)
    assert(
      store.peer(regionId)?.install === undefined,
      `region ${regionId} reads while it installs`,
    )
  }

  onSnapTask(store: SimStore, request: SnapRequest): void {
    if (request.op === 'begin') {
      this.#transfers.set(`${store.id}/${request.transfer}`, decodeMeta(asBuffer(request.meta)))
    } else if (request.op === 'finish') {
      this.#checkFiles(store, this.#transfers.get(`${store.id}/${request.transfer}`)!)
    } else if (request.op === 'record') {
      const { region } = decodeMeta(asBuffer(request.meta))
      const stored = store.engine.getSynced(ColumnFamily.Raft, regionStateKey(region.id))!
      const { kind } = decodeRegionState(stored)
      assert(kind === RegionStateKind.Applying, `region ${region.id} is recorded durably`)
    } else if (request.op === 'complete') {
      this.counts.installs++
      const { region, index } = decodeMeta(asBuffer(request.meta))
      this.#mustBeNormal(store, region.id)
      this.#checkData(store, region, index)
    }
  }

  #checkFiles(store: SimStore, meta: SnapshotMeta): void {
    const name = snapshotName('rev', meta)
    for (const file of meta.files) {
      const bytes = store.fs.bytes(filePath(SNAP_DIR, name, file))
      assert(
        bytes.length === file.bytes && crc32c(bytes) === file.crc,
        `region ${meta.region.id}: store ${store.id} took a snapshot with a damaged file`,
      )
    }
  }

  #mustBeNormal(store: SimStore, regionId: number): Region {
    const { kind, region } = stateOf(store, regionId)
    assert(
      kind === RegionStateKind.Normal,
      `region ${regionId} of store ${store.id} is used while its data is being replaced`,
    )
    return region
  }

  /**
   * Entries below are applied again over data that holds them already: on the way it is of no one
   * index, nor is a snapshot of it. Both are at the end.
   */
  #isBeingReplayed(region: Region, index: number): boolean {
    return index < (this.#replayedTo.get(region.id) ?? 0)
  }

  /** The data on disk may be further than the apply state, by so much. */
  #findReplay(store: SimStore, region: Region, applied: number): void {
    const known = this.#data.get(region.id)
    const sum = dataSum(store, region)
    for (let index = applied; index < applied + DEFAULT_APPLY_LIMITS.stateLagOpsMax; index++) {
      if (known?.get(index) !== sum) continue
      if (index > applied) this.counts.replays++
      this.#replayedTo.set(region.id, Math.max(index, this.#replayedTo.get(region.id) ?? 0))
      return
    }
  }

  #checkData(store: SimStore, region: Region, index: number): void {
    if (this.#isBeingReplayed(region, index)) return
    let known = this.#data.get(region.id)
    if (known === undefined) {
      known = new Map()
      this.#data.set(region.id, known)
    }
    const sum = dataSum(store, region)
    const before = known.get(index)
    known.set(index, sum)
    assert(
      before === undefined || before === sum,
      `region ${region.id}: store ${store.id} holds other data at ${index} than another did`,
    )
  }

  /** Everything that may be checked at any moment. */
  check(): void {
    const leases = new Map<number, number>()
    for (const store of this.#stores) {
      if (store.life === undefined || store.life.failed !== undefined) continue
      for (const peer of store.life.router.all()) {
        this.#checkPeer(peer)
        if (peer.install !== undefined) {
          this.counts.applyings++
          continue
        }
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
    const { raft, region } = peer
    this.#remember(region)
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

  /** There is one membership of each conf_ver. */
  #remember(region: Region): void {
    if (region.peers.length === 0) return
    let known = this.#memberships.get(region.id)
    if (known === undefined) {
      known = new Map()
      this.#memberships.set(region.id, known)
    }
    const { confVer } = region.epoch
    const before = known.get(confVer)
    if (before === undefined) known.set(confVer, region)
    else if (before !== region) {
      const [one, other] = [before, region].map(({ peers }) => JSON.stringify(peers))
      assert(one === other, `region ${region.id} at conf_ver ${confVer}: ${one}, or ${other}`)
      known.set(confVer, region)
    }
  }

  /** After a restart: what the engine holds was committed, and the log still has the rest. */
  checkRestart(store: SimStore): void {
    for (const peer of store.peers) {
      const highest = this.#highest.get(peer.id) ?? 5
      assert(
        peer.appliedIndex <= highest,
        `region ${peer.id}: store ${store.id} applied ${peer.appliedIndex}, committed is ${highest}`,
      )
      const term = this.#terms.get(`${peer.self.id}/${peer.id}`) ?? 0
      assert(
        peer.raft.term >= term,
        `region ${peer.id}: store ${store.id} forgot term ${term}, and is in ${peer.raft.term}`,
      )
      if (peer.install !== undefined) {
        this.counts.resumedInstalls++
        continue
      }
      this.#findReplay(store, peer.region, peer.appliedIndex)
      this.#checkData(store, peer.region, peer.appliedIndex)
    }
  }
}

function stateOf(store: SimStore, regionId: number): RegionState {
  const stored = store.engine.get(ColumnFamily.Raft, regionStateKey(regionId))
  assert(stored !== undefined, `region ${regionId} has a state`)
  return decodeRegionState(stored)
}

/** More than half of each half that votes. */
function isQuorum({ peers }: Region, has: (peer: PeerMeta) => boolean): boolean {
  const incoming = peers.filter(({ role }) => role === Voter || role === IncomingVoter)
  const outgoing = peers.filter(({ role }) => role === Voter || role === DemotingVoter)
  return [incoming, outgoing].every((half) => half.filter(has).length * 2 > half.length)
}

function hasTerm(found: number | string, term: number): boolean {
  return found === 'compacted' || found === term
}

function dataSum({ engine }: SimStore, { startKey, endKey }: Region): number {
  const all = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: false }
  let sum = 0
  for (const cf of SNAPSHOT_FAMILIES) {
    const range = { start: dataKey(startKey), end: dataEndKey(endKey) }
    for (const part of engine.scanSync(cf, { ...range, ...all }).rows) sum = crc32c(part, sum)
  }
  return sum
}
