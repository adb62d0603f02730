import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Inflights } from '../../../src/raft/tracker/inflights.ts'

describe('Inflights', () => {
  test('is full by number', () => {
    const window = new Inflights(2, 0)
    window.add(1, 100)
    expect(window.isFull).toBe(false)
    window.add(2, 100)
    expect(window.isFull).toBe(true)
    expect(() => window.add(3, 1)).toThrow('has room')
  })

  test('is full by bytes, which the last message may exceed', () => {
    const window = new Inflights(100, 10)
    window.add(1, 9)
    expect(window.isFull).toBe(false)
    window.add(2, 50)
    expect(window.isFull).toBe(true)
    window.freeTo(1)
    expect(window.isFull).toBe(true)
    window.freeTo(2)
    expect(window.isFull).toBe(false)
  })

  test('goes on as before after giving its room back', () => {
    const window = new Inflights(3, 10)
    window.add(1, 4)
    window.shrink()
    expect(window.count).toBe(1)
    window.freeTo(1)
    window.shrink()
    expect([window.count, window.bytes]).toEqual([0, 0])
    for (const index of [2, 3, 4]) window.add(index, 1)
    expect([window.count, window.bytes, window.isFull]).toEqual([3, 3, true])
    window.freeTo(3)
    expect(window.count).toBe(1)
  })

  test('behaves like a queue', () => {
    const steps = fc.array(fc.tuple(fc.boolean(), fc.nat({ max: 20 })), { maxLength: 200 })
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 40 }), (list, messagesMax) => {
        const window = new Inflights(messagesMax, 0)
        let model: number[] = []
        let next = 1
        for (const [adds, by] of list) {
          if (adds && !window.isFull) {
            window.add(next, by)
            model.push(next++)
          } else {
            window.freeTo(next - by)
            model = model.filter((index) => index > next - by)
          }
          expect(window.count).toBe(model.length)
          expect(window.isFull).toBe(model.length === messagesMax)
        }
      }),
    )
  })
})
