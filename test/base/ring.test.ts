import { describe, expect, it } from 'vitest'
import { seededRandom } from '../../src/base/clock.ts'
import { Ring } from '../../src/base/ring.ts'

function contents(ring: Ring<number>): number[] {
  return Array.from({ length: ring.length }, (_, i) => ring.at(i)!)
}

describe('ring', () => {
  it('is a queue, whatever comes and goes', () => {
    const random = seededRandom(3)
    for (const capacity of [1, 2, 16]) {
      const ring = new Ring<number>(capacity)
      const model: number[] = []
      for (let step = 0; step < 5000; step++) {
        // Long enough in one direction to grow, and to become empty.
        const takes = random.below(3) <= (step % 200 < 100 ? 0 : 1)
        if (takes) expect(ring.shift()).toBe(model.shift())
        else ring.push(model[model.push(step) - 1]!)
        expect(ring.length).toBe(model.length)
        expect(ring.peek()).toBe(model[0])
        if (step % 50 === 0) expect(contents(ring)).toEqual(model)
      }
      ring.clear()
      expect(ring.length).toBe(0)
      expect(ring.shift()).toBeUndefined()
    }
  })

  it('has nothing outside', () => {
    const ring = new Ring<number>(4)
    for (let i = 0; i < 3; i++) ring.push(i)
    expect([-1, 0, 2, 3].map((at) => ring.at(at))).toEqual([undefined, 0, 2, undefined])
  })
})
