/**
 * Random worlds: 500 schedules in all. A failure names its seed; replay or extend with
 *
 *   RAFT_SEED=17 npx vitest run test/raft/random.test.ts          that seed of each kind, alone
 *   npm run sim:raft                                              10,000 schedules
 *   RAFT_SEEDS=5000 RAFT_STEPS=9000 npx vitest run …              as many of each kind, longer
 */
import { describe, expect, test } from 'vitest'
import { errorMessage } from '../../src/base/errors.ts'
import { World, type WorldOptions } from './world/world.ts'

const SEEDS = Number(process.env.RAFT_SEEDS ?? 100)
const STEPS = Number(process.env.RAFT_STEPS ?? 3000)
const ONLY = process.env.RAFT_SEED

const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)]

const SIZES = [3, 5, 7]

const KINDS: Readonly<Record<string, (seed: number) => WorldOptions>> = {
  'three nodes': (seed) => ({ seed, nodes: 3, leases: false, membershipChanges: true }),
  'five nodes': (seed) => ({ seed, nodes: 5, leases: false, membershipChanges: true }),
  'seven nodes': (seed) => ({ seed, nodes: 7, leases: false, membershipChanges: true }),
  // Leases of a changing membership too, but only every other time.
  leases: (seed) => ({
    seed,
    nodes: SIZES[seed % 3]!,
    leases: true,
    membershipChanges: seed % 2 === 0,
  }),
  'a fixed membership': (seed) => ({
    seed,
    nodes: SIZES[seed % 3]!,
    leases: false,
    membershipChanges: false,
  }),
}

function runWorld(kind: string, options: WorldOptions): World {
  const world = new World(options)
  try {
    world.run(STEPS)
    world.heal()
    return world
  } catch (error) {
    const replay = `RAFT_SEED=${options.seed} npx vitest run test/raft/random.test.ts -t '${kind}'`
    throw new Error(`${errorMessage(error)}; replay: ${replay}`, { cause: error })
  }
}

describe.each(Object.entries(KINDS))('%s', (kind, options) => {
  const from = seeds.length === 1 ? `${seeds[0]}` : `${seeds[0]}–${seeds.at(-1)}`
  test(`seeds ${from} keep every promise`, { timeout: 3_600_000 }, () => {
    const sums: Record<string, number> = {}
    for (const seed of seeds) {
      const { counts } = runWorld(kind, options(seed))
      for (const [name, count] of Object.entries(counts)) sums[name] = (sums[name] ?? 0) + count
    }
    console.log(`${kind}, seeds ${from}:`, JSON.stringify(sums))
    if (ONLY !== undefined) return
    // A world in which nothing happens proves nothing.
    const changes = kind !== 'a fixed membership'
    for (const [name, count] of Object.entries(sums)) {
      if (name !== 'changes' || changes) expect(count, name).toBeGreaterThan(0)
    }
  })
})
