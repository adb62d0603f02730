import { expect, test } from 'vitest'
import { StoreState } from '../../src/pd/port.ts'
import { remarksOn } from '../../src/server/cluster-remarks.ts'
import { storeMeta } from '../client/fake-cluster.ts'

function planOf(count: number, pdAddress = '127.0.0.1:2379') {
  const stores = Array.from({ length: count }, (_, i) => ({
    number: i + 1,
    dir: `/d/store-${i + 1}`,
    address: 'a:1',
    status: 'a:2',
  }))
  return { dir: '/d', pdAddress, resumed: true, stores }
}

const known = [1, 2, 3].map((id) => storeMeta(id, `h${id}:20160`))

test('nothing is said of a cluster that is all here', () => {
  expect(remarksOn(planOf(3), [1, 2, 3], known, 3)).toEqual([])
})

test('a store that is not here is named, with what to do', () => {
  expect(remarksOn(planOf(2), [1, 2], known, 3)).toEqual([
    'store 3 (h3:20160) of this cluster is not among the stores in /d: unless it runs elsewhere, its ' +
      'replicas are missing. If its data is lost, run npx polyraft ctl store delete 3 ' +
      '--physically-destroyed, which is accepted once it has been silent for 20 s; then start again ' +
      'with --stores 3',
  ])
})

test('stores that were removed are missed by nobody', () => {
  const removed = [
    { ...storeMeta(8, 'h8:1'), state: StoreState.Tombstone },
    { ...storeMeta(9, 'h9:1'), state: StoreState.Offline, physicallyDestroyed: true },
  ]
  expect(remarksOn(planOf(3), [1, 2, 3], [...known, ...removed], 3)).toEqual([])
})

test('stores that hold no replicas yet', () => {
  expect(remarksOn(planOf(3, 'h:1'), [1, 2, 3], known, 1)).toEqual([
    'each region has 1 replica, though there are 3 stores: to have 3, run npx polyraft ctl config ' +
      'set replicas 3 --pd h:1',
  ])
  expect(remarksOn(planOf(5), [1, 2, 3, 4, 5], known, 3)).toEqual([])
})
