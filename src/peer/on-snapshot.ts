/** A leader's snapshots: ordered behind apply, checked when they are built, sent beside the messages. */
import type { LogIndex, PeerId, Term } from '../base/ids.ts'
import { type Region, sameEpoch } from '../region/region.ts'
import type { RaftEnvelope } from '../transport/port.ts'
import type { Peer } from './peer.ts'
import { confStateOf } from './peer-storage.ts'

export interface BuiltSnapshot {
  readonly data: Uint8Array
  readonly region: Region
  readonly index: LogIndex
  readonly term: Term
}

/** After the round's entries were handed to apply: so the snapshot has them. */
export function maybeOrderSnapshot(peer: Peer): void {
  const { source } = peer
  if (source.kind !== 'wanted' || !peer.isLeader || !peer.ports.snapshots.reserve(peer.id)) {
    return
  }
  peer.ports.apply.snapshot(peer.id, source.begin(peer.appliedIndex))
}

/** Raft asks again with the next answer of the follower. */
export function onSnapshotBuilt(
  peer: Peer,
  id: number,
  result: BuiltSnapshot | undefined,
  error: string,
): void {
  const fits = result !== undefined && sameEpoch(result.region.epoch, peer.region.epoch)
  const snapshot = fits
    ? {
        metadata: {
          index: result.index,
          term: result.term,
          confState: confStateOf(result.region),
        },
        data: result.data,
      }
    : undefined
  const { logger, snapshots } = peer.ports
  // The reservation goes with onBuilt; a set that does not fit is only files.
  if (result !== undefined && !fits) snapshots.discardBuilt(result.data)
  if (peer.source.onBuilt(id, snapshot, peer.raft.firstIndex)) {
    logger.info({ region: peer.id, index: snapshot!.metadata.index }, 'built a snapshot')
  } else {
    logger.warn({ region: peer.id, reason: error }, 'a snapshot is of no use, or was not built')
  }
}

export function sendSnapshot(peer: Peer, envelope: RaftEnvelope): void {
  peer.source.onSending()
  peer.ports.snapshots.send(envelope)
}

export function onSnapshotSent(peer: Peer, to: PeerId, ok: boolean): void {
  peer.source.onSent(ok)
  peer.raft.reportSnapshot(to, ok)
}

/** Leadership ended. */
export function abandonSnapshots(peer: Peer): void {
  if (peer.source.abandon()) peer.ports.apply.cancelSnapshot(peer.id)
}
