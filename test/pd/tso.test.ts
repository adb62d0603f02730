import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/logger.ts'
import { decodeNumber, TSO_KEY } from '../../src/pd/records.ts'
import { MemoryPdStorage } from '../../src/pd/storage.ts'
import { type Timestamp, TimestampOracle } from '../../src/pd/tso.ts'
import { ManualClock } from './fixtures.ts'

class World {
  readonly clock = new ManualClock()
  readonly map = new Map<string, Buffer>()
  oracle = this.restart()

  restart(): TimestampOracle {
    const saved = this.map.get(TSO_KEY)
    const mark = saved === undefined ? 0 : decodeNumber(TSO_KEY, saved)
    const storage = new MemoryPdStorage(this.map)
    this.oracle = new TimestampOracle(storage, this.clock, silentLogger, mark)
    return this.oracle
  }

  saved(): number {
    return decodeNumber(TSO_KEY, this.map.get(TSO_KEY)!)
  }
}

const joined = (t: Timestamp): bigint => (BigInt(t.physical) << 18n) + BigInt(t.logical)

describe('TimestampOracle', () => {
  test('a block ends at its last counter', async () => {
    const { oracle, clock } = new World()
    expect(await oracle.take(10)).toEqual({ physical: clock.now, logical: 9 })
    expect(await oracle.take(1)).toEqual({ physical: clock.now, logical: 10 })
    clock.now++
    expect(await oracle.take(1)).toEqual({ physical: clock.now, logical: 0 })
  })

  test('used-up counters go on in the next millisecond', async () => {
    const { oracle, clock } = new World()
    await oracle.take(262_143)
    expect(await oracle.take(2)).toEqual({ physical: clock.now + 1, logical: 1 })
  })

  test('everything given out lies below a mark that is durable', async () => {
    const world = new World()
    for (let i = 0; i < 20; i++) {
      const { physical } = await world.oracle.take(1)
      await world.oracle.close()
      expect(world.saved()).toBeGreaterThan(physical)
      expect(world.saved() - physical).toBeLessThanOrEqual(5000)
      world.clock.now += 700
    }
  })

  test('counts out of range are refused', async () => {
    const { oracle } = new World()
    await expect(oracle.take(0)).rejects.toMatchObject({ code: 'InvalidArgument' })
    await expect(oracle.take(262_144)).rejects.toMatchObject({ code: 'InvalidArgument' })
  })

  test('rises over restarts and whatever the clock does', async () => {
    const step = fc.record({
      jumpMs: fc.integer({ min: -20_000, max: 20_000 }),
      counts: fc.array(fc.integer({ min: 1, max: 262_143 }), { maxLength: 4 }),
      restart: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        const world = new World()
        let last = -1n
        for (const { jumpMs, counts, restart } of steps) {
          world.clock.now += jumpMs
          if (restart) world.restart()
          for (const given of await Promise.all(counts.map((count) => world.oracle.take(count)))) {
            expect(joined(given) > last).toBe(true)
            last = joined(given)
          }
        }
      }),
      { numRuns: 100 },
    )
  })
})
