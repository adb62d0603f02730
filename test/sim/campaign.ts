/**
 * One seed's story: clients work while everything that can go wrong does; then the world heals, all
 * regions must work again, and what the clients saw must be explainable.
 */
import { assert } from '../../src/base/assert.ts'
import { type Random, seededRandom } from '../../src/base/clock.ts'
import { CAMPAIGN } from '../../src/peer/messages.ts'
import { Clients } from './clients.ts'
import { SNAP_DIR } from './sim-life.ts'
import type { SimStore } from './sim-store.ts'
import { World } from './world.ts'

export interface CampaignResult {
  /** How often each kind of thing happened. */
  readonly counts: Readonly<Record<string, number>>
}

const FAULTS_MS = 30_000
const HEAL_MS_MAX = 30_000
/** A sender whose receiver lost power waits two minutes for the last answer. */
const SETTLE_MS_MAX = 150_000
const ELECTION_MS = 1_000
/** Not removing: a file that cannot be removed stays until the next start, and that is meant. */
const FAILING = ['create', 'read', 'write', 'rename', 'sync-directory'] as const
/** Clocks run apart by at most this, in thousandths. */
const SKEW_PER_MILLE = 30

export async function runCampaign(seed: number): Promise<CampaignResult> {
  const random = seededRandom(seed * 7919 + 17)
  const skew = (): number => 1 + (random.below(SKEW_PER_MILLE + 1) - SKEW_PER_MILLE / 2) / 1000
  const world = await World.open({
    seed,
    stores: seed % 8 === 0 ? 5 : 3,
    regions: 4,
    clockRates: [skew(), skew(), skew(), skew(), skew()],
    config: {
      storeIoPoolSize: random.below(3),
      unpersistedReadiesMax: 1 + random.below(2),
      raftEntryMaxSize: 4096,
      raftMaxSizePerMsg: 1 << (6 + random.below(8)),
      raftMaxInflightMsgs: 1 + random.below(16),
      raftLogCacheBytes: random.below(2) * 4096,
      raftLogSegmentBytes: (4 << random.below(3)) * 1024,
      raftLogGcTickIntervalMs: 200 + random.below(1_500),
      raftLogGcThreshold: 1 + random.below(20),
      raftLogGcCountLimit: 8 + random.below(80),
      raftLogGcSizeLimit: 2048 << random.below(6),
      raftLogReserveMaxTicks: random.below(4),
      concurrentSendSnapLimit: 1 + random.below(3),
      concurrentRecvSnapLimit: 1 + random.below(2),
      snapIoMaxBytesPerSec: 4096 << random.below(8),
    },
  })
  const clients = new Clients(world, random)
  clients.start(6)
  clients.churn(5 + random.below(40))
  const faults = new Faults(world, random, seed % 4 === 3)
  const end = world.queue.nowMs + FAULTS_MS
  while (world.queue.nowMs < end) {
    await world.run(50 + random.below(900))
    await faults.strike()
    clients.check()
    // Time for regions to fall asleep, while faults go on.
    if (random.below(10) === 0) clients.lull(1_500 + random.below(2_500))
  }
  await faults.healAll()
  clients.stop()
  for (const { id } of world.regions) await world.awaitLeader(id, HEAL_MS_MAX)
  await world.until(() => clients.running === 0, HEAL_MS_MAX)
  await clients.readAll()
  clients.check()
  await mustConverge(world)
  await mustLeaveNothing(world)
  await mustRest(world, random)
  const { network, invariants } = world
  const happened = { ...faults.counts, ...network.counts, ...world.finalTotals() }
  return { counts: { ...happened, ...invariants.counts, ...clients.counts } }
}

/** Every replica applies all that is committed, and holds the same data. */
async function mustConverge(world: World): Promise<void> {
  for (const { id } of world.regions) {
    const peers = world.stores.map((store) => store.peer(id)!)
    await world.until(() => {
      const commit = Math.max(...peers.map((peer) => peer.raft.commitIndex))
      return peers.every((peer) => peer.appliedIndex === commit && peer.install === undefined)
    }, HEAL_MS_MAX)
  }
  const contents = world.stores.map(({ engine }) => {
    const bytes = { limit: 1e9, bytesMax: 1e9, reverse: false, keysOnly: false }
    const start = Buffer.from('z')
    return engine.scanSync(0, { start, end: Buffer.from('{'), ...bytes }).rows.map(String)
  })
  for (const content of contents) {
    assert(content.join() === contents[0]!.join(), 'replicas hold the same data')
  }
}

/** Regions without work sleep; and when a store ends, those whom it concerns wake up. */
async function mustRest(world: World, random: Random): Promise<void> {
  const rested = () =>
    world.stores.every(({ peers }) => peers.every(({ hibernation }) => hibernation.asleep))
  await world.until(rested, SETTLE_MS_MAX)
  const gone = 1 + random.below(world.stores.length)
  world.stop(gone, random.below(2) === 0 ? 'kill' : 'power-loss')
  for (const { id } of world.regions) await world.awaitLeader(id, HEAL_MS_MAX)
  await world.restart(gone)
  await world.until(rested, SETTLE_MS_MAX)
}

/** Files of snapshots, and what is counted of them, go when nobody needs them. */
async function mustLeaveNothing(world: World): Promise<void> {
  await world.until(
    () =>
      world.stores.every(({ faults, life }) => {
        const { snapshots_held, snapshots_sending, snapshots_receiving } = life!.snapshots!.stats()
        const busy = snapshots_held! + snapshots_sending! + snapshots_receiving!
        return busy === 0 && faults.list(SNAP_DIR).length === 0
      }),
    SETTLE_MS_MAX,
  )
}

export class Faults {
  readonly #world: World
  readonly #random: Random
  readonly #storm: boolean
  readonly counts = {
    partitions: 0,
    oneWayPartitions: 0,
    badNetworks: 0,
    heals: 0,
    powerLosses: 0,
    kills: 0,
    totalPowerLosses: 0,
    restarts: 0,
    pauses: 0,
    transfers: 0,
    campaigns: 0,
    slowDisks: 0,
    slowApplies: 0,
    heldDisks: 0,
    failedSyncs: 0,
    engineSyncs: 0,
    absences: 0,
    slowSnapshots: 0,
    crashPoints: 0,
    traps: 0,
    startCrashPoints: 0,
    failedStarts: 0,
    damagedFiles: 0,
    failedOperations: 0,
  }

  /** `storm`: stores are away and die in the middle of what they get then, again and again. */
  constructor(world: World, random: Random, storm = false) {
    this.#storm = storm
    this.#world = world
    if (storm) world.onInstall = (store) => this.#trap(store)
    this.#random = random
  }

  async strike(): Promise<void> {
    const { network } = this.#world
    if (this.#storm && this.#random.below(3) === 0) this.#stormOn()
    const dice = this.#random.below(100)
    if (dice < 8) this.#partition()
    else if (dice < 14) this.#cutOneWay()
    else if (dice < 22) this.#spoilNetwork()
    else if (dice < 50) {
      this.counts.heals++
      network.heal()
    } else if (dice < 60) await this.#stopSome()
    else if (dice < 62) this.#absence()
    else if (dice < 66) this.#crashPoint()
    else if (dice < 75) this.#pause()
    else if (dice < 82) this.#transfer()
    else if (dice < 84) this.#slowDisk()
    else if (dice < 86) this.#slowApply()
    else if (dice < 88) this.#campaign()
    else if (dice < 90) this.#failSync()
    else if (dice < 91) this.#failOperation()
    else if (dice < 94) this.#slowSnapshots()
    else if (dice < 97) this.#damageFile()
    else this.#syncEngine()
    await this.#restartFailed()
  }

  async healAll(): Promise<void> {
    const { stores, network } = this.#world
    this.#healing = true
    network.heal()
    for (const store of stores) {
      store.syncMs = 0.4
      store.applyMs = 0.1
      store.snapIoMs = 0.3
      for (const operation of [...FAILING, 'sync'] as const) {
        store.faults.failOnce(operation, 'EIO', Number.POSITIVE_INFINITY)
      }
      if (store.isUp && store.faults.stopped) this.#stop(store.id, 'power-loss')
      store.faults.stopAfter = Number.POSITIVE_INFINITY
      if (store.isUp) store.releaseDisk()
    }
    await this.#restartFailed()
    for (const store of stores) if (!store.isUp) await this.#restart(store.id)
  }

  #anyStore(): number {
    return 1 + this.#random.below(this.#world.stores.length)
  }

  /** Most faults matter most where the leaders are. */
  #someStore(): number {
    const region = 1 + this.#random.below(this.#world.regions.length)
    const leader = this.#world.leader(region)?.self.storeId
    return leader !== undefined && this.#random.below(2) === 0 ? leader : this.#anyStore()
  }

  #partition(): void {
    this.counts.partitions++
    this.#world.network.isolate(this.#someStore())
  }

  #cutOneWay(): void {
    const [from, to] = [this.#someStore(), this.#anyStore()]
    if (from === to) return
    this.counts.oneWayPartitions++
    this.#world.network.cut(from, to)
  }

  #spoilNetwork(): void {
    const { network } = this.#world
    this.counts.badNetworks++
    network.dropPerMille = this.#random.below(200)
    network.doublePerMille = this.#random.below(200)
    network.delayPerMille = this.#random.below(300)
    network.delayMsMax = 1 + this.#random.below(1_500)
    network.corruptPerMille = this.#random.below(400)
  }

  /** One store, or two, or all of them at once. */
  async #stopSome(): Promise<void> {
    const count = [1, 1, 1, 2, 3][this.#random.below(5)]!
    const how = this.#random.below(3) === 0 ? 'kill' : 'power-loss'
    const first = this.#someStore()
    let stopped = 0
    for (let i = 0; i < count; i++) {
      const id = 1 + ((first - 1 + i) % this.#world.stores.length)
      if (!this.#world.store(id).isUp) continue
      stopped++
      this.#stop(id, how)
      this.#restartLater(id)
    }
    if (stopped === this.#world.stores.length && how === 'power-loss')
      this.counts.totalPowerLosses++
  }

  #stop(id: number, how: 'kill' | 'power-loss'): void {
    if (how === 'kill') this.counts.kills++
    else this.counts.powerLosses++
    this.#world.stop(id, how, this.#random.below(3) > 0 ? this.#random : undefined)
  }

  #due = new Map<number, number>()
  #healing = false

  #restartLater(id: number): void {
    this.#due.set(id, this.#world.queue.nowMs + this.#random.below(3 * ELECTION_MS))
  }

  async #restart(id: number): Promise<void> {
    this.counts.restarts++
    this.#due.delete(id)
    if (!this.#healing && this.#random.below(8) === 0) {
      this.counts.startCrashPoints++
      this.#world.store(id).prepareFaults().stopAfter = this.#random.below(20)
    }
    if (await this.#world.restart(id)) return
    this.counts.failedStarts++
    this.#restartLater(id)
  }

  /** A store that failed is ended and started again, as its supervisor does. */
  async #restartFailed(): Promise<void> {
    const { stores, queue } = this.#world
    for (const { id, life } of stores) {
      if (life?.failed === undefined) continue
      this.#stop(id, 'power-loss')
      this.#restartLater(id)
    }
    for (const [id, due] of [...this.#due]) if (due <= queue.nowMs) await this.#restart(id)
  }

  /** Data travels slowly, and the power goes where it arrives; nobody to receive it makes somebody. */
  #stormOn(): void {
    const { stores } = this.#world
    for (const store of stores) store.snapIoMs = 5 + this.#random.below(20)
    if (stores.every(({ isUp }) => isUp)) this.#absence()
  }

  #trap(store: SimStore): void {
    if (this.#healing || this.#random.below(2) === 0) return
    this.counts.traps++
    store.faults.stopAfter = store.faults.operations + this.#random.below(15)
  }

  #receiver(): SimStore | undefined {
    const { stores } = this.#world
    return stores.find((s) => s.isUp && s.peers.some(({ takesSnapshot }) => !takesSnapshot))
  }

  /** So long that logs end before it comes back. */
  #absence(): void {
    const id = this.#someStore()
    if (!this.#world.store(id).isUp) return
    this.counts.absences++
    this.#stop(id, 'power-loss')
    this.#due.set(id, this.#world.queue.nowMs + 4_000 + this.#random.below(6_000))
  }

  /** The power goes between two operations of the disk; at best, where a snapshot is under way. */
  #crashPoint(): void {
    const store = this.#receiver() ?? this.#world.store(this.#someStore())
    if (!store.isUp) return
    this.counts.crashPoints++
    store.faults.stopAfter = store.faults.operations + this.#random.below(30)
  }

  #slowSnapshots(): void {
    this.counts.slowSnapshots++
    const store = this.#world.store(this.#someStore())
    store.snapIoMs = this.#random.below(3) === 0 ? 0.3 : this.#random.below(60)
  }

  /** A bit of a snapshot file turns, behind the check that a set passes when it comes. */
  #damageFile(): void {
    const filesOf = (fs: SimStore['fs']): string[] => (fs.exists(SNAP_DIR) ? fs.list(SNAP_DIR) : [])
    const received = this.#world.stores.find(({ fs }) =>
      filesOf(fs).some((name) => name.startsWith('rev_') && name.endsWith('.meta')),
    )
    const store = received ?? this.#world.store(this.#anyStore())
    const all = filesOf(store.fs)
    const sets = all.filter((name) => name.endsWith('.meta')).map((name) => name.slice(0, -5))
    const files = all.filter((name) => sets.some((set) => name.startsWith(`${set}_`)))
    const name = files[this.#random.below(Math.max(1, files.length))]
    if (name === undefined) return
    const path = `${SNAP_DIR}/${name}`
    const bytes = store.fs.bytes(path)
    if (bytes.length === 0) return
    this.counts.damagedFiles++
    bytes[this.#random.below(bytes.length)]! ^= 1 << this.#random.below(8)
    store.fs.plant(path, bytes)
  }

  #failOperation(): void {
    const store = this.#world.store(this.#someStore())
    if (!store.isUp) return
    this.counts.failedOperations++
    const operation = FAILING[this.#random.below(FAILING.length)]!
    store.faults.failOnce(operation, 'EIO', this.#random.below(20))
  }

  /** Often longer than a lease. */
  #pause(): void {
    const store = this.#world.store(this.#someStore())
    if (!store.isUp) return
    this.counts.pauses++
    store.pausedUntilMs = this.#world.queue.nowMs + this.#random.below(4 * ELECTION_MS)
  }

  #transfer(): void {
    const { life } = this.#world.store(this.#someStore())
    if (life === undefined || life.failed !== undefined) return
    this.counts.transfers++
    life.router.sendControlForced({ kind: 'transfer-away' })
  }

  /** What is committed is long not seen in the engine. */
  #slowApply(): void {
    const store = this.#world.store(this.#someStore())
    store.applyMs = this.#random.below(3) === 0 ? 0.1 : this.#random.below(300)
    this.counts.slowApplies++
  }

  /** Out of turn, right behind a restart too: nobody may vote while another may hold a lease. */
  #campaign(): void {
    const { life } = this.#world.store(this.#anyStore())
    if (life === undefined || life.failed !== undefined) return
    this.counts.campaigns++
    for (const id of life.router.ids()) life.router.sendForced(id, CAMPAIGN)
  }

  #slowDisk(): void {
    const store = this.#world.store(this.#someStore())
    store.syncMs = this.#random.below(3) === 0 ? 0.4 : this.#random.below(400)
    this.counts.slowDisks++
    if (!store.isUp || this.#random.below(2) === 0) return
    this.counts.heldDisks++
    store.diskHeld = true
    const life = store.life
    this.#world.queue.after(this.#random.below(2 * ELECTION_MS), () => {
      if (store.life === life) store.releaseDisk()
    })
  }

  #failSync(): void {
    const store = this.#world.store(this.#someStore())
    if (!store.isUp) return
    this.counts.failedSyncs++
    store.faults.failOnce('sync', 'EIO', this.#random.below(20))
  }

  /** RocksDB writes its memory out now and then. */
  #syncEngine(): void {
    this.counts.engineSyncs++
    this.#world.store(this.#anyStore()).engine.sync()
  }
}
