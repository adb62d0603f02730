/** Plays PD for one region of a StoreHarness: gives orders, and waits for what comes of them. */
import { expect } from 'vitest'
import { type ChangePeer, ChangePeerType } from '../../src/pd/port.ts'
import { type Peer, PeerRole, peerOnStore, type Region } from '../../src/region/region.ts'
import type { StoreHarness } from './harness.ts'

const WAIT = { timeout: 20_000, interval: 20 }

export class Members {
  readonly harness: StoreHarness
  readonly regionId: number

  constructor(harness: StoreHarness, regionId = [...harness.stores.values()][0]!.regions()[0]!) {
    this.harness = harness
    this.regionId = regionId
  }

  idOf(number: number): number {
    return this.harness.stores.get(number)!.storeId
  }

  async leader(): Promise<number> {
    await expect.poll(() => this.harness.leaderOf(this.regionId), WAIT).toBeDefined()
    return this.harness.leaderOf(this.regionId)!
  }

  /** As the leader has it. */
  async region(): Promise<Region> {
    const leader = await this.leader()
    return this.harness.stores.get(leader)!.regionStatus(this.regionId)!.region
  }

  async peerOn(number: number): Promise<Peer> {
    return peerOnStore(await this.region(), this.idOf(number))!
  }

  /** '1 2 3l' by store numbers: l for learners, i and d in the joint state. */
  async show(): Promise<string> {
    const { peers } = await this.region()
    const numbers = new Map([...this.harness.stores].map(([n, s]) => [s.storeId, n]))
    const shown = peers.map(
      ({ storeId, role }) => `${numbers.get(storeId) ?? '?'}${['', 'l', 'i', 'd'][role]}`,
    )
    return shown.sort().join(' ')
  }

  async become(text: string): Promise<void> {
    await expect.poll(() => this.show(), WAIT).toBe(text)
  }

  /** Orders until the change is applied: a leader may be new, or not ready yet. */
  async change(changeType: ChangePeerType, peer: Peer): Promise<void> {
    const before = (await this.region()).epoch.confVer
    const deadline = performance.now() + WAIT.timeout
    while ((await this.region()).epoch.confVer === before) {
      expect(performance.now(), 'the change is taken').toBeLessThan(deadline)
      await this.order({ changePeer: { changeType, peer } })
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  /** Once, to the leader, for the region as it is. */
  async order(order: {
    changePeer?: ChangePeer
    changePeerV2?: ChangePeer[]
    transferLeader?: Peer
  }): Promise<void> {
    const { epoch } = await this.region()
    const leader = await this.leader()
    this.harness.order(leader, { regionId: this.regionId, regionEpoch: epoch, ...order })
  }

  async addLearner(number: number): Promise<Peer> {
    const id = await this.harness.allocId()
    const peer = { id, storeId: this.idOf(number), role: PeerRole.Learner }
    await this.change(ChangePeerType.AddLearnerNode, peer)
    return peer
  }

  async promote(peer: Peer): Promise<void> {
    await this.change(ChangePeerType.AddNode, { ...peer, role: PeerRole.Voter })
  }

  async remove(peer: Peer): Promise<void> {
    await this.change(ChangePeerType.RemoveNode, peer)
  }

  /** Reported to PD, and not as pending. */
  async caughtUp(peer: Peer): Promise<void> {
    const known = (): boolean => {
      const heartbeat = this.harness.heartbeats.get(this.regionId)
      const isMember = heartbeat?.region.peers.some(({ id }) => id === peer.id) === true
      return isMember && !heartbeat!.pendingPeers.some(({ id }) => id === peer.id)
    }
    await expect.poll(known, WAIT).toBe(true)
  }

  async lead(number: number): Promise<void> {
    const target = await this.peerOn(number)
    const tried = async (): Promise<number> => {
      const leader = await this.leader()
      if (leader !== number) await this.order({ transferLeader: target })
      return leader
    }
    await expect.poll(tried, { timeout: 20_000, interval: 300 }).toBe(number)
  }

  /** Nothing of the region is left on the store. */
  async goneFrom(number: number): Promise<void> {
    const store = this.harness.stores.get(number)!
    await expect.poll(() => store.regionStatus(this.regionId), WAIT).toBeUndefined()
  }
}
