/**
 * The last word of a store that failed and still has its links: whoever is best in each region that
 * it leads is told to campaign at once, so that nobody waits for an election time-out. It serves no
 * reads any more, so no lease is hurt.
 */
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/logger.ts'
import { wake } from '../peer/hibernate.ts'
import type { Peer } from '../peer/peer.ts'
import { bestTarget } from '../peer/transfer-away.ts'
import { newMessage } from '../raft/message.ts'
import { MessageType } from '../raft/types.ts'
import type { Transport } from '../transport/port.ts'

export interface GiveUpContext {
  readonly clock: Clock
  readonly logger: Logger
}

export function giveUpLeaders(
  peers: Iterable<Peer>,
  transport: Transport,
  { clock, logger }: GiveUpContext,
): void {
  const nowMs = clock.monotonicMs()
  let offered = 0
  for (const peer of peers) {
    wake(peer)
    const to = peer.isLeader ? bestTarget(peer, nowMs) : undefined
    if (to === undefined) continue
    const message = newMessage(MessageType.TimeoutNow, to.id)
    message.from = peer.self.id
    message.term = peer.raft.term
    if (transport.send(peer.envelopeTo(to, message))) offered++
  }
  transport.flush()
  if (offered > 0) logger.info({ regions: offered }, 'told others to take the lead')
}
