import { describe, expect, it } from 'vitest'
import { RequestSlots } from '../../src/client/request-slots.ts'
import { RawKind, RawRequest } from '../../src/protocol/raw.ts'
import { noSink } from '../protocol/arbitraries.ts'

const request = (): RawRequest => new RawRequest(RawKind.Get, noSink, 0)

describe('request slots', () => {
  it('find a request by its id, once', () => {
    const slots = new RequestSlots(4)
    const a = request()
    const b = request()
    const [idA, idB] = [slots.add(a), slots.add(b)]
    expect(slots.take(idB)).toBe(b)
    expect(slots.take(idB)).toBeUndefined()
    expect(slots.take(idA)).toBe(a)
    expect(slots.length).toBe(0)
  })

  it('do not mistake the answer of an earlier request', () => {
    const slots = new RequestSlots(1)
    const first = slots.add(request())
    slots.take(first)
    const b = request()
    const second = slots.add(b)
    expect(second).not.toBe(first)
    expect(slots.take(first)).toBeUndefined()
    expect(slots.take(second)).toBe(b)
  })

  it('are bounded', () => {
    const slots = new RequestSlots(2)
    slots.add(request())
    expect(slots.full).toBe(false)
    slots.add(request())
    expect(slots.full).toBe(true)
    expect(() => slots.add(request())).toThrow('while there is a slot')
    expect(slots.takeAll().length).toBe(2)
    expect(slots.full).toBe(false)
    expect(slots.takeAll()).toEqual([])
  })

  it('know nothing of ids that were never given', () => {
    const slots = new RequestSlots(2)
    slots.add(request())
    for (const id of [1, 5, 65_536, 2 ** 52]) expect(slots.take(id)).toBeUndefined()
  })
})
