import { expect, test } from 'vitest'
import type { RoundScheduler } from '../../src/base/clock.ts'
import { LoopbackHub } from '../../src/transport/loopback.ts'
import { append, envelope, Observer } from './fixtures.ts'

class ManualScheduler implements RoundScheduler {
  readonly #waiting: (() => void)[] = []

  schedule(run: () => void): void {
    this.#waiting.push(run)
  }

  runOnce(): void {
    for (const run of this.#waiting.splice(0)) run()
  }
}

function hubOf(...ids: number[]) {
  const scheduler = new ManualScheduler()
  const hub = new LoopbackHub(scheduler)
  const observers = ids.map(() => new Observer())
  const transports = ids.map((id, i) => hub.attach(id, observers[i]!))
  return { scheduler, hub, observers, transports }
}

test('delivers on the next round, a flush as one batch, in order', () => {
  const { scheduler, observers, transports } = hubOf(1, 2)
  for (const index of [1, 2, 3]) transports[0]!.send(append(2, index, Buffer.from('x')))
  scheduler.runOnce()
  expect(observers[1]!.received).toEqual([])
  transports[0]!.flush()
  transports[0]!.send(append(2, 4, Buffer.from('x')))
  transports[0]!.flush()
  expect(observers[1]!.received).toEqual([])
  scheduler.runOnce()
  expect(observers[1]!.frames).toEqual([3, 1])
  expect(observers[1]!.received.map((each) => each.message.entries[0]!.index)).toEqual([1, 2, 3, 4])
})

test('a store that is not attached is unreachable, told once until it is back', () => {
  const { scheduler, hub, observers, transports } = hubOf(1, 2)
  const send = () => {
    transports[0]!.send(envelope(2))
    transports[0]!.flush()
    scheduler.runOnce()
  }
  void transports[1]!.close()
  send()
  send()
  expect(observers[0]!.unreachable).toEqual([2])
  const back = new Observer()
  hub.attach(2, back)
  send()
  expect(back.received).toHaveLength(1)
})

test('a store that is detached is silent for the others, behind its last words', () => {
  const { scheduler, observers, transports } = hubOf(1, 2, 3)
  transports[0]!.send(envelope(2))
  transports[0]!.flush()
  void transports[0]!.close()
  expect(observers[1]!.silent).toEqual([])
  scheduler.runOnce()
  expect(observers[1]!.received).toHaveLength(1)
  expect(observers.map(({ silent }) => silent)).toEqual([[], [1], [1]])
})

test('a closed transport takes nothing', async () => {
  const { transports } = hubOf(1, 2)
  await transports[0]!.close()
  expect(transports[0]!.send(envelope(2))).toBe(false)
})

test('what is not delivered yet is bounded', () => {
  const { scheduler, transports } = hubOf(1, 2)
  const message = envelope(2)
  let taken = 0
  while (transports[0]!.send(message)) taken++
  expect(taken).toBe(65_536)
  transports[0]!.flush()
  expect(transports[0]!.send(message)).toBe(false)
  scheduler.runOnce()
  expect(transports[0]!.send(message)).toBe(true)
})
