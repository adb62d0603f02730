/** What cannot be taken back is refused where it would lose data or could never finish. */
import { expect, test } from 'vitest'
import { PeerRole } from '../../src/region/region.ts'
import { heartbeat } from './fixtures.ts'
import { ScriptedWorld } from './scripted-world.ts'

const THREE = { stores: 3, regions: 4, replicas: 3 }
const ids = (world: ScriptedWorld) => [...world.stores.keys()]

async function silence(world: ScriptedWorld, ...lost: (number | undefined)[]): Promise<void> {
  for (const id of lost) world.stores.get(id!)!.alive = false
  await world.run(3)
}

test('a store that is heard has its data: it says how long to wait', async () => {
  const world = await ScriptedWorld.open(THREE)
  const [, , third] = ids(world)
  const destroy = () => world.core.removeStore(third!, true)
  await expect(destroy()).rejects.toThrow(/heard 0 s ago.* stop it, and try again in 21 s/)
  world.clock.now += 20_000
  await expect(destroy()).rejects.toMatchObject({
    code: 'InvalidArgument',
    message: expect.stringMatching(/heard 20 s ago.* in 1 s, .*--force/),
  })
  expect(world.core.store(third!)?.meta).toMatchObject({ state: 0, physicallyDestroyed: false })
  world.clock.now += 1
  await destroy()
  expect(world.core.store(third!)?.meta.physicallyDestroyed).toBe(true)
  await destroy()
})

test('the last majority of a region stays, until the lost replicas are back', async () => {
  const world = await ScriptedWorld.open(THREE)
  const [first, second, third] = ids(world)
  await silence(world, third)
  await world.core.removeStore(third!, true)
  await silence(world, second)
  const destroy = () => world.core.removeStore(second!, true)
  await expect(destroy()).rejects.toThrow(/region \d+ and 3 more .* without a majority .*--force/)
  world.stores.get(second!)!.alive = true
  await world.join()
  await world.until('all replicas are back', () => world.whole)
  await silence(world, second)
  await destroy()
  await silence(world, first)
  await expect(world.core.removeStore(first!, true)).rejects.toThrow(/without a majority/)
  await world.core.removeStore(first!, true, true)
  expect(world.core.store(first!)?.meta.physicallyDestroyed, 'forced').toBe(true)
})

test('a region that changes its voters needs a majority of the old ones and of the new', async () => {
  const world = await ScriptedWorld.open({ ...THREE, stores: 4, regions: 1 })
  const roles = [
    PeerRole.Voter,
    PeerRole.DemotingVoter,
    PeerRole.DemotingVoter,
    PeerRole.IncomingVoter,
  ]
  const peers = ids(world).map((storeId, i) => ({ id: 900 + i, storeId, role: roles[i]! }))
  const each = [...world.regions.values()][0]!
  const epoch = { confVer: 9, version: 1 }
  world.core.regionHeartbeat(heartbeat({ ...each.region, peers, epoch }, 9))
  world.clock.now += 60_000
  const [, second, , fourth] = ids(world)
  await expect(world.core.removeStore(fourth!, true), '1 of 2').rejects.toThrow(/majority/)
  await world.core.removeStore(second!, true)
})

test('peers need somewhere to go', async () => {
  const world = await ScriptedWorld.open(THREE)
  const [, second, third] = ids(world)
  const empty = () => world.core.removeStore(third!, false)
  await expect(empty()).rejects.toThrow(
    /2 stores are up, and a region has 3 replicas.* add a store first.* set replicas 2; --force/,
  )
  expect(world.core.store(third!)?.meta.state).toBe(0)
  const next = await world.join()
  await silence(world, second)
  await expect(empty(), 'one that is silent takes nothing').rejects.toThrow(/2 stores are up/)
  await world.core.removeStore(next, false)
  await world.until('nothing was on it', () => world.core.store(next)?.meta.state === 2)
  await world.core.setMaxPeerCount(1)
  await empty()
  expect(world.core.store(third!)?.meta.state).toBe(1)
})

test('the only store stays', async () => {
  const world = await ScriptedWorld.open({ stores: 1, regions: 1, replicas: 1 })
  const [only] = ids(world)
  await expect(world.core.removeStore(only!, false)).rejects.toThrow(
    /0 stores are up, .* add a store first; --force/,
  )
  await world.core.removeStore(only!, false, true)
  expect(world.core.store(only!)?.meta.state).toBe(1)
})
