import { beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../../../src/base/logger.ts'
import type { StoreFacts } from '../../../src/pd/checkers/cluster.ts'
import type { PeerPlan } from '../../../src/pd/checkers/peer-plan.ts'
import { OperatorController } from '../../../src/pd/operators/controller.ts'
import { Operator, type OperatorOrigin } from '../../../src/pd/operators/operator.ts'
import { stepsOf } from '../../../src/pd/operators/step.ts'
import type { RegionOrder } from '../../../src/pd/port.ts'
import type { RegionRecord } from '../../../src/pd/region-tree.ts'
import { scheduleConfig } from '../../../src/pd/schedule-config.ts'
import { clusterOf, recordOf } from '../checkers/facts.ts'

const NEW_PEER = 104

let orders: RegionOrder[]
let reachable: boolean
let facts: Record<number, Partial<StoreFacts>>
let controller: OperatorController
let now: number

beforeEach(() => {
  orders = []
  reachable = true
  facts = {}
  now = 1000
  controller = new OperatorController({
    config: scheduleConfig({
      operatorTimeoutMs: 60_000,
      resendMs: 5000,
      replicaScheduleLimit: 2,
    }),
    cluster: {
      replicas: 3,
      store: (id) => clusterOf(5, facts).store(id),
      stores: () => clusterOf(5, facts).stores(),
    },
    logger: silentLogger,
    send: (order) => {
      if (reachable) orders.push(order)
      return reachable
    },
  })
})

/** The region at a conf_ver. */
function at(
  confVer: number,
  stores: string,
  told: Parameters<typeof recordOf>[1] = {},
): RegionRecord {
  const record = recordOf(stores, told)
  return { ...record, region: { ...record.region, epoch: { confVer, version: 1 } } }
}

function start(
  plan: Omit<PeerPlan, 'reason'>,
  record: RegionRecord,
  origin: OperatorOrigin = 'checker',
): void {
  const steps = stepsOf({ reason: 'test', ...plan }, NEW_PEER)
  const { id, epoch } = record.region
  controller.start(
    new Operator({ regionId: id, reason: 'test', origin, steps, epoch, nowMs: now }),
    record,
    now,
  )
}

const sent = () =>
  orders.map(({ changePeer, transferLeader }) =>
    changePeer
      ? `${changePeer.changeType}:${changePeer.peer.id}`
      : `leader:${transferLeader?.storeId}`,
  )
const outcome = () => controller.ended(7)?.outcome
const note = () => controller.ended(7)?.note
const peer3 = recordOf('1 2 3').region.peers[2]!

describe('a replacement', () => {
  test('goes from step to step as heartbeats tell', () => {
    start({ add: 4, leaderTo: 2, remove: recordOf('1').region.peers[0]! }, at(1, '1 2 3'))
    expect(sent()).toEqual(['2:104'])
    controller.advance(at(2, '1 2 3 4L', { pending: [4] }), now)
    expect(sent(), 'it catches up').toHaveLength(1)
    controller.advance(at(2, '1 2 3 4L'), now)
    expect(sent().at(-1)).toBe('0:104')
    controller.advance(at(3, '1 2 3 4'), now)
    expect(sent().at(-1)).toBe('leader:2')
    controller.advance(at(3, '1 2 3 4', { leader: 2 }), now)
    expect(sent().at(-1)).toBe('1:101')
    expect(orders.at(-1)).toMatchObject({
      regionEpoch: { confVer: 3, version: 1 },
      targetPeer: { storeId: 2 },
    })
    controller.advance(at(4, '2 3 4', { leader: 2 }), now)
    expect([outcome(), controller.size, controller.addingTo(4)]).toEqual(['success', 0, 0])
  })

  test('an order that went nowhere is sent again, not at every look', () => {
    const record = at(1, '1 2 3')
    start({ add: 4, remove: peer3 }, record)
    now += 4999
    controller.advance(record, now)
    controller.tick(() => record, now)
    expect(orders).toHaveLength(1)
    controller.tick(() => record, now + 1)
    expect(sent()).toEqual(['2:104', '2:104'])
  })

  test('a leader that cannot be reached gets it as soon as it can', () => {
    const record = at(1, '1 2 3')
    reachable = false
    start({ add: 4 }, record)
    reachable = true
    controller.tick(() => record, now + 1)
    expect(orders).toHaveLength(1)
  })

  test('a removal waits while the others are not healthy', () => {
    facts[2] = { alive: false }
    start({ remove: peer3 }, at(1, '1 2 3 4'))
    expect(orders).toEqual([])
    facts = {}
    controller.tick(() => at(1, '1 2 3 4'), now)
    expect(sent()).toEqual(['1:103'])
  })
})

describe('ends', () => {
  test.each([
    ['its target is lost', { 4: { condition: 'down' as const } }, at(1, '1 2 3'), /4 is down/],
    ['a stranger is there', {}, at(1, '1 2 3 4'), /store 4 has peer 999/],
    ['others change replicas', {}, at(2, '1 2'), /by somebody else/],
  ])('when %s', (_name, changes, record, why) => {
    start({ add: 4 }, at(1, '1 2 3'))
    facts = changes
    const { region } = record
    const peers = region.peers.map((peer) => (peer.id === NEW_PEER ? { ...peer, id: 999 } : peer))
    controller.advance({ ...record, region: { ...region, peers } }, now)
    expect([outcome(), controller.size]).toEqual(['cancel', 0])
    expect(note()).toMatch(why)
  })

  test('when the learner is gone, or leads what it was to leave', () => {
    start({ promote: { id: 104, storeId: 4, role: 1 } }, at(1, '1 2 3'))
    expect(note()).toMatch(/peer 104 is gone/)
    start({ remove: peer3 }, at(1, '1 2 3 4', { leader: 3 }))
    expect(note()).toMatch(/peer 103 leads the region/)
    start({ leaderTo: 5 }, at(1, '1 2 3'))
    expect(note()).toMatch(/store 5 has no voter/)
    expect(orders).toEqual([])
  })

  test('when a step makes no progress, not when the whole takes long', () => {
    start({ add: 4 }, at(1, '1 2 3'))
    now += 60_000
    const learner = at(2, '1 2 3 4L')
    controller.tick(() => learner, now)
    now += 60_000
    controller.tick(() => learner, now)
    expect(outcome()).toBeUndefined()
    controller.tick(() => learner, now + 1)
    expect([outcome(), note()]).toEqual(['timeout', 'no progress in: promote peer 104 on store 4'])
  })

  test('when its region is gone, or somebody says so', () => {
    start({ add: 4 }, at(1, '1 2 3'))
    controller.tick(() => undefined, now)
    expect(note()).toBe('the region is gone')
    start({ add: 4 }, at(1, '1 2 3'))
    expect(controller.cancel(7, 'enough', now)).toBe(true)
    expect(controller.cancel(7, 'enough', now)).toBe(false)
    expect(controller.addingTo(4)).toBe(0)
    expect(controller.counters).toMatchObject({ started: 2, cancel: 2 })
  })
})

test('limits: operators of checkers, and of administrators beside them', () => {
  const other = (id: number): RegionRecord => {
    const record = at(1, '1 2 3')
    return { ...record, region: { ...record.region, id } }
  }
  start({ add: 4 }, other(1))
  start({ add: 4 }, other(2))
  expect([controller.hasRoom, controller.addingTo(4)]).toEqual([false, 2])
  start({ add: 5 }, other(3), 'admin')
  controller.cancel(1, '', now)
  expect([controller.hasRoom, controller.addingTo(4), controller.size]).toEqual([true, 1, 2])
  expect(() => start({ add: 4 }, other(2))).toThrow(/has an operator/)
})
