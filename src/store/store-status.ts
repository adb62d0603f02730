/** A region, and the store's disk, as status pages and tools see them. */
import type { Peer } from '../peer/peer.ts'
import { ProgressState } from '../raft/tracker/progress.ts'
import { StateRole } from '../raft/types.ts'
import { PeerRole } from '../region/region.ts'
import type { DiskGuard } from './disk-guard.ts'
import type { RegionStatus, StoreStatus } from './port.ts'
import type { SnapshotProgressView } from './snapshot-progress.ts'

const ROLE_NAMES = {
  [StateRole.Follower]: 'follower',
  [StateRole.Candidate]: 'candidate',
  [StateRole.Leader]: 'leader',
  [StateRole.PreCandidate]: 'pre-candidate',
} as const

const PROGRESS_NAMES = {
  [ProgressState.Probe]: 'probe',
  [ProgressState.Replicate]: 'replicate',
  [ProgressState.Snapshot]: 'snapshot',
} as const

export function regionStatus(peer: Peer, snapshots: readonly SnapshotProgressView[]): RegionStatus {
  const { raft, region } = peer
  const progress: Record<string, { match: number; next: number; state: string }> = {}
  if (peer.isLeader) {
    for (const { id } of region.peers) {
      const of = raft.progressOf(id)
      if (of !== undefined)
        progress[id] = { match: of.match, next: of.next, state: PROGRESS_NAMES[of.state] }
    }
  }
  const isLearner = peer.self.role === PeerRole.Learner
  return {
    region,
    peerId: peer.self.id,
    role: isLearner ? 'learner' : ROLE_NAMES[raft.role],
    leaderPeerId: raft.leaderId,
    term: raft.term,
    commitIndex: raft.commitIndex,
    appliedIndex: peer.appliedIndex,
    firstIndex: raft.firstIndex,
    lastIndex: raft.lastIndex,
    progress,
    ...lifeStatus(peer),
    ...snapshotStatus(peer, snapshots),
  }
}

function lifeStatus(peer: Peer): Pick<RegionStatus, 'life'> {
  if (peer.destroying !== undefined) return { life: 'destroying' }
  if (peer.hibernation.asleep) return { life: 'hibernating' }
  return peer.isInitialised ? {} : { life: 'uninitialised' }
}

function snapshotStatus(
  peer: Peer,
  progress: readonly SnapshotProgressView[],
): Pick<RegionStatus, 'snapshot'> {
  const held = peer.heldSnapshot === undefined ? 'none' : 'held'
  const snapshot = { source: peer.source.kind, install: peer.install?.kind ?? held, progress }
  const isNone = snapshot.source === 'idle' && snapshot.install === 'none'
  return isNone && progress.length === 0 ? {} : { snapshot }
}

export function diskStatus(guard: DiskGuard | undefined): Pick<StoreStatus, 'disk'> {
  if (guard === undefined) return {}
  const { totalBytes, freeBytes } = guard.figures
  return { disk: { state: guard.own, capacityBytes: totalBytes, availableBytes: freeBytes } }
}
