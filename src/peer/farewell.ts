/**
 * A removed peer hears of its end by the entry that removes it, if it applies that: one that has no
 * data yet never does, and a learner that missed it never asks. So the leader tells them, twice, in
 * case a message gets lost; who is away then finds out when it is back (on-raft-message, or PD).
 */
import { newMessage } from '../raft/message.ts'
import { MessageType } from '../raft/types.ts'
import type { Peer as PeerMeta } from '../region/region.ts'
import type { Peer } from './peer.ts'

/** Time for the entry to do it. */
const FIRST_TICKS = 10
const SECOND_TICKS = 50

export interface Farewell {
  readonly to: PeerMeta
  ticks: number
}

/** Once a tick. */
export function tickFarewells(peer: Peer): void {
  const { farewells } = peer
  for (const farewell of farewells) {
    farewell.ticks++
    const isDue = farewell.ticks === FIRST_TICKS || farewell.ticks === SECOND_TICKS
    if (isDue && peer.isLeader) sendTombstone(peer, farewell.to)
  }
  if (farewells[0]!.ticks >= SECOND_TICKS) farewells.shift()
}

/** The membership here does not have that peer, and is later than its own. */
export function sendTombstone(peer: Peer, to: PeerMeta): void {
  const { ports } = peer
  const message = newMessage(MessageType.Heartbeat, to.id)
  ports.transport.send({ ...peer.envelopeTo(to, message), tombstone: true })
  ports.metrics.tombstoneMessagesSent++
}
