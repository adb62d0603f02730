/** PD brings replicas back: whole clusters of scripted stores, in virtual time. */
import { describe, expect, test } from 'vitest'
import { PeerRole } from '../../src/region/region.ts'
import { storeStats } from './fixtures.ts'
import { ScriptedWorld, type WorldOptions } from './scripted-world.ts'

const THREE: WorldOptions = { stores: 3, regions: 5, replicas: 3 }
const FOUR: WorldOptions = { ...THREE, stores: 4 }

const firstOf = (world: ScriptedWorld) => [...world.regions.values()][0]!
const ids = (world: ScriptedWorld) => [...world.stores.keys()]

describe('a lost store', () => {
  test('is replaced by a new one under its address', async () => {
    const world = await ScriptedWorld.open(THREE)
    const lost = ids(world)[2]!
    const { address } = world.core.store(lost)!.meta
    Object.assign(world.stores.get(lost)!, { alive: false, destroyed: true })
    await world.run(3)
    const next = await world.core.allocId(1)
    await expect(world.register(next, 'h9', address)).rejects.toThrow(
      `ctl store delete ${lost} --physically-destroyed`,
    )
    await world.core.removeStore(lost, true)
    await world.run(20)
    expect(world.orders, 'nowhere to go: nothing is done').toEqual([])

    await world.register(next, 'h9', address)
    await world.until('all replicas are back', () => world.whole)
    expect(world.regionsOn(next)).toHaveLength(5)
    await world.until('buried', () => world.core.store(lost)!.meta.state === 2)
    expect(() =>
      world.core.storeHeartbeat({ ...world.core.store(next)!.stats!, storeId: lost }),
    ).toThrow(/removed from the cluster.*join as a new store/)
  })

  test('comes back in time: nothing happens', async () => {
    const world = await ScriptedWorld.open(FOUR)
    const away = world.stores.get(ids(world)[0]!)!
    away.alive = false
    await world.run(150)
    away.alive = true
    await world.run(50)
    expect(world.orders).toEqual([])
  })

  test('is replaced after max-store-down-time', async () => {
    const world = await ScriptedWorld.open({ ...FOUR, schedule: { maxStoreDownMs: 600_000 } })
    const [away] = ids(world)
    world.stores.get(away!)!.alive = false
    await world.run(59)
    expect(world.orders).toEqual([])
    await world.until('replaced', () => world.whole)
    expect(world.regionsOn(away!)).toEqual([])
    expect(world.core.store(away!)!.meta.state, 'it may come back, empty').toBe(0)
  })

  test('PD was away: the silence of that time counts for nobody', async () => {
    const world = await ScriptedWorld.open({ ...FOUR, schedule: { maxStoreDownMs: 600_000 } })
    const [away, other] = ids(world)
    world.stores.get(away!)!.alive = false
    await world.run(30)
    world.clock.now += 3_600_000
    await world.startPd()
    expect(world.core.store(other!)!.meta.lastHeartbeatMs).toBeLessThan(world.clock.now - 3_600_000)
    await world.run(20)
    expect(world.orders, 'five minutes before, three minutes after').toEqual([])
    await world.until('replaced', () => world.whole, 40)
  })
})

describe('a store that is deleted', () => {
  test('hands over its leaders and peers, and is buried', async () => {
    const world = await ScriptedWorld.open(FOUR)
    const leaving = firstOf(world).leaderStore
    await world.core.removeStore(leaving, false)
    await world.until('drained', () => world.core.store(leaving)!.meta.state === 2)
    expect(world.whole).toBe(true)
    expect(world.orders.some((order) => order.transferLeader !== undefined)).toBe(true)
  })

  test('keeps its peers while there is no other store', async () => {
    const world = await ScriptedWorld.open(THREE)
    const [leaving] = ids(world)
    await world.core.removeStore(leaving!, false, true)
    await world.run(30)
    expect(world.orders).toEqual([])
    const next = await world.join()
    await world.until('moved', () => world.regionsOn(leaving!).length === 0)
    expect(world.regionsOn(next)).toHaveLength(5)
  })

  test('an only replica moves with its leader', async () => {
    const world = await ScriptedWorld.open({ stores: 1, regions: 2, replicas: 1 })
    const [leaving] = ids(world)
    const next = await world.join()
    await world.core.removeStore(leaving!, false)
    await world.until('moved', () => world.core.store(leaving!)!.meta.state === 2)
    expect(world.regionsOn(next)).toHaveLength(2)
  })
})

describe('what a PD that stopped left behind', () => {
  test('a learner on its way is taken up', async () => {
    const world = await ScriptedWorld.open(THREE)
    const lost = ids(world)[2]!
    world.stores.get(lost)!.alive = false
    await world.run(3)
    await world.core.removeStore(lost, true)
    const next = await world.join()
    world.catchUpBeats = 30
    await world.run(3)
    const learners = () =>
      [...world.regions.values()].filter(({ region }) =>
        region.peers.some((peer) => peer.role === PeerRole.Learner),
      ).length
    expect(learners()).toBe(5)
    await world.startPd()
    expect(world.core.operators()).toEqual([])
    await world.until('all replicas are back', () => world.whole)
    expect(world.regionsOn(next)).toHaveLength(5)
    const adds = world.orders.filter((order) => order.changePeer?.changeType === 2)
    expect(adds, 'no second one was added').toHaveLength(5)
  })

  test('a learner that nobody needs any more is removed', async () => {
    const world = await ScriptedWorld.open(FOUR)
    const each = firstOf(world)
    const free = ids(world).find((id) => !world.storesOf(each).includes(id))!
    const learner = { id: 9000, storeId: free, role: PeerRole.Learner }
    const { region } = each
    each.region = {
      ...region,
      peers: [...region.peers, learner],
      epoch: { confVer: 2, version: 1 },
    }
    each.ready.add(9000)
    await world.until('removed', () => world.whole)
  })

  test('a replica too many is removed', async () => {
    const world = await ScriptedWorld.open(FOUR)
    const each = firstOf(world)
    const free = ids(world).find((id) => !world.storesOf(each).includes(id))!
    const { region } = each
    const extra = { id: 9000, storeId: free, role: PeerRole.Voter }
    each.region = { ...region, peers: [...region.peers, extra], epoch: { confVer: 2, version: 1 } }
    each.ready.add(9000)
    await world.until('removed', () => world.whole)
  })
})

test('new replicas go to another host', async () => {
  const world = await ScriptedWorld.open(THREE)
  const [a, , c] = ids(world)
  await world.join(`h${a}`)
  const apart = await world.join('h99')
  world.stores.get(c!)!.alive = false
  await world.run(3)
  await world.core.removeStore(c!, true)
  await world.until('all replicas are back', () => world.whole)
  expect(world.regionsOn(apart)).toHaveLength(5)
})

test('a bounded number of new peers at a time', async () => {
  const world = await ScriptedWorld.open({
    ...THREE,
    regions: 20,
    schedule: { addingPeersMax: 3 },
  })
  const lost = ids(world)[0]!
  world.stores.get(lost)!.alive = false
  await world.run(3)
  await world.core.removeStore(lost, true)
  await world.join()
  for (let i = 0; i < 100 && !world.whole; i++) {
    await world.run(1)
    expect(world.core.operators().length).toBeLessThanOrEqual(3)
  }
  expect(world.whole).toBe(true)
})

test('a tick looks at a bounded number of regions, and comes to all of them', async () => {
  const world = await ScriptedWorld.open({
    ...THREE,
    regions: 2000,
    schedule: { patrolRegions: 50, replicaScheduleLimit: 20, addingPeersMax: 20 },
  })
  const lost = ids(world)[0]!
  world.stores.get(lost)!.alive = false
  await world.run(3)
  for (const each of world.regions.values()) world.beat(each)
  await world.core.removeStore(lost, true)
  const checks = (): number => world.core.metrics().pd_region_checks!
  for (let i = 0; i < 60; i++) {
    const before = checks()
    world.core.tick()
    expect(checks() - before).toBeLessThanOrEqual(2 * 50)
  }
  const next = await world.join()
  await world.core.storeHeartbeat(storeStats(next))
  world.core.tick()
  for (let turn = 0; turn < 10; turn++) await Promise.resolve()
  for (let i = 0; i < 3; i++) world.core.tick()
  expect(world.core.operators(), 'without another heartbeat of a region').toHaveLength(20)
})
