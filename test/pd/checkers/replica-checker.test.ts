import { describe, expect, test } from 'vitest'
import type { StoreFacts } from '../../../src/pd/checkers/cluster.ts'
import { checkReplicas } from '../../../src/pd/checkers/replica-checker.ts'
import type { RegionRecord } from '../../../src/pd/region-tree.ts'
import { clusterOf, recordOf } from './facts.ts'

const DOWN: Partial<StoreFacts> = { condition: 'down', alive: false, takesPeers: false }
const LOST: Partial<StoreFacts> = { condition: 'destroyed', alive: false, takesPeers: false }
const LEAVING: Partial<StoreFacts> = { condition: 'offline', takesPeers: false }
const AWAY: Partial<StoreFacts> = { condition: 'disconnected', alive: false, takesPeers: false }

interface Case {
  readonly name: string
  readonly stores: number
  readonly changes?: Record<number, Partial<StoreFacts>>
  readonly replicas?: number
  readonly record: RegionRecord
  /** `reason add=4 promote=5 leader=2 remove=3`, by stores; '' = nothing. */
  readonly plan: string
}

const cases: Case[] = [
  { name: 'all is well', stores: 4, record: recordOf('1 2 3'), plan: '' },
  {
    name: 'a store that is only disconnected',
    stores: 4,
    changes: { 3: AWAY },
    record: recordOf('1 2 3', { down: [3] }),
    plan: '',
  },
  {
    name: 'a lost store',
    stores: 4,
    changes: { 3: LOST },
    record: recordOf('1 2 3', { down: [3] }),
    plan: 'replace-destroyed-replica add=4 remove=3',
  },
  {
    name: 'a lost store without a replacement is kept',
    stores: 3,
    changes: { 3: LOST },
    record: recordOf('1 2 3', { down: [3] }),
    plan: '',
  },
  {
    name: 'the lost one before the one that is leaving',
    stores: 5,
    changes: { 2: LEAVING, 3: DOWN },
    record: recordOf('1 2 3', { down: [3] }),
    plan: 'replace-down-replica add=4 remove=3',
  },
  {
    name: 'a leader that is leaving hands over to the one that leads least',
    stores: 4,
    changes: { 1: LEAVING, 2: { leaders: 5 }, 3: { leaders: 4 } },
    record: recordOf('1 2 3'),
    plan: 'replace-offline-replica add=4 leader=3 remove=1',
  },
  {
    name: 'an only replica hands over to its successor',
    stores: 2,
    changes: { 1: LEAVING },
    replicas: 1,
    record: recordOf('1'),
    plan: 'replace-offline-replica add=2 leader=2 remove=1',
  },
  {
    name: 'nobody leads: nobody could do it',
    stores: 4,
    changes: { 3: LOST },
    record: recordOf('1 2 3', { leader: 0 }),
    plan: '',
  },
  {
    name: 'the leader that PD knows is silent: another one will report',
    stores: 4,
    changes: { 1: DOWN },
    record: recordOf('1 2 3'),
    plan: '',
  },
  {
    name: 'too few replicas',
    stores: 3,
    record: recordOf('1 2'),
    plan: 'make-up-replica add=3',
  },
  {
    name: 'too few, and a learner that has caught up',
    stores: 4,
    record: recordOf('1 2 3L'),
    plan: 'promote-learner promote=3',
  },
  {
    name: 'too few, and a learner that is catching up',
    stores: 4,
    record: recordOf('1 2 3L', { pending: [3] }),
    plan: '',
  },
  {
    name: 'a learner that was on its way when PD stopped takes the place of the lost one',
    stores: 5,
    changes: { 3: LOST },
    record: recordOf('1 2 3 4L', { down: [3] }),
    plan: 'replace-destroyed-replica promote=4 remove=3',
  },
  {
    name: 'it is waited for',
    stores: 5,
    changes: { 3: LOST },
    record: recordOf('1 2 3 4L', { down: [3], pending: [4] }),
    plan: '',
  },
  {
    name: 'not when its store is lost, too',
    stores: 5,
    changes: { 3: LOST, 4: DOWN },
    record: recordOf('1 2 3 4L', { down: [3, 4] }),
    plan: 'remove-lost-learner remove=4',
  },
  {
    name: 'nor when its leader has not heard it for minutes',
    stores: 4,
    record: recordOf('1 2 3L', { down: [3], downSeconds: 301 }),
    plan: 'remove-lost-learner remove=3',
  },
  {
    name: 'a learner that nobody needs',
    stores: 4,
    record: recordOf('1 2 3 4L'),
    plan: 'remove-orphan-learner remove=4',
  },
  {
    name: 'one too many: the lost one goes',
    stores: 4,
    changes: { 2: LOST },
    record: recordOf('1 2 3 4', { down: [2] }),
    plan: 'remove-extra-replica remove=2',
  },
  {
    name: 'one too many: of the fullest store, but not the leader',
    stores: 4,
    changes: { 1: { peers: 99 }, 3: { peers: 50 } },
    record: recordOf('1 2 3 4'),
    plan: 'remove-extra-replica remove=3',
  },
  {
    name: 'one too many: of two on a host',
    stores: 4,
    changes: { 1: { host: 'a' }, 2: { host: 'b' }, 3: { host: 'c', peers: 99 }, 4: { host: 'b' } },
    record: recordOf('1 2 3 4'),
    plan: 'remove-extra-replica remove=2',
  },
  {
    name: 'one too many: a silent one, though another is silent too',
    stores: 4,
    changes: { 3: AWAY, 4: AWAY },
    record: recordOf('1 2 3 4', { down: [3, 4] }),
    plan: 'remove-extra-replica remove=3',
  },
  {
    name: 'a joint change under way comes first',
    stores: 4,
    changes: { 3: LOST },
    record: {
      ...recordOf('1 2 3'),
      region: {
        ...recordOf('1 2 3').region,
        peers: [
          ...recordOf('1 2').region.peers,
          { id: 103, storeId: 3, role: 3 },
          { id: 104, storeId: 4, role: 2 },
        ],
      },
    },
    plan: '',
  },
  {
    name: 'another host, though it is fuller',
    stores: 6,
    changes: {
      1: { host: 'a' },
      2: { host: 'b' },
      3: { ...LOST, host: 'c' },
      4: { host: 'a', peers: 1 },
      5: { host: 'c', peers: 40 },
      6: { host: 'd', peers: 30 },
    },
    record: recordOf('1 2 3', { down: [3] }),
    plan: 'replace-destroyed-replica add=6 remove=3',
  },
  {
    name: 'the emptiest store that has room',
    stores: 6,
    changes: { 3: LOST, 4: { peers: 1, takesPeers: false }, 5: { peers: 9 }, 6: { peers: 8 } },
    record: recordOf('1 2 3', { down: [3] }),
    plan: 'replace-destroyed-replica add=6 remove=3',
  },
  {
    name: 'a store that PD does not know counts as removed',
    stores: 3,
    record: recordOf('1 2 9'),
    plan: 'replace-tombstone-replica add=3 remove=9',
  },
]

describe('the plan for one region', () => {
  test.each(cases)('$name', ({ stores, changes, replicas, record, plan }) => {
    const found = checkReplicas(clusterOf(stores, changes, replicas), record)
    const { reason, add, promote, leaderTo, remove } = found ?? {}
    const parts = [
      ['add', add],
      ['promote', promote?.storeId],
      ['leader', leaderTo],
      ['remove', remove?.storeId],
    ].filter(([, storeId]) => storeId !== undefined)
    const text = [reason ?? '', ...parts.map(([name, storeId]) => `${name}=${storeId}`)].join(' ')
    expect(text).toBe(plan)
  })
})
