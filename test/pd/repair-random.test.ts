/**
 * Random clusters in which stores die, return, lose their data, are deleted and join, orders get lost
 * and PD restarts. The scripted world checks every change as it happens; in the end, when all that is
 * not lost is back, every region must have all its replicas on stores that stay.
 *
 * A failure names its seed: `PD_SEED=17 npx vitest run test/pd/repair-random.test.ts`.
 */
import { test } from 'vitest'
import { type Random, seededRandom } from '../../src/base/clock.ts'
import { PolyraftError } from '../../src/base/errors.ts'
import { StoreState } from '../../src/pd/port.ts'
import { PeerRole } from '../../src/region/region.ts'
import { ScriptedWorld } from './scripted-world.ts'

const SEEDS = Number(process.env.PD_SEEDS ?? 60)
const FIRST = Number(process.env.PD_SEED ?? 1)
const COUNT = process.env.PD_SEED === undefined ? SEEDS : 1

function pick<T>(random: Random, list: readonly T[]): T | undefined {
  return list.length === 0 ? undefined : list[random.below(list.length)]
}

/** Every region can do without the store for ever. */
function canBeLost(world: ScriptedWorld, storeId: number): boolean {
  return world.regionsOn(storeId).every(({ region, ready }) => {
    const voters = region.peers.filter((peer) => peer.role === PeerRole.Voter)
    const left = voters.filter(
      (peer) =>
        peer.storeId !== storeId &&
        ready.has(peer.id) &&
        !world.stores.get(peer.storeId)!.destroyed,
    )
    return left.length > voters.length / 2
  })
}

const isBuried = (world: ScriptedWorld, storeId: number): boolean =>
  world.core.store(storeId)!.meta.state === StoreState.Tombstone

/** Whatever an administrator may think of; most of it is refused. */
async function command(world: ScriptedWorld, random: Random): Promise<void> {
  const kinds = ['transfer-leader', 'add-peer', 'remove-peer', 'transfer-peer'] as const
  const stores = [...world.stores.keys()]
  const { region } = pick(random, [...world.regions.values()])!
  const storeId = pick(random, stores)!
  const kind = pick(random, kinds)!
  const rest = { regionId: region.id, storeId }
  try {
    await world.core.startOperator(
      kind === 'transfer-peer'
        ? { kind, ...rest, toStoreId: pick(random, stores)! }
        : { kind, ...rest },
    )
  } catch (error) {
    if (!(error instanceof PolyraftError)) throw error
  }
}

async function disturb(world: ScriptedWorld, random: Random): Promise<void> {
  const all = [...world.stores.values()]
  const alive = all.filter((store) => store.alive)
  const store = pick(random, alive)
  switch (random.below(8)) {
    case 0:
    case 1:
      if (store !== undefined) store.alive = false
      return
    case 2:
    case 3: {
      const back = pick(
        random,
        all.filter((each) => !each.alive && !each.destroyed),
      )
      if (back !== undefined) back.alive = true
      return
    }
    case 4:
      if (store === undefined || isBuried(world, store.id) || !canBeLost(world, store.id)) return
      Object.assign(store, { alive: false, destroyed: true })
      await world.core.removeStore(store.id, true, true)
      return
    case 5:
      if (store !== undefined && world.core.store(store.id)?.meta.state === 0) {
        await world.core.removeStore(store.id, false, true)
      }
      return
    case 6:
      if (all.length < 9) await world.join(`h${random.below(5)}`)
      return
    default:
      await world.startPd()
  }
}

async function heal(world: ScriptedWorld, replicas: number): Promise<void> {
  for (const store of world.stores.values()) if (!store.destroyed) store.alive = true
  const up = () => world.core.stores().filter(({ meta }) => meta.state === 0).length
  while (up() < replicas) await world.join()
}

for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
  test(`seed ${seed}`, async () => {
    const random = seededRandom(seed)
    const replicas = random.below(4) === 0 ? 5 : 3
    const stores = replicas + random.below(3)
    const world = await ScriptedWorld.open({
      stores,
      regions: 1 + random.below(8),
      replicas,
      seed: seed * 7,
      lostOrders: random.below(2) * 30,
      schedule: { maxStoreDownMs: 120_000, operatorTimeoutMs: 300_000, patrolRegions: 3 },
    })
    world.catchUpBeats = random.below(6)
    world.strict = random.below(3) > 0
    for (let i = 0; i < 40; i++) {
      if (random.below(2) === 0) await disturb(world, random)
      // PD has heard of it before it is asked: what it does not know it cannot keep from happening.
      await world.run(1 + random.below(8))
      if (!world.strict) await command(world, random)
    }
    await heal(world, replicas)
    const atRest = (): boolean => world.whole && world.core.operators().length === 0
    await world.until(`seed ${seed}: all replicas are on stores that stay`, atRest, 600)
    await world.until('no store is being removed for ever', () =>
      world.core.stores().every(({ meta }) => meta.state !== 1),
    )
  })
}
