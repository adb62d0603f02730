/**
 * ChangePeer: a region gets, loses or converts replicas.
 *
 *   Propose    peer/admin/change-peer.ts: the leader checks an order of the placement driver
 *   Apply      here: the region's state moves, in the same batch as the applied index; a replica
 *              that is removed leaves a tombstone, and applies nothing more
 *   On result  peer/admin/change-peer.ts: raft, peer and placement driver learn of it
 *
 * INVARIANTS
 * - An entry that is applied again after a restart finds the region as it was before it, since region
 *   state and applied index are one batch.
 * - A membership is durable before anybody hears of it. Who is told that it was removed destroys
 *   itself; a leader that then forgot, in a power loss, that the removal is committed would need the
 *   vote of the dead to find it out.
 */
import { asBuffer } from '../../base/bytes.ts'
import { decodeChangePeer } from '../../command/admin.ts'
import { decodeConfChange } from '../../raft/conf-change-codec.ts'
import type { Entry } from '../../raft/types.ts'
import { changePeers } from '../../region/change-peers.ts'
import { regionStateKey } from '../../region/keys.ts'
import { peerById, type Region } from '../../region/region.ts'
import { encodeRegionState, type RegionState, RegionStateKind } from '../../region/state.ts'
import type { Stager } from '../apply-entry.ts'
import type { ApplyFsm } from '../apply-fsm.ts'

export function applyChangePeer(fsm: ApplyFsm, entry: Entry, stager: Stager): void {
  const { confVer, changes } = decodeChangePeer(asBuffer(decodeConfChange(entry).context))
  const region = fsm.region!
  if (confVer !== region.epoch.confVer) {
    fsm.reject({ index: entry.index, code: 'EpochNotMatch' })
    return
  }
  const next = changePeers(region, changes)
  if (typeof next === 'string') {
    fsm.reject({ index: entry.index, code: 'InvalidChange' })
    return
  }
  fsm.changeRegion(next)
  stager.putState(regionStateKey(fsm.id), encodeRegionState(stateOf(fsm, next, entry)))
  stager.mustSync = true
}

function stateOf(fsm: ApplyFsm, region: Region, { index, term }: Entry): RegionState {
  const { peerId } = fsm
  if (peerById(region, peerId) !== undefined) return { kind: RegionStateKind.Normal, region }
  const removedAt = { index, term }
  return { kind: RegionStateKind.Tombstone, region, peerId, cleared: false, removedAt }
}
