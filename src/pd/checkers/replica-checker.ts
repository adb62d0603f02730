/**
 * Looks at one region: does it have the replicas that it should have, on stores that stay? Pure: the
 * answer is a plan, or nothing. One plan at a time brings a region nearer to what it should be; the
 * next look finds the rest, so nothing is lost when a plan, or PD, ends half-way.
 *
 * INVARIANTS
 * - A voter is removed for another one that is in its place already, or because it is one too many;
 *   without a store for the replacement it is kept.
 * - At most one learner is on its way at a time: one that an operator left behind is taken up, not
 *   joined by another.
 */
import { type Peer, PeerRole } from '../../region/region.ts'
import type { RegionRecord } from '../region-tree.ts'
import type { ClusterFacts } from './cluster.ts'
import type { PeerPlan } from './peer-plan.ts'
import { chooseLeader, chooseSurplus, chooseTarget } from './placement.ts'
import { canPromote, isLeaving, learnersOf, votersOf } from './quorum.ts'

/** Which of the peers that have to go goes first. */
const URGENCY = ['tombstone', 'destroyed', 'down', 'offline'] as const
/** A learner that its leader has not heard for so long is given up. */
const LEARNER_SILENT_SECONDS_MAX = 300

export function checkReplicas(cluster: ClusterFacts, record: RegionRecord): PeerPlan | undefined {
  if (!canBeChanged(cluster, record)) return undefined
  const voters = votersOf(record)
  const useless = uselessLearner(cluster, record)
  if (useless !== undefined) return { reason: 'remove-lost-learner', remove: useless }
  if (voters.length > cluster.replicas) return removeSurplus(cluster, record)
  if (voters.length < cluster.replicas) return addReplica(cluster, record)
  const leaving = mostUrgent(cluster, voters)
  if (leaving !== undefined) return replace(cluster, record, leaving)
  const orphan = learnersOf(record)[0]
  return orphan && { reason: 'remove-orphan-learner', remove: orphan }
}

/** Somebody has to be there to carry it out, and a joint change under way comes first. */
function canBeChanged(cluster: ClusterFacts, { region, leader }: RegionRecord): boolean {
  if (leader === undefined || cluster.store(leader.storeId)?.alive !== true) return false
  return region.peers.every(({ role }) => role === PeerRole.Voter || role === PeerRole.Learner)
}

/** A learner from which nothing can be expected. */
function uselessLearner(cluster: ClusterFacts, record: RegionRecord): Peer | undefined {
  return learnersOf(record).find((learner) => {
    const down = record.downPeers.find(({ peer }) => peer.id === learner.id)
    const silent = down !== undefined && down.downSeconds > LEARNER_SILENT_SECONDS_MAX
    return silent || isLeaving(cluster, learner)
  })
}

function mostUrgent(cluster: ClusterFacts, voters: readonly Peer[]): Peer | undefined {
  for (const condition of URGENCY) {
    const found = voters.find(
      (peer) => (cluster.store(peer.storeId)?.condition ?? 'tombstone') === condition,
    )
    if (found !== undefined) return found
  }
  return undefined
}

function removeSurplus(cluster: ClusterFacts, record: RegionRecord): PeerPlan | undefined {
  const surplus = chooseSurplus(cluster, record)
  if (surplus === undefined) return undefined
  return withRemoval(cluster, record, surplus, { reason: 'remove-extra-replica' })
}

function addReplica(cluster: ClusterFacts, record: RegionRecord): PeerPlan | undefined {
  const learner = learnersOf(record)[0]
  if (learner !== undefined) return promotion(cluster, record, learner)
  const add = chooseTarget(cluster, record, undefined)
  return add === undefined ? undefined : { reason: 'make-up-replica', add }
}

/** Undefined while the learner catches up. */
function promotion(
  cluster: ClusterFacts,
  record: RegionRecord,
  learner: Peer,
): PeerPlan | undefined {
  const ready = canPromote(cluster, record, learner)
  return ready ? { reason: 'promote-learner', promote: learner } : undefined
}

function replace(cluster: ClusterFacts, record: RegionRecord, leaving: Peer): PeerPlan | undefined {
  const condition = cluster.store(leaving.storeId)?.condition ?? 'tombstone'
  const reason = `replace-${condition}-replica`
  const learner = learnersOf(record)[0]
  if (learner !== undefined) {
    const plan = promotion(cluster, record, learner)
    return plan && withRemoval(cluster, record, leaving, { ...plan, reason })
  }
  const add = chooseTarget(cluster, record, leaving)
  return add === undefined ? undefined : withRemoval(cluster, record, leaving, { reason, add })
}

/** A leader does not remove itself: it hands over first. Undefined when it finds nobody. */
export function withRemoval(
  cluster: ClusterFacts,
  record: RegionRecord,
  remove: Peer,
  plan: PeerPlan,
): PeerPlan | undefined {
  if (record.leader?.id !== remove.id) return { ...plan, remove }
  const newcomer = plan.add ?? plan.promote?.storeId
  const leaderTo = chooseLeader(cluster, record, remove, newcomer)
  return leaderTo === undefined ? undefined : { ...plan, leaderTo, remove }
}
