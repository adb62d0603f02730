import { expect, it } from 'vitest'
import { type ChangePeer, ChangePeerType, type RegionOrder } from '../../src/pd/port.ts'
import { ChangeType } from '../../src/region/change-peers.ts'
import { peerOrderOf } from '../../src/store/pd-orders.ts'
import { peerOn } from '../peer/fixture.ts'

const epoch = { confVer: 5, version: 2 }
const none: RegionOrder = {
  regionId: 7,
  regionEpoch: epoch,
  targetPeer: peerOn(1),
  changePeer: undefined,
  transferLeader: undefined,
}
const add: ChangePeer = { changeType: ChangePeerType.AddLearnerNode, peer: peerOn(4) }
const remove: ChangePeer = { changeType: ChangePeerType.RemoveNode, peer: peerOn(3) }

it('carries each kind over', () => {
  const plain = { epoch, targetId: 10, transferTo: [] }
  expect(peerOrderOf({ ...none, changePeer: add })).toEqual({
    ...plain,
    changes: [{ type: ChangeType.AddLearner, peerId: 40, storeId: 4 }],
  })
  expect(peerOrderOf({ ...none, changePeerV2: [add, remove] })?.changes).toHaveLength(2)
  expect(peerOrderOf({ ...none, changePeerV2: [] })?.changes).toEqual([])
  expect(peerOrderOf({ ...none, transferLeader: peerOn(2) })).toEqual({
    ...plain,
    changes: undefined,
    transferTo: [peerOn(2)],
  })
})

it('leaves out what is not known', () => {
  expect(peerOrderOf(none)).toBeUndefined()
  const unknown = { changeType: 3 as ChangePeerType, peer: peerOn(3) }
  expect(peerOrderOf({ ...none, changePeer: unknown })).toBeUndefined()
  expect(peerOrderOf({ ...none, changePeerV2: [add, unknown] })).toBeUndefined()
})
