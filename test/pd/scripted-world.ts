/**
 * A whole cluster around a PdCore, in memory and in virtual time: stores that only count, and regions
 * that do what their orders say, as raft would. Every change of membership is checked when it happens.
 *
 * INVARIANTS, checked by `change`
 * - Never two peers of a region on one store.
 * - A change never takes away the quorum of healthy voters that was there before.
 * - The number of voters never falls below what it should be, nor further when it is below.
 */
import { expect } from 'vitest'
import { type Random, seededRandom } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/logger.ts'
import { PdCore } from '../../src/pd/core.ts'
import { ChangePeerType, type RegionOrder } from '../../src/pd/port.ts'
import type { ScheduleConfig } from '../../src/pd/schedule-config.ts'
import { MemoryPdStorage } from '../../src/pd/storage.ts'
import { type Peer, PeerRole, type Region, sameEpoch } from '../../src/region/region.ts'
import { heartbeat, ManualClock, storeMeta, storeStats } from './fixtures.ts'

export interface ScriptedStore {
  readonly id: number
  alive: boolean
  /** Its data is lost. */
  destroyed: boolean
  host: string
}

export class ScriptedRegion {
  region: Region
  term = 6
  leaderStore: number
  /** Ids of peers that have the log. */
  readonly ready = new Set<number>()
  constructor(region: Region) {
    this.region = region
    this.leaderStore = region.peers[0]!.storeId
    for (const peer of region.peers) this.ready.add(peer.id)
  }
}

export interface WorldOptions {
  readonly stores: number
  readonly regions: number
  readonly replicas: number
  readonly schedule?: Partial<ScheduleConfig>
  readonly seed?: number
  /** Share in percent of orders that get lost. */
  readonly lostOrders?: number
}

const quorum = (voters: number): number => Math.floor(voters / 2) + 1

export class ScriptedWorld {
  readonly clock = new ManualClock()
  readonly random: Random
  readonly stores = new Map<number, ScriptedStore>()
  readonly regions = new Map<number, ScriptedRegion>()
  readonly orders: RegionOrder[] = []
  core!: PdCore
  /** Region heartbeats until a new peer has the log. */
  catchUpBeats = 2
  /** No administrator is at work, so replicas never become fewer than they should be. */
  strict = true
  readonly #options: WorldOptions
  readonly #disk = new Map<string, Buffer>()
  readonly #catchingUp = new Map<number, number>()
  /** What an order broke; thrown by the round in which it was carried out. */
  #failure: unknown

  private constructor(options: WorldOptions) {
    this.#options = options
    this.random = seededRandom(options.seed ?? 1)
  }

  static async open(options: WorldOptions): Promise<ScriptedWorld> {
    const world = new ScriptedWorld(options)
    await world.startPd()
    const last = await world.core.allocId(options.stores)
    for (let i = 0; i < options.stores; i++) await world.register(last - options.stores + 1 + i)
    for (const record of world.core.scanRegions(Buffer.alloc(0), Buffer.alloc(0), 0)) {
      world.regions.set(record.region.id, new ScriptedRegion(record.region))
    }
    await world.run(1)
    return world
  }

  /** Also starts it again: nothing survives but what is on disk. */
  async startPd(): Promise<void> {
    const { stores, regions, replicas, schedule } = this.#options
    this.core = await PdCore.open({
      storage: new MemoryPdStorage(this.#disk),
      clock: this.clock,
      random: seededRandom(5),
      logger: silentLogger,
      plan: { stores, regions, replicas },
      schedule,
    })
  }

  async register(id: number, host = `h${id}`, address = `127.0.0.1:${20_000 + id}`): Promise<void> {
    await this.core.putStore(storeMeta(id, { labels: { host }, address }))
    this.stores.set(id, { id, alive: true, destroyed: false, host })
  }

  async join(host?: string): Promise<number> {
    const id = await this.core.allocId(1)
    await this.register(id, host)
    return id
  }

  /** Ten seconds a round: heartbeats, a tick, and whatever was ordered. */
  async run(rounds: number): Promise<void> {
    for (let i = 0; i < rounds; i++) {
      this.clock.now += 10_000
      for (const store of this.stores.values()) if (store.alive) this.#storeBeat(store)
      for (const region of this.regions.values()) this.beat(region)
      this.core.tick()
      // What PD writes behind, and the ids that it fetches.
      for (let turn = 0; turn < 10; turn++) await Promise.resolve()
      this.core.tick()
      for (let turn = 0; turn < 10; turn++) await Promise.resolve()
      if (this.#failure !== undefined) throw this.#failure
    }
  }

  async until(what: string, condition: () => boolean, roundsMax = 400): Promise<void> {
    for (let i = 0; i < roundsMax && !condition(); i++) await this.run(1)
    expect(condition(), what).toBe(true)
  }

  storesOf(region: ScriptedRegion): number[] {
    return region.region.peers.map((peer) => peer.storeId).sort((a, b) => a - b)
  }

  regionsOn(storeId: number): ScriptedRegion[] {
    return [...this.regions.values()].filter((each) => this.storesOf(each).includes(storeId))
  }

  /** Every region has its replicas, all voters, on stores that are alive and stay. */
  get whole(): boolean {
    return [...this.regions.values()].every(({ region, ready }) => {
      const good = region.peers.every(({ id, storeId, role }) => {
        const record = this.core.store(storeId)
        const stays = record?.meta.state === 0 && this.stores.get(storeId)?.alive === true
        return stays && role === PeerRole.Voter && ready.has(id)
      })
      return good && region.peers.length === this.#options.replicas
    })
  }

  beat(each: ScriptedRegion): void {
    if (!this.#elect(each)) return
    this.#catchUp(each)
    const { region, term, leaderStore } = each
    const leader = region.peers.findIndex((peer) => peer.storeId === leaderStore)
    const others = region.peers.filter((peer) => peer.storeId !== leaderStore)
    this.core.attachStore(leaderStore, this.#sink)
    this.core.regionHeartbeat({
      ...heartbeat(region, term, leader),
      pendingPeers: others.filter((peer) => !each.ready.has(peer.id)),
      downPeers: others
        .filter((peer) => !this.#isUp(peer))
        .map((peer) => ({ peer, downSeconds: 60 })),
    })
  }

  /** What a leader does with an order, if it still fits. */
  carryOut(order: RegionOrder): void {
    const each = this.regions.get(order.regionId)
    const fits = each && sameEpoch(each.region.epoch, order.regionEpoch!)
    if (!fits || order.targetPeer?.storeId !== each.leaderStore || !this.#canCommit(each)) return
    if (order.transferLeader !== undefined) this.#transfer(each, order.transferLeader)
    if (order.changePeer !== undefined) this.#change(each, order)
    this.beat(each)
  }

  readonly #sink = (order: RegionOrder): void => {
    this.orders.push(order)
    if (this.random.below(100) < (this.#options.lostOrders ?? 0)) return
    queueMicrotask(() => {
      try {
        this.carryOut(order)
      } catch (error) {
        this.#failure ??= error
      }
    })
  }

  #storeBeat(store: ScriptedStore): void {
    const meta = this.core.store(store.id)?.meta
    if (meta?.state === 2 || meta?.physicallyDestroyed) return
    this.core.storeHeartbeat(storeStats(store.id))
  }

  #isUp(peer: Peer): boolean {
    const store = this.stores.get(peer.storeId)
    return store?.alive === true && !store.destroyed
  }

  #healthyVoters(each: ScriptedRegion, peers: readonly Peer[]): number {
    return peers.filter(
      (peer) => peer.role === PeerRole.Voter && this.#isUp(peer) && each.ready.has(peer.id),
    ).length
  }

  #hasQuorum(each: ScriptedRegion, peers: readonly Peer[]): boolean {
    const voters = peers.filter((peer) => peer.role === PeerRole.Voter).length
    return this.#healthyVoters(each, peers) >= quorum(voters)
  }

  #canCommit(each: ScriptedRegion): boolean {
    return this.#hasQuorum(each, each.region.peers)
  }

  /** False while the region has no leader. */
  #elect(each: ScriptedRegion): boolean {
    if (!this.#canCommit(each)) return false
    const able = each.region.peers.filter(
      (peer) => peer.role === PeerRole.Voter && this.#isUp(peer) && each.ready.has(peer.id),
    )
    if (able.some((peer) => peer.storeId === each.leaderStore)) return true
    each.leaderStore = able[this.random.below(able.length)]!.storeId
    each.term++
    return true
  }

  #catchUp(each: ScriptedRegion): void {
    for (const peer of each.region.peers) {
      if (each.ready.has(peer.id) || !this.#isUp(peer)) continue
      const beats = (this.#catchingUp.get(peer.id) ?? 0) + 1
      this.#catchingUp.set(peer.id, beats)
      if (beats > this.catchUpBeats) each.ready.add(peer.id)
    }
  }

  #transfer(each: ScriptedRegion, to: Peer): void {
    if (!this.#isUp(to) || !each.ready.has(to.id)) return
    each.leaderStore = to.storeId
    each.term++
  }

  #change(each: ScriptedRegion, { changePeer }: RegionOrder): void {
    const { peer, changeType } = changePeer!
    const before = each.region.peers
    const others = before.filter((other) => other.id !== peer.id)
    if (changeType === ChangePeerType.RemoveNode) {
      if (peer.storeId === each.leaderStore) throw new Error('a leader was told to remove itself')
      if (others.length === before.length) return
      this.#put(each, others)
      return
    }
    const learner = changeType === ChangePeerType.AddLearnerNode
    const role = learner ? PeerRole.Learner : PeerRole.Voter
    this.#put(each, [...others, { ...peer, role }])
  }

  #put(each: ScriptedRegion, peers: readonly Peer[]): void {
    const { id, epoch, peers: before } = each.region
    const what = `region ${id}: ${JSON.stringify(before)} -> ${JSON.stringify(peers)}`
    expect(new Set(peers.map((peer) => peer.storeId)).size, what).toBe(peers.length)
    expect(this.#hasQuorum(each, peers), `quorum lost, ${what}`).toBe(true)
    const voters = (of: readonly Peer[]) => of.filter((peer) => peer.role === PeerRole.Voter).length
    const fewer = voters(peers) < voters(before)
    const enough = voters(peers) >= this.#options.replicas
    if (this.strict) expect(!fewer || enough, `too few voters, ${what}`).toBe(true)
    each.region = {
      ...each.region,
      peers,
      epoch: { confVer: epoch.confVer + 1, version: epoch.version },
    }
  }
}
