import { expect, test } from 'vitest'
import type { StoreFacts } from '../../../src/pd/checkers/cluster.ts'
import { canPromote, canRemove } from '../../../src/pd/checkers/quorum.ts'
import { peerOnStore } from '../../../src/region/region.ts'
import { clusterOf, recordOf } from './facts.ts'

const AWAY: Partial<StoreFacts> = { alive: false }

test.each([
  ['1 2 3 4', [], 4, true, 'three healthy ones stay'],
  ['1 2 3 4', [4], 4, true, 'a silent one is not missed'],
  ['1 2 3 4', [3], 4, false, 'a healthy one is, while another is silent'],
  ['1 2 3 4', [3, 4], 4, true, 'two of three are a quorum'],
  ['1 2 3', [], 3, true, 'two of two: whoever asks for it gets it'],
  ['1 2 3', [2], 3, false, 'one of two is no quorum'],
  ['1 2 3', [2, 3], 3, false, 'nor when the other one is silent'],
  ['1', [], 1, false, 'the last one stays'],
  ['1 2L', [1], 2, true, 'a learner has no vote'],
] as const)('voters %s, silent %j: remove %i: %s (%s)', (stores, silent, from, allowed, _why) => {
  const changes = Object.fromEntries(silent.map((id) => [id, AWAY]))
  const record = recordOf(stores)
  const peer = peerOnStore(record.region, from)!
  expect(canRemove(clusterOf(4, changes), record, peer)).toBe(allowed)
})

test('health is what the leader says, too', () => {
  const cluster = clusterOf(4)
  const peer = recordOf('1 2 3').region.peers[2]!
  expect(canRemove(cluster, recordOf('1 2 3', { down: [2] }), peer)).toBe(false)
  expect(canRemove(cluster, recordOf('1 2 3', { pending: [2] }), peer)).toBe(false)
})

test.each([
  ['1 2 3 4L', [], [], true],
  ['1 2 3 4L', [3], [], true],
  ['1 2 3 4L', [2, 3], [], false],
  ['1 2 3 4L', [], [4], false],
  ['1 2 3 4L', [4], [], false],
  ['1 4L', [], [], true],
] as const)('voters %s, silent %j, pending %j: promote: %s', (stores, silent, pending, allowed) => {
  const changes = Object.fromEntries(silent.map((id) => [id, AWAY]))
  const record = recordOf(stores, { pending: [...pending] })
  const learner = peerOnStore(record.region, 4)!
  expect(canPromote(clusterOf(4, changes), record, learner)).toBe(allowed)
})
