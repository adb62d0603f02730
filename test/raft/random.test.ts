/**
 * Random worlds. A failure names its seed; replay or extend with
 *
 *   RAFT_SEED=17 npx vitest run test/raft/random.test.ts          that seed alone
 *   RAFT_SEEDS=5000 RAFT_STEPS=9000 npx vitest run …              more of them, longer
 */
import { describe, expect, test } from 'vitest'
import { errorMessage } from '../../src/base/errors.ts'
import { World, type WorldOptions } from './world/world.ts'

const SEEDS = Number(process.env.RAFT_SEEDS ?? 100)
const STEPS = Number(process.env.RAFT_STEPS ?? 3000)
const ONLY = process.env.RAFT_SEED

const seeds = ONLY === undefined ? Array.from({ length: SEEDS }, (_, i) => i + 1) : [Number(ONLY)]

const KINDS: Readonly<Record<string, (seed: number) => WorldOptions>> = {
  'three nodes': (seed) => ({ seed, nodes: 3, leases: false, membershipChanges: false }),
  'five nodes': (seed) => ({ seed, nodes: 5, leases: false, membershipChanges: false }),
  'leases on three nodes': (seed) => ({ seed, nodes: 3, leases: true, membershipChanges: false }),
  'membership changes': (seed) => ({ seed, nodes: 5, leases: false, membershipChanges: true }),
}

describe.each(Object.entries(KINDS))('%s', (kind, options) => {
  test(`${seeds.length} seeds keep every promise`, { timeout: 600_000 }, () => {
    const sums: Record<string, number> = {}
    for (const seed of seeds) {
      const world = new World(options(seed))
      try {
        world.run(STEPS)
        world.heal()
      } catch (error) {
        throw new Error(`${kind}, RAFT_SEED=${seed}: ${errorMessage(error)}`, { cause: error })
      }
      for (const [name, count] of Object.entries(world.counts)) {
        sums[name] = (sums[name] ?? 0) + count
      }
    }
    // A world in which nothing happens proves nothing.
    for (const [name, count] of Object.entries(sums)) {
      if (name !== 'changes') expect(count, name).toBeGreaterThan(0)
    }
    console.log(`${kind}:`, JSON.stringify(sums))
  })
})
