import { beforeEach, describe, expect, it } from 'vitest'
import type { Fsm, PollHandler } from '../../src/batch-system/fsm.ts'
import { Mailbox } from '../../src/batch-system/mailbox.ts'
import { Poller } from '../../src/batch-system/poller.ts'
import { Router } from '../../src/batch-system/router.ts'

type TestFsm = Fsm<string>

function fsm(id: number, capacity = 100): TestFsm {
  return { id, mailbox: new Mailbox<string>(capacity) }
}

/** Runs nothing by itself: counts what was asked for. */
class ManualScheduler {
  readonly runs: (() => void)[] = []

  schedule(run: () => void): void {
    this.runs.push(run)
  }

  runOne(): void {
    this.runs.shift()!()
  }

  runAll(): number {
    let rounds = 0
    for (; this.runs.length > 0; rounds++) this.runOne()
    return rounds
  }
}

class Recorder implements PollHandler<TestFsm, TestFsm> {
  readonly log: string[] = []
  onMessage: (fsm: TestFsm, message: string) => void = () => {}
  onLightEnd: () => void = () => {}

  begin(): void {
    this.log.push('begin')
  }

  handleControl(control: TestFsm, messagesMax: number): void {
    this.#handle('control', control, messagesMax)
  }

  handleNormal(fsm: TestFsm, messagesMax: number): void {
    this.#handle(`f${fsm.id}`, fsm, messagesMax)
  }

  lightEnd(batch: readonly TestFsm[]): void {
    this.log.push(`light ${batch.map((fsm) => fsm.id).join(' ')}`)
    this.onLightEnd()
  }

  end(): void {
    this.log.push('end')
  }

  take(): string[] {
    return this.log.splice(0)
  }

  #handle(name: string, fsm: TestFsm, messagesMax: number): void {
    const messages: string[] = []
    while (messages.length < messagesMax) {
      const message = fsm.mailbox.take()
      if (message === undefined) break
      messages.push(message)
      this.onMessage(fsm, message)
    }
    this.log.push(`${name}: ${messages.join(' ')}`)
  }
}

let scheduler: ManualScheduler
let handler: Recorder
let poller: Poller<TestFsm, TestFsm>
let router: Router<string, TestFsm, string, TestFsm>

beforeEach(() => {
  scheduler = new ManualScheduler()
  handler = new Recorder()
  const control = fsm(0)
  poller = new Poller({ scheduler, handler, control, batchMax: 2, messagesMax: 2 })
  router = new Router(poller, control)
  for (let id = 1; id <= 4; id++) router.register(fsm(id))
})

describe('Poller', () => {
  it('asks for one round, however many messages come, and for none when all is done', () => {
    router.send(1, 'a')
    router.send(1, 'b')
    router.send(2, 'c')
    router.sendControl('s')
    expect(scheduler.runs).toHaveLength(1)
    scheduler.runOne()
    expect(handler.take()).toEqual(['begin', 'control: s', 'f1: a b', 'f2: c', 'light 1 2', 'end'])
    expect(scheduler.runs).toHaveLength(0)
    expect(poller.activeCount).toBe(0)
  })

  it('costs nothing without work: no hook is called', () => {
    expect(poller.runRound()).toBe(false)
    expect(handler.take()).toEqual([])
  })

  it('gives every active FSM its turn before a busy one gets its second', () => {
    for (let i = 0; i < 5; i++) router.send(1, `m${i}`)
    for (const id of [2, 3]) router.send(id, 'x')
    expect(poller.runRound()).toBe(true)
    expect(handler.take()).toEqual(['begin', 'f1: m0 m1', 'f2: x', 'light 1 2', 'end'])
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'f3: x', 'f1: m2 m3', 'light 3 1', 'end'])
    expect(poller.runRound()).toBe(false)
    expect(handler.take()).toEqual(['begin', 'f1: m4', 'light 1', 'end'])
  })

  it('requests the next round itself while work is left, one at a time', () => {
    for (const id of [1, 2, 3, 4]) for (let i = 0; i < 3; i++) router.send(id, `${i}`)
    expect(scheduler.runs).toHaveLength(1)
    scheduler.runOne()
    expect(scheduler.runs).toHaveLength(1)
    expect(scheduler.runAll()).toBe(3)
    expect(handler.log.filter((line) => line === 'begin')).toHaveLength(4)
  })

  it('has a round begin for who asks for one, also from within a round, and once only', () => {
    poller.requestRound()
    poller.requestRound()
    expect(scheduler.runs).toHaveLength(1)
    router.send(1, 'came before it began')
    expect(scheduler.runs).toHaveLength(1)
    handler.onMessage = () => poller.requestRound()
    scheduler.runOne()
    expect(handler.take()).toEqual(['begin', 'f1: came before it began', 'light 1', 'end'])
    expect(scheduler.runs).toHaveLength(1)
    expect(scheduler.runAll()).toBe(1)
    expect(handler.take()).toEqual([])
  })

  it('leaves an FSM that is woken during a round for the next one', () => {
    handler.onMessage = (from, message) => {
      if (message === 'self') router.send(from.id, 'later')
    }
    handler.onLightEnd = () => {
      handler.onLightEnd = () => {}
      router.send(2, 'from the end')
    }
    router.send(1, 'self')
    router.send(1, 'other')
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'f1: self other', 'light 1', 'end'])
    expect(scheduler.runAll()).toBeGreaterThan(0)
    expect(handler.take()).toEqual(['begin', 'f1: later', 'f2: from the end', 'light 1 2', 'end'])
  })

  it('hands a message of this round to an FSM whose turn is still to come', () => {
    handler.onMessage = (_, message) => {
      if (message === 'pass on') router.send(2, 'passed')
    }
    router.send(1, 'pass on')
    router.send(2, 'own')
    expect(poller.runRound()).toBe(false)
    expect(handler.take()).toEqual(['begin', 'f1: pass on', 'f2: own passed', 'light 1 2', 'end'])
  })

  it('handles control messages first, within the same bound', () => {
    for (const m of ['s1', 's2', 's3']) router.sendControl(m)
    router.send(1, 'a')
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'control: s1 s2', 'f1: a', 'light 1', 'end'])
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'control: s3', 'light ', 'end'])
  })

  it('never hands out a removed FSM, whenever it was removed', () => {
    handler.onMessage = (_, message) => {
      if (message === 'remove 2') router.remove(2)
    }
    router.send(1, 'remove 2')
    router.send(2, 'unread')
    const second = router.get(2)!
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'f1: remove 2', 'light 1 2', 'end'])
    expect(second.mailbox.take()).toBe('unread')
    router.send(3, 'unread')
    router.remove(3)
    expect(poller.runRound()).toBe(false)
    expect(handler.take()).toEqual(['begin', 'light ', 'end'])
  })

  it('runs an FSM that is notified without a message', () => {
    poller.notify(router.get(4)!)
    poller.notify(router.get(4)!)
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'f4: ', 'light 4', 'end'])
  })

  it('passes an error of a handler on and runs no further round', () => {
    handler.onMessage = () => {
      throw new Error('broken')
    }
    router.send(1, 'a')
    router.send(2, 'b')
    expect(() => scheduler.runOne()).toThrow('broken')
    expect(handler.take()).toEqual(['begin'])
    router.send(3, 'c')
    expect(scheduler.runs).toHaveLength(0)
    expect(poller.runRound()).toBe(false)
    expect(handler.take()).toEqual([])
  })

  it('refuses a round within a round', () => {
    handler.onMessage = () => poller.runRound()
    router.send(1, 'a')
    router.send(2, 'b')
    router.send(3, 'c')
    expect(() => poller.runRound()).toThrow('rounds never nest')
  })

  it('looks at active FSMs only, not at all of them', () => {
    const ids: number[] = []
    for (let id = 100; id < 1100; id++) {
      const quiet = fsm(id)
      Object.defineProperty(quiet, 'mailbox', {
        get() {
          ids.push(id)
          return new Mailbox<string>(1)
        },
      })
      // Registration looks at the mailbox once.
      router.register(quiet)
    }
    ids.length = 0
    router.send(1, 'a')
    poller.runRound()
    expect(ids).toEqual([])
  })
})

describe('Router', () => {
  it('tells full and not-found', () => {
    router.register(fsm(9, 1))
    expect(router.send(9, 'a')).toBe('ok')
    expect(router.send(9, 'b')).toBe('full')
    expect(router.sendForced(9, 'c')).toBe('ok')
    expect(router.send(77, 'x')).toBe('not-found')
    expect(router.sendForced(77, 'x')).toBe('not-found')
    expect(router.get(9)!.mailbox.length).toBe(2)
  })

  it('registers an id once, and forgets it on removal', () => {
    expect(() => router.register(fsm(1))).toThrow('registered once')
    expect(router.size).toBe(4)
    expect(router.remove(1)!.id).toBe(1)
    expect(router.remove(1)).toBeUndefined()
    expect([...router.ids()]).toEqual([2, 3, 4])
    expect(router.send(1, 'x')).toBe('not-found')
    router.register(fsm(1))
    expect([...router.all()].map((each) => each.id)).toEqual([2, 3, 4, 1])
  })

  it('wakes an FSM whose messages came before it was registered', () => {
    const early = fsm(5)
    early.mailbox.push('early')
    router.register(early)
    poller.runRound()
    expect(handler.take()).toEqual(['begin', 'f5: early', 'light 5', 'end'])
  })

  it('sends to the control FSM, bounded and forced', () => {
    for (let i = 0; i < 100; i++) expect(router.sendControl('m')).toBe('ok')
    expect(router.sendControl('m')).toBe('full')
    expect(router.sendControlForced('m')).toBe('ok')
    router.control.mailbox.close()
    expect(router.sendControl('m')).toBe('closed')
    expect(router.sendControlForced('m')).toBe('closed')
  })
})
