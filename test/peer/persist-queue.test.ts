import { describe, expect, it } from 'vitest'
import { AssertionError } from '../../src/base/assert.ts'
import { PersistQueue } from '../../src/peer/persist-queue.ts'
import { newMessage } from '../../src/raft/message.ts'
import { type Message, MessageType } from '../../src/raft/types.ts'

function message(index: number): Message {
  return { ...newMessage(MessageType.AppendResponse, 1), from: 2, term: 1, index }
}

function persisted(queue: PersistQueue, number: number) {
  const sent: number[] = []
  const complete = queue.onPersisted(number, (messages) => {
    for (const { index } of messages) sent.push(index)
  })
  return { complete, sent }
}

describe('persist queue', () => {
  it('holds messages until their ready, and every lower one, is persisted', () => {
    const queue = new PersistQueue()
    queue.pushWrite(1, [message(11)])
    queue.pushWrite(2, [message(12)])
    queue.pushWrite(3, [message(13)])
    expect(queue.length).toBe(3)
    expect(persisted(queue, 2)).toEqual({ complete: 2, sent: [11, 12] })
    expect(queue.length).toBe(1)
    expect(persisted(queue, 3)).toEqual({ complete: 3, sent: [13] })
    expect(queue.persistedNumber).toBe(3)
  })

  it('a ready without I/O waits behind the write that is under way', () => {
    const queue = new PersistQueue()
    queue.pushWrite(1, [message(11)])
    expect(queue.attachEmpty(2, [message(12)])).toBe(true)
    expect(queue.attachEmpty(3, [])).toBe(true)
    queue.pushWrite(4, [message(14)])
    expect(persisted(queue, 1)).toEqual({ complete: 3, sent: [11, 12] })
    expect(persisted(queue, 4)).toEqual({ complete: 4, sent: [14] })
  })

  it('a ready without I/O is complete at once when nothing is under way', () => {
    const queue = new PersistQueue()
    expect(queue.attachEmpty(1, [message(11)])).toBe(false)
    expect(queue.persistedNumber).toBe(1)
    expect(queue.length).toBe(0)
  })

  it('reports nothing for a number that an earlier report covered', () => {
    const queue = new PersistQueue()
    queue.pushWrite(1, [message(11)])
    queue.pushWrite(2, [])
    expect(persisted(queue, 2).complete).toBe(2)
    expect(persisted(queue, 1)).toEqual({ complete: 0, sent: [] })
  })

  it('numbers rise strictly', () => {
    const queue = new PersistQueue()
    queue.pushWrite(5, [])
    expect(() => queue.pushWrite(5, [])).toThrow(AssertionError)
    expect(() => queue.attachEmpty(4, [])).toThrow(AssertionError)
  })
})
