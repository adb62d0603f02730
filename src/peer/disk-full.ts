/**
 * What a region still takes when disks run short. A write needs a quorum with room for it, and room
 * here; who leads looks before he proposes, since an entry that cannot be replicated would keep its
 * client waiting for an outcome.
 *
 *   disk          put   delete   raft's own entries, compaction of logs
 *   normal        yes   yes      yes
 *   almost-full   no    yes      yes
 *   full          no    no       yes, but what others can do without it is left unanswered
 *
 * A follower whose disk is full is as one that is slow: it answers heartbeats, votes, and takes what
 * it lacks once it has room. Its group goes on with the others.
 */
import { type DiskState, diskStateText } from '../base/disk-state.ts'
import type { StoreId } from '../base/ids.ts'
import { RawKind, type RawRequest, type RegionError } from '../protocol/raw.ts'
import { type Message, MessageType } from '../raft/types.ts'
import { PeerRole } from '../region/region.ts'
import type { Peer } from './peer.ts'

/** For a write, while some disk is short of space; undefined: it may be proposed. */
export function diskRefusal(peer: Peer, request: RawRequest): RegionError | undefined {
  const { disks, storeId } = peer.ports
  const frees = request.kind === RawKind.Delete || request.kind === RawKind.BatchDelete
  if (!takes(disks.own, frees)) return diskFull(disks.own, [storeId])
  let voters = 0
  const short: StoreId[] = []
  for (const { role, storeId: at } of peer.region.peers) {
    if (role === PeerRole.Learner) continue
    voters++
    if (at !== storeId && !takes(disks.of(at), frees)) short.push(at)
  }
  const roomy = voters - short.length
  return roomy > voters / 2 ? undefined : diskFull('full', short)
}

function takes(state: DiskState, frees: boolean): boolean {
  return state === 'normal' || (state === 'almost-full' && frees)
}

function diskFull(state: DiskState, storeIds: readonly StoreId[]): RegionError {
  const ids = storeIds.join(', ')
  const which = storeIds.length === 1 ? `disk of store ${ids} is` : `disks of stores ${ids} are`
  const reason = `the ${which} ${diskStateText(state)}: free space there, or add a store`
  return { code: 'DiskFull', message: reason, storeIds, reason }
}

/**
 * Whether a store without space leaves this unanswered: entries, which it should not keep, and the
 * order to lead, since it could take no writes. But only where the others can do without it: else
 * nobody could commit, not even the first entry of a new leader, and there would be no reads.
 */
export function leavesUnanswered(peer: Peer, { type, entries }: Message): boolean {
  const takesRoom = type === MessageType.Append && entries.length > 0
  return (takesRoom || type === MessageType.TimeoutNow) && hasQuorumElsewhere(peer)
}

function hasQuorumElsewhere({ region, ports }: Peer): boolean {
  let voters = 0
  let roomy = 0
  for (const { role, storeId } of region.peers) {
    if (role === PeerRole.Learner) continue
    voters++
    if (storeId !== ports.storeId && ports.disks.of(storeId) !== 'full') roomy++
  }
  return roomy > voters / 2
}
