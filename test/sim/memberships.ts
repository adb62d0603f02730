/**
 * A placement driver without a plan: orders whatever changes of membership come to its mind, and in
 * the end three voters for every region. It knows of a region what its leader has told.
 */
import { assert } from '../../src/base/assert.ts'
import type { Random } from '../../src/base/clock.ts'
import { PeerTag } from '../../src/peer/messages.ts'
import type { PdOrder } from '../../src/peer/on-order.ts'
import type { Peer } from '../../src/peer/peer.ts'
import { isPending } from '../../src/peer/report.ts'
import { ChangeType, isJointRegion, type PeerChange } from '../../src/region/change-peers.ts'
import {
  type Peer as PeerMeta,
  PeerRole,
  peerById,
  peerOnStore,
  type Region,
  type RegionEpoch,
} from '../../src/region/region.ts'
import type { World } from './world.ts'

const EVERY_MS_MAX = 700
const VOTERS = 3

export class Memberships {
  readonly #world: World
  readonly #random: Random
  /** Latest reports, by region. */
  readonly #known = new Map<number, Region>()
  #peerIdNext = 1000
  #stopped = false
  readonly counts: Record<string, number> = {
    learnersAdded: 0,
    votersAdded: 0,
    promoted: 0,
    demoted: 0,
    removed: 0,
    jointsEntered: 0,
    jointsLeft: 0,
    handovers: 0,
    toldRemoved: 0,
  }

  constructor(world: World, random: Random) {
    this.#world = world
    this.#random = random
    for (const region of world.regions) this.#known.set(region.id, region)
  }

  start(): void {
    this.#world.queue.after(this.#random.below(EVERY_MS_MAX), () => {
      if (this.#stopped) return
      this.#hear()
      this.#orderSomething()
      if (this.#random.below(10) === 0) this.#tellRemoved()
      this.start()
    })
  }

  stop(): void {
    this.#stopped = true
  }

  /** As region heartbeats do. */
  #hear(): void {
    for (const { id } of this.#world.regions) {
      const region = this.#world.leader(id)?.region
      const known = this.#known.get(id)!
      if (region !== undefined && region.epoch.confVer > known.epoch.confVer) {
        this.#known.set(id, region)
      }
    }
  }

  /** Replicas that heard no leader for long ask, and get this answer. */
  #tellRemoved(): void {
    for (const { life, peers } of this.#world.stores) {
      if (life === undefined || life.failed !== undefined) continue
      for (const peer of peers) {
        const known = this.#known.get(peer.id)!
        if (peerById(known, peer.self.id) !== undefined) continue
        this.counts.toldRemoved!++
        tellRemoved(this.#world, peer, known.epoch)
      }
    }
  }

  #orderSomething(): void {
    const { regions } = this.#world
    const leader = this.#world.leader(regions[this.#random.below(regions.length)]!.id)
    if (leader === undefined) return
    const { region, self } = leader
    const others = region.peers.filter(({ id }) => id !== self.id)
    if (isJointRegion(region)) {
      this.#change(leader, 'jointsLeft', [])
      return
    }
    const dice = this.#random.below(100)
    const one = this.#oneOf(others)
    const free = this.#freeStore(region)
    if (dice < 30 && free !== undefined) {
      this.#change(leader, 'learnersAdded', [this.#adds(ChangeType.AddLearner, free)])
    } else if (dice < 38 && free !== undefined) {
      this.#change(leader, 'votersAdded', [this.#adds(ChangeType.AddVoter, free)])
    } else if (one === undefined) {
      return
    } else if (dice < 55 && one.role === PeerRole.Learner) {
      this.#change(leader, 'promoted', [changeOf(ChangeType.AddVoter, one)])
    } else if (dice < 60 && one.role === PeerRole.Voter) {
      this.#change(leader, 'demoted', [changeOf(ChangeType.AddLearner, one)])
    } else if (dice < 80 && region.peers.length > 2) {
      this.#change(leader, 'removed', [changeOf(ChangeType.Remove, one)])
    } else if (dice < 90) {
      this.#swap(leader, one, free)
    } else if (one.role === PeerRole.Voter) {
      this.counts.handovers!++
      sendOrder(this.#world, leader, { changes: undefined, transferTo: [one] })
    }
  }

  /** One goes and another comes, at once. */
  #swap(leader: Peer, one: PeerMeta, free: number | undefined): void {
    const learner = leader.region.peers.find(({ role }) => role === PeerRole.Learner)
    if (one.role !== PeerRole.Voter) return
    const demotes = changeOf(ChangeType.AddLearner, one)
    if (learner !== undefined) {
      this.#change(leader, 'jointsEntered', [demotes, changeOf(ChangeType.AddVoter, learner)])
    } else if (free !== undefined) {
      this.#change(leader, 'jointsEntered', [demotes, this.#adds(ChangeType.AddVoter, free)])
    }
  }

  /** Brings every region to three voters and nobody else, all of them with all of the data. */
  async finish(msMax: number): Promise<void> {
    const world = this.#world
    const end = world.queue.nowMs + msMax
    while (!world.regions.every(({ id }) => this.#isDone(id))) {
      assert(world.queue.nowMs < end, `memberships are done within ${msMax} ms`)
      this.#hear()
      for (const { id } of world.regions) this.#finishOne(world.leader(id))
      await world.run(200)
    }
  }

  /** Who is not needed any more hears of it, at the latest, from PD: also who a late message called. */
  async dismiss(msMax: number): Promise<void> {
    const world = this.#world
    await world.until(() => {
      this.#hear()
      this.#tellRemoved()
      return world.stores.every(({ peers }) => {
        return peers.every(({ id, self }) => peerById(this.#known.get(id)!, self.id) !== undefined)
      })
    }, msMax)
  }

  #isDone(regionId: number): boolean {
    const leader = this.#world.leader(regionId)
    if (leader === undefined || leader.changes.length > 0) return false
    const { peers } = leader.region
    const voters = peers.filter(({ role }) => role === PeerRole.Voter).length
    return voters === VOTERS && peers.length === VOTERS
  }

  #finishOne(leader: Peer | undefined): void {
    if (leader === undefined) return
    const { region, self } = leader
    if (isJointRegion(region)) {
      this.#change(leader, 'jointsLeft', [])
      return
    }
    const voters = region.peers.filter(({ role }) => role === PeerRole.Voter)
    const learner = region.peers.find(({ role }) => role === PeerRole.Learner)
    const free = this.#freeStore(region)
    if (voters.length > VOTERS) {
      const last = voters.findLast(({ id }) => id !== self.id)!
      this.#change(leader, 'removed', [changeOf(ChangeType.Remove, last)])
    } else if (learner !== undefined) {
      if (voters.length === VOTERS) {
        this.#change(leader, 'removed', [changeOf(ChangeType.Remove, learner)])
      } else if (!isPending(leader, learner)) {
        this.#change(leader, 'promoted', [changeOf(ChangeType.AddVoter, learner)])
      }
    } else if (voters.length < VOTERS && free !== undefined) {
      this.#change(leader, 'learnersAdded', [this.#adds(ChangeType.AddLearner, free)])
    }
  }

  #change(leader: Peer, name: string, changes: PeerChange[]): void {
    this.counts[name]!++
    sendOrder(this.#world, leader, { changes, transferTo: [] })
  }

  #adds(type: ChangeType, storeId: number): PeerChange {
    return { type, storeId, peerId: this.#peerIdNext++ }
  }

  #freeStore(region: Region): number | undefined {
    const free = this.#world.stores.filter(({ id }) => peerOnStore(region, id) === undefined)
    return this.#oneOf(free)?.id
  }

  #oneOf<T>(items: readonly T[]): T | undefined {
    return items[this.#random.below(Math.max(1, items.length))]
  }
}

/** As it arrives from the placement driver. */
export function sendOrder(
  world: World,
  { id, self, region }: Peer,
  order: Pick<PdOrder, 'changes' | 'transferTo'>,
): void {
  const { life } = world.store(self.storeId)
  const full = { epoch: region.epoch, targetId: self.id, ...order }
  life?.router.sendForced(id, { tag: PeerTag.PdOrder, order: full })
}

/** What a store makes of PD's answer: the region has this epoch, and the replica is not in it. */
export function tellRemoved(world: World, { id, self }: Peer, epoch: RegionEpoch): void {
  const signal = { tag: PeerTag.Removed, peerId: self.id, epoch }
  world.store(self.storeId).life?.router.sendForced(id, signal)
}

export function changeOf(type: ChangeType, { id, storeId }: PeerMeta): PeerChange {
  return { type, peerId: id, storeId }
}
