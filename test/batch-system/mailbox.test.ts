import { describe, expect, it } from 'vitest'
import { Mailbox } from '../../src/batch-system/mailbox.ts'

function drain<M>(mailbox: Mailbox<M>): M[] {
  const messages: M[] = []
  for (let m = mailbox.take(); m !== undefined; m = mailbox.take()) messages.push(m)
  return messages
}

describe('Mailbox', () => {
  it('gives messages back in the order they came', () => {
    const mailbox = new Mailbox<number>(10)
    for (let i = 0; i < 10; i++) expect(mailbox.push(i)).toBe('ok')
    expect(mailbox.length).toBe(10)
    expect(drain(mailbox)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(mailbox.take()).toBeUndefined()
  })

  it('is full at its capacity, but never for forced messages', () => {
    const mailbox = new Mailbox<string>(2)
    mailbox.push('a')
    mailbox.push('b')
    expect(mailbox.push('c')).toBe('full')
    expect(mailbox.pushForced('must')).toBe('ok')
    expect(mailbox.push('d')).toBe('full')
    expect(drain(mailbox)).toEqual(['a', 'b', 'must'])
    expect(mailbox.push('e')).toBe('ok')
  })

  it('takes nothing in once closed, but gives out what it held', () => {
    const mailbox = new Mailbox<number>(4)
    mailbox.push(1)
    mailbox.close()
    expect(mailbox.closed).toBe(true)
    expect(mailbox.push(2)).toBe('closed')
    expect(mailbox.pushForced(3)).toBe('closed')
    expect(drain(mailbox)).toEqual([1])
  })

  it('keeps its order over a burst that makes it give its ring back', () => {
    const mailbox = new Mailbox<number>(100_000)
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 5000; i++) mailbox.push(i)
      expect(drain(mailbox)).toEqual(Array.from({ length: 5000 }, (_, i) => i))
      expect(mailbox.length).toBe(0)
    }
  })

  it('refuses a capacity of nothing', () => {
    expect(() => new Mailbox(0)).toThrow('at least one')
  })
})
