import { describe, expect, it } from 'vitest'
import type { Clock, Later } from '../../src/base/clock.ts'
import { seededRandom } from '../../src/base/clock.ts'
import type { LoadShares } from '../../src/env/thread-load.ts'
import { RawKind, RawRequest } from '../../src/protocol/raw.ts'
import { WriteGate } from '../../src/store/write-gate.ts'

const IDLE: LoadShares = { ran: 0.2, waited: 0 }
const SHORT: LoadShares = { ran: 0.3, waited: 0.5 }

/** Time that is moved by hand. */
class Timers implements Clock {
  nowMs = 0
  #due: { atMs: number; run: () => void }[] = []

  readonly later: Later = (delayMs, run) => {
    const timer = { atMs: this.nowMs + delayMs, run }
    this.#due.push(timer)
    return () => {
      this.#due = this.#due.filter((other) => other !== timer)
    }
  }

  monotonicMs(): number {
    return this.nowMs
  }

  wallMs(): number {
    return this.nowMs
  }

  get count(): number {
    return this.#due.length
  }

  advance(ms: number): void {
    const endMs = this.nowMs + ms
    for (;;) {
      const next = this.#due.filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (next === undefined) break
      this.nowMs = next.atMs
      this.#due = this.#due.filter((timer) => timer !== next)
      next.run()
    }
    this.nowMs = endMs
  }
}

function open(load: LoadShares = SHORT) {
  const timers = new Timers()
  const state = { load, looks: 0 }
  const delivered: number[] = []
  const gate = new WriteGate({
    clock: timers,
    later: timers.later,
    load: {
      look() {
        state.looks++
        return state.load
      },
    },
    deliver: (request) => void delivered.push(request.token),
    requestRound: () => {
      roundRequested = true
    },
  })
  let roundRequested = false
  let token = 0
  /** What one turn of the event loop brings, and its round, if anybody wants one. */
  const turn = (writes: number, company = false): void => {
    if (company) gate.onCompany()
    for (let i = 0; i < writes; i++) {
      gate.add(new RawRequest(RawKind.Put, { respond: () => {} }, token++))
    }
    if (roundRequested || company) gate.onRound()
    roundRequested = false
  }
  const add = (count: number): void => turn(count)
  const company = (): void => turn(0, true)
  const answer = (count: number): void => {
    for (let i = 0; i < count; i++) gate.answered()
  }
  return { gate, timers, state, delivered, turn, add, company, answer }
}

/** Gathering, with `underWay` writes delivered that nobody has answered. */
function openGathering(underWay: number) {
  const all = open()
  all.add(1)
  all.company()
  all.gate.look()
  all.add(underWay)
  all.timers.advance(10)
  expect(all.delivered).toHaveLength(underWay + 1)
  all.answer(1)
  all.delivered.length = 0
  return all
}

describe('when nothing is gathered', () => {
  it('lets writes through as they come while processors are idle', () => {
    const { gate, delivered, add, timers, company } = open(IDLE)
    for (let i = 0; i < 3; i++) {
      add(20)
      company()
      gate.look()
    }
    expect(delivered).toEqual(Array.from({ length: 60 }, (_, i) => i))
    expect(timers.count).toBe(0)
    expect(gate.stats().gathers_writes).toBe(0)
  })

  it('lets writes through while no other store leads', () => {
    const { gate, delivered, add } = open()
    add(20)
    gate.look()
    add(20)
    expect(delivered).toHaveLength(40)
  })

  it('lets writes through that are too few for a wave', () => {
    const { gate, delivered, add, answer, timers, company } = open()
    add(1)
    company()
    gate.look()
    expect(gate.stats().gathers_writes).toBe(1)
    answer(1)
    for (let i = 0; i < 50; i++) {
      add(7)
      answer(7)
    }
    expect(delivered).toHaveLength(351)
    expect(timers.count).toBe(0)
  })

  it('does not ask for the load at rest, and ends gathering there', () => {
    const { gate, state, add, company } = open()
    for (let i = 0; i < 10; i++) gate.look()
    expect(state.looks).toBe(0)
    add(1)
    company()
    gate.look()
    expect(gate.stats().gathers_writes).toBe(1)
    gate.look()
    expect(gate.stats().gathers_writes).toBe(0)
    expect(state.looks).toBe(1)
  })
})

describe('gathering', () => {
  it('waits until seven tenths of what is under way would go at once', () => {
    // Thirty were under way at once.
    const { delivered, add, answer, timers } = openGathering(29)
    answer(29)
    add(20)
    expect(delivered).toHaveLength(0)
    add(1)
    expect(delivered).toHaveLength(21)
    expect(timers.count).toBe(0)
  })

  it('takes all that came in the turn, not just enough', () => {
    const { gate, delivered, add, answer, timers } = openGathering(24)
    answer(24)
    add(5)
    add(19)
    expect(delivered).toHaveLength(24)
    expect(timers.count).toBe(0)
    expect(gate.stats().write_waves_late).toBe(0)
  })

  it('keeps the order of arrival', () => {
    const { delivered, add, answer } = openGathering(24)
    answer(24)
    add(20)
    expect(delivered).toEqual(Array.from({ length: 20 }, (_, i) => 25 + i))
  })

  it('waits no longer than 10 ms for the first one', () => {
    const { gate, delivered, add, timers } = openGathering(20)
    add(1)
    timers.advance(9)
    add(1)
    expect(delivered).toHaveLength(0)
    timers.advance(1)
    expect(delivered).toHaveLength(2)
    expect(gate.stats().write_waves_late).toBe(1)
    timers.advance(100)
    expect(timers.count).toBe(0)
  })

  it('waits twice as long as waves take, within bounds', () => {
    const waitOf = (waveMs: number): number => {
      const { gate, delivered, add, answer, timers, company } = openGathering(20)
      for (let i = 0; i < 60; i++) {
        add(14)
        company()
        expect(delivered).toHaveLength((i + 1) * 14)
        timers.advance(waveMs)
        answer(14)
      }
      const startMs = timers.nowMs
      add(1)
      while (gate.stats().write_waves_late === 0) timers.advance(0.25)
      return timers.nowMs - startMs
    }
    expect(waitOf(1)).toBeCloseTo(3, 0)
    expect(waitOf(4)).toBeCloseTo(8, 0)
    expect(waitOf(50)).toBeCloseTo(30, 0)
  })

  it("joins another store's wave with two fifths of what is under way", () => {
    const { gate, delivered, add, answer, company } = openGathering(20)
    company()
    answer(8)
    add(7)
    company()
    expect(delivered).toHaveLength(0)
    add(1)
    company()
    expect(delivered).toHaveLength(8)
    expect(gate.stats().write_waves_joined).toBe(1)
  })

  it("joins with what comes in the same turn after another store's wave, and not with what comes later", () => {
    const { gate, delivered, answer, company, turn } = openGathering(20)
    answer(8)
    company()
    turn(8)
    expect(delivered).toHaveLength(0)
    answer(1)
    turn(1, true)
    expect(delivered).toHaveLength(9)
    expect(gate.stats().write_waves_joined).toBe(1)
  })

  it('takes waves to be smaller when there is less', () => {
    const { gate, delivered, add, answer, timers } = openGathering(100)
    answer(100)
    let rounds = 0
    // Ten at a time: at first all of them wait for others that do not come.
    for (; rounds < 100; rounds++) {
      const late = gate.stats().write_waves_late!
      add(10)
      timers.advance(30)
      answer(10)
      if (gate.stats().write_waves_late === late) break
    }
    expect(rounds).toBeGreaterThan(5)
    expect(rounds).toBeLessThan(25)
    expect(delivered).toHaveLength((rounds + 1) * 10)
  })

  it('does not wait for writes that nobody answers', () => {
    const { gate, delivered, add, answer, timers, company } = openGathering(50)
    // Twenty more come and go at a time; the fifty stay.
    const atOnce: number[] = []
    for (let round = 0; round < 40; round++) {
      const before = delivered.length
      add(20)
      atOnce.push(delivered.length - before)
      timers.advance(10)
      answer(20)
      if (round % 10 === 9) {
        company()
        gate.look()
      }
    }
    expect(atOnce.slice(0, 10)).toEqual(new Array(10).fill(0))
    expect(atOnce.slice(30)).toEqual(new Array(10).fill(20))
  })

  it('forgets nobody: after every turn a timer runs for those that wait', () => {
    const random = seededRandom(11)
    const { gate, delivered, state, timers, turn, answer } = open()
    let added = 0
    let answered = 0
    let waited = 0
    for (let step = 0; step < 20_000; step++) {
      const writes = random.below(3) === 0 ? random.below(40) : 0
      added += writes
      turn(writes, random.below(4) === 0)
      if (delivered.length < added) {
        waited++
        expect(timers.count).toBe(1)
      }
      // Some are never answered, others all at once.
      const done = random.below(delivered.length - answered + 1)
      if (random.below(3) === 0) {
        answer(done)
        answered += done
      }
      if (random.below(5) === 0) timers.advance(random.below(12))
      if (random.below(20) === 0) {
        state.load = random.below(6) === 0 ? IDLE : SHORT
        gate.look()
      }
    }
    expect(waited).toBeGreaterThan(1000)
    timers.advance(100)
    expect(delivered).toHaveLength(added)
  })

  it('goes on until processors are idle again, not at the first relief', () => {
    const { gate, state, add, company } = open()
    const look = (load: LoadShares): number => {
      state.load = load
      add(1)
      company()
      gate.look()
      return gate.stats().gathers_writes!
    }
    expect(look({ ran: 0.3, waited: 0.19 })).toBe(0)
    expect(look({ ran: 0.3, waited: 0.2 })).toBe(1)
    expect(look({ ran: 0.3, waited: 0.11 })).toBe(1)
    expect(look({ ran: 0.55, waited: 0.09 })).toBe(1)
    expect(look({ ran: 0.3, waited: 0.09 })).toBe(0)
    // A thread that has no time left, on a machine that has some.
    expect(look({ ran: 0.79, waited: 0 })).toBe(0)
    expect(look({ ran: 0.8, waited: 0 })).toBe(1)
    expect(look({ ran: 0.7, waited: 0 })).toBe(1)
    expect(look({ ran: 0.5, waited: 0 })).toBe(0)
  })

  it('lets everything go when it ends, and when it is closed for good', () => {
    const ended = openGathering(20)
    ended.add(3)
    ended.state.load = IDLE
    ended.company()
    ended.gate.look()
    expect(ended.delivered).toHaveLength(3)
    const closed = openGathering(20)
    closed.add(3)
    closed.gate.close()
    expect(closed.delivered).toHaveLength(3)
    closed.add(1)
    closed.company()
    closed.gate.look()
    closed.add(1)
    expect(closed.delivered).toHaveLength(5)
    expect(closed.timers.count).toBe(0)
  })
})

/**
 * Three stores with gates, and clients that write again somewhere as soon as they are answered. A
 * write takes a few milliseconds in its region, and its wave is known elsewhere after a part of one.
 */
function runStores(clients: number, seconds: number, hasCompany: boolean) {
  const random = seededRandom(7)
  const timers = new Timers()
  const waves: number[] = []
  const gates: WriteGate[] = []
  for (let store = 0; store < 3; store++) {
    let delivered = 0
    const deliver = (): void => {
      if (delivered++ === 0) {
        // The round: all that is delivered until then leaves together.
        timers.later(0.3, () => {
          if (timers.nowMs > 500) waves.push(delivered)
          delivered = 0
          if (hasCompany) tellOthers(store)
        })
      }
      timers.later(4 + random.below(1000) / 1000, () => {
        gates[store]!.answered()
        put()
      })
    }
    // What comes within a tenth of a millisecond comes in one turn.
    const requestRound = (): void => void timers.later(0.1, () => gates[store]!.onRound())
    const load = { look: () => SHORT }
    gates.push(new WriteGate({ clock: timers, later: timers.later, load, deliver, requestRound }))
  }
  const tellOthers = (store: number): void => {
    for (const gate of gates) {
      if (gate === gates[store]) continue
      gate.onCompany()
      gate.onRound()
    }
  }
  const put = (): void => {
    const store = random.below(3)
    timers.later(0.2, () =>
      gates[store]!.add(new RawRequest(RawKind.Put, { respond: () => {} }, 0)),
    )
  }
  for (let i = 0; i < clients; i++) timers.later(random.below(8000) / 1000, put)
  for (let i = 0; i < seconds * 10; i++) {
    timers.advance(100)
    for (const gate of gates) gate.look()
  }
  const writes = waves.reduce((sum, count) => sum + count, 0)
  const late = gates.reduce((sum, gate) => sum + gate.stats().write_waves_late!, 0)
  const all = gates.reduce((sum, gate) => sum + gate.stats().write_waves!, 0)
  return { perRound: writes / waves.length, late, waves: all, writes }
}

it('stores fall into step', () => {
  const apart = runStores(120, 2, false)
  const inStep = runStores(120, 2, true)
  // Forty for each store, had everybody waited for everybody.
  expect(apart.perRound).toBeLessThan(12)
  expect(inStep.perRound).toBeGreaterThan(25)
  expect(inStep.late).toBeLessThan(inStep.waves / 10)
})
